"""Ingest of every format against its bare decoder: processor time per slice, and peak memory.

The bare decoder, in the same run on the same files: pydicom.dcmread(...).pixel_array for DICOM and
SEG, cv2.imread for PNG, Pillow for JPEG and TIFF, nibabel's get_fdata and a copy of each slice for
NIfTI. Ingest reads, checks, converts, reduces to 128 px and writes. Each runs in a process of its
own on one thread; processor time, so that a busy machine counts less. The whole way beside it holds
the table, the search for copies, the copies that no hospital's name travels on, and ingest.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import finish

from camreader.report import workflow

FILES, ROUNDS, LEAST, GROWTH = 100, 3, 0.8, 1.05
COUNTS = (1000, 4000)
LARGE = ("DICOM, uncompressed", "JPEG", "NIfTI")  # quick enough for 16,000
SLOW = ("DICOM, JPEG 2000",)
SOURCE_FILES, DIGEST_LIMIT_S = 100_000, 10
READ = """
import json, resource, sys, time
from pathlib import Path
import cv2, nibabel, numpy as np, pandas as pd, pydicom
from PIL import Image
from camreader.cohorts import cohort, masks, pixels
what, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
kind, target = folder.name, folder.parent / "out"
files = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix != ".csv")
mask = folder / "mask.dcm"
def decode(path):
    if kind.startswith(("DICOM", "SEG")):
        pydicom.dcmread(path).pixel_array
    elif kind.startswith("PNG"):
        cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    elif kind.startswith("NIfTI"):
        voxels = nibabel.load(path).get_fdata()
        for place in range(voxels.shape[2]):
            voxels[:, :, place].T.copy()
    else:
        np.asarray(Image.open(path))
hu = 0.0 if kind.startswith("NIfTI") else float("nan")
def table():
    names = [str(p.relative_to(folder)) for p in files]
    if kind.startswith("NIfTI"):
        names = [f"{names[0]}#axial={k}" for k in range(nibabel.load(files[0]).shape[2])]
    names = (names * (count // len(names) + 1))[:count]
    return pd.DataFrame({"image_path": names, "width": 512, "height": 512, "hu_offset": hu})
if what == "ingest":  # what is loaded and digested once, however many slices there are
    rows = table()
    pixels.ingest(rows[:1], folder, target / "first.npy", 128, workers=1, progress=False)
elif what == "whole":
    cohort.load(folder)
elif what == "bare":
    decode(files[0] if not kind.startswith("SEG") else files[1])
began = time.process_time()
if what == "bare" and kind.startswith("SEG"):
    decode(mask)
elif what == "bare" and kind.startswith("NIfTI"):
    for _ in range(count // nibabel.load(files[0]).shape[2]):
        decode(files[0])
elif what == "bare":
    for path in (files * (count // len(files) + 1))[:count]:
        decode(path)
elif what == "masks":
    for path in files:
        if path != mask:
            masks.read(mask, (512, 512), path)
elif what == "ingest":
    pixels.ingest(rows, folder, target / "x.npy", 128, workers=1, progress=False)
else:
    frame, card = cohort.load(folder)
    frame, card = pixels.bring_in(frame, card, target / "source", workers=1)
    pixels.ingest(frame, card["source"], target / "x.npy", 128, workers=1, progress=False)
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"ms": 1000 * seconds / count, "peak": peak}))
"""


def measure(what, folder, count):
    """Milliseconds of processor time a slice, and peak memory (MB), of one fresh process."""
    command = [sys.executable, "-c", READ, what, str(folder), str(count)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for path in (folder.parent / "out").glob("*.npy"):
        path.unlink()
    return found


def compare(kind, folder):
    """One row of a format: medians over alternating rounds, and the largest peaks."""
    counts = COUNTS[:1] if kind in SLOW else COUNTS + ((16000,) if kind in LARGE else ())
    bare, ours, whole = [], [], []
    for _ in range(1 if kind in SLOW else ROUNDS):
        bare.append(measure("bare", folder, counts[0])["ms"])
        ours.append(measure("ingest", folder, counts[0]))
    whole = measure("whole", folder, FILES)["ms"]
    peaks = [max(run["peak"] for run in ours)]
    peaks += [measure("ingest", folder, count)["peak"] for count in counts[1:]]
    middle = statistics.median(bare), statistics.median(run["ms"] for run in ours)
    row = {
        "format": kind,
        "bare, ms": middle[0],
        "ingest, ms": middle[1],
        "share of bare": middle[0] / middle[1],
        "whole way, ms": whole,
        "whole way, share of bare": middle[0] / whole,
        "memory, largest over smallest": max(peaks) / peaks[0],
    }
    return row | {f"peak at {n:,}, MB": p for n, p in zip(counts, peaks, strict=True)}


def masks_row(folder):
    """The row of DICOM SEG: a mask for each of the slices it was drawn on."""
    rounds = [
        (measure("bare", folder, FILES)["ms"], measure("masks", folder, FILES)["ms"])
        for _ in range(ROUNDS)
    ]
    bare, ours = (statistics.median(run) for run in zip(*rounds, strict=True))
    return {
        "format": folder.name,
        "bare, ms": bare,
        "ingest, ms": ours,
        "share of bare": bare / ours,
    }


def digest_seconds(folder):
    """Seconds of the digest by which a changed source is known, of 100,000 files."""
    folder.mkdir()
    for number in range(SOURCE_FILES):
        (folder / f"{number}.png").touch()
    began = time.perf_counter()
    workflow.state_of(str(folder))
    return time.perf_counter() - began


def main():
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        here = Path(__file__).parent  # a process of its own: its memory is no child's peak
        subprocess.run([sys.executable, here / "ingest_files.py", name, str(FILES)], check=True)
        kinds = sorted(path.name for path in (place / "formats").iterdir() if path.name != "SEG")
        rows = []
        for kind in kinds:
            rows.append(compare(kind, place / "formats" / kind))
            print(rows[-1], flush=True)
        rows.append(masks_row(place / "formats" / "SEG"))
        print(rows[-1])
        seconds = digest_seconds(place / "many")
    low = min(row["share of bare"] for row in rows)
    growth = max(row.get("memory, largest over smallest", 1) for row in rows)
    return {
        "formats": rows,
        "lowest share of bare": low,
        "limit for the share of bare": LEAST,
        "memory, largest growth": growth,
        "limit for the growth of memory": GROWTH,
        f"digest of a source of {SOURCE_FILES:,} files, seconds": seconds,
        "limit for the digest, seconds": DIGEST_LIMIT_S,
        "within_limit": low >= LEAST and growth <= GROWTH and seconds < DIGEST_LIMIT_S,
    }


if __name__ == "__main__":
    finish("formats", main())
