"""Slices a second of ingest against bare decoding with the same decoder, and its peak memory.

Both run in fresh processes with as many threads, alternating, on the same files. Files may
repeat: 1,000, 4,000 and 16,000 slices are read from those of one phantom of 512 x 512.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import finish

from camreader.phantom import write

SIZES = (1000, 4000, 16000)
FILES = 300  # different slices on disk
ROUNDS = {1000: 3, 4000: 3, 16000: 1}
PHANTOM_SLICES, PHANTOM_LIMIT_S = 1705, 60
READ = """
import json, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import cv2, numpy as np, pandas as pd
from camreader.cohorts import pixels
what, folder, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
paths = sorted((folder / "Images_png").rglob("*.png"))
names = [str(p.relative_to(folder)) for p in paths]
names = (names * (count // len(names) + 1))[:count]
def bare(batch):
    for name in batch:
        data = np.frombuffer((folder / name).read_bytes(), np.uint8)
        cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
began = time.perf_counter()
if what == "bare":
    batches = [names[i : i + pixels.BATCH] for i in range(0, count, pixels.BATCH)]
    with ThreadPoolExecutor(pixels.cpus()) as pool:
        list(pool.map(bare, batches))
else:
    cohort = pd.DataFrame({"image_path": names, "width": 512, "height": 512})
    target = folder / f"{count}.npy"
    pixels.ingest(cohort, folder, target, 128, progress=False)
seconds = time.perf_counter() - began
if what != "bare":
    target.unlink()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rate": count / seconds, "peak": peak}))
"""


def measure(what, folder, count):
    """Slices a second and peak memory (MB) of one fresh process."""
    command = [sys.executable, "-c", READ, what, str(folder), str(count)]
    return json.loads(subprocess.check_output(command))


def compare(folder, count):
    """One row: medians of both rates over alternating rounds, and ingest's largest peak."""
    bare, ours = [], []
    for _ in range(ROUNDS[count]):
        bare.append(measure("bare", folder, count))
        ours.append(measure("ingest", folder, count))
    middle = [statistics.median(run["rate"] for run in runs) for runs in (bare, ours)]
    return {
        "slices": count,
        "bare decoding, slices/s": middle[0],
        "ingest, slices/s": middle[1],
        "share of bare": middle[1] / middle[0],
        "ingest, seconds": count / middle[1],
        "peak memory, MB": max(run["peak"] for run in ours),
    }


def drawing(folder):
    """Seconds to draw the default phantom."""
    began = time.perf_counter()
    write.write_phantom(folder, PHANTOM_SLICES, progress=False)
    return time.perf_counter() - began


def main():
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        seconds = drawing(Path(name) / "full")
        print(f"phantom: {PHANTOM_SLICES} slices in {seconds:.1f} s")
        write.write_phantom(Path(name) / "few", FILES, progress=False)
        rows = [compare(Path(name) / "few", count) for count in SIZES]
    for row in rows:
        print(row)
    summary = {
        "rates": rows,
        "cores": len(os.sched_getaffinity(0)),
        "lowest share of bare": min(row["share of bare"] for row in rows),
        "seconds per slice, largest over smallest": (rows[-1]["ingest, seconds"] / SIZES[-1])
        / (rows[0]["ingest, seconds"] / SIZES[0]),
        "memory, largest over smallest": rows[-1]["peak memory, MB"] / rows[0]["peak memory, MB"],
        f"phantom of {PHANTOM_SLICES} slices, seconds": seconds,
        "limit for the phantom, seconds": PHANTOM_LIMIT_S,
        "within_limit": seconds <= PHANTOM_LIMIT_S,
    }
    return summary


if __name__ == "__main__":
    finish("ingest", main())
