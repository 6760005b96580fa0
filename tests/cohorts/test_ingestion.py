"""Ingest: right rows in flat memory; a killed run is taken up without repeating finished work."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from slices_fixture import slice_hu, write_png

from camreader.cohorts import ingestion, pixels
from camreader.common.errors import DataError

SIZE = 16


@pytest.fixture
def cohort(tmp_path):
    return write_cohort(tmp_path / "in", 300)


def write_cohort(folder, count, size=64):
    for index in range(count):
        write_png(folder / f"{index:04d}.png", slice_hu(index, size))
    paths = [f"{index:04d}.png" for index in range(count)]
    return pd.DataFrame({"image_path": paths, "width": size, "height": size})


def expected(cohort, folder):
    return np.stack([pixels.shrink(pixels.read_hu(folder / p), SIZE) for p in cohort["image_path"]])


def ingest(cohort, tmp_path, **options):
    source, target = tmp_path / "in", tmp_path / "out" / "pixels.npy"
    pixels.ingest(cohort, source, target, SIZE, progress=False, **options)
    return target


def test_every_row_is_its_slice_whatever_the_threads(tmp_path, cohort):
    for workers in (1, 4):
        target = ingest(cohort, tmp_path, workers=workers)
        assert np.array_equal(pixels.load(target, cohort), expected(cohort, tmp_path / "in"))
        assert sorted(p.name for p in target.parent.iterdir()) == [".pixels.npy.state", target.name]
        target.unlink()


def test_a_finished_array_is_not_made_again_until_a_file_changes(tmp_path, cohort):
    target = ingest(cohort, tmp_path)
    before = target.stat().st_mtime_ns
    assert ingest(cohort, tmp_path).stat().st_mtime_ns == before
    write_png(tmp_path / "in" / "0007.png", np.full((64, 64), 500))
    assert pixels.load(ingest(cohort, tmp_path), cohort)[7].min() == 500


def test_the_first_broken_slice_stops_it_by_name_and_the_rest_goes_on(tmp_path, cohort):
    broken = tmp_path / "in" / "0150.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:-40])
    with pytest.raises(DataError, match="cut short") as raised:
        ingest(cohort, tmp_path)
    assert raised.value.places["file"] == broken
    assert not (tmp_path / "out" / "pixels.npy").exists()
    broken.write_bytes(whole)
    target = ingest(cohort, tmp_path)
    assert np.array_equal(pixels.load(target, cohort), expected(cohort, tmp_path / "in"))


def test_a_slice_of_another_size_than_its_table_says(tmp_path, cohort):
    write_png(tmp_path / "in" / "0003.png", slice_hu(3, 48))
    with pytest.raises(DataError, match="another size") as raised:
        ingest(cohort, tmp_path)
    assert raised.value.places["found"] == "48 x 48"


SLOW = """
import sys, time
import pandas as pd
from camreader.cohorts import pixels
folder, log = sys.argv[1:]
plain = pixels.read_hu
def read_hu(path, offset=None):
    with open(log, "a") as handle:
        handle.write(path.name + "\\n")
    time.sleep(0.004)
    return plain(path, offset)
pixels.read_hu = read_hu
cohort = pd.read_parquet(folder + "/cohort.parquet")
pixels.ingest(cohort, folder + "/in", folder + "/out/pixels.npy", 16, progress=False)
"""


def marked(tmp_path):
    """Names of the slices whose rows a run has marked as finished."""
    marks = np.fromfile(tmp_path / "out" / ".pixels.npy.done", np.uint8)
    return {f"{index:04d}.png" for index in np.flatnonzero(marks)}


def test_kill_9_then_the_next_run_repeats_no_finished_slice(tmp_path, cohort):
    cohort.to_parquet(tmp_path / "cohort.parquet")
    command = [sys.executable, "-c", SLOW, str(tmp_path)]
    finished = set()
    for _ in range(2):  # killed twice, at different places
        log = tmp_path / "first.log"
        run = subprocess.Popen([*command, str(log)])
        before, end = len(finished), time.monotonic() + 60
        while time.monotonic() < end and run.poll() is None and len(finished) <= before:
            if (tmp_path / "out" / ".pixels.npy.done").exists():
                finished = marked(tmp_path)
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        finished = marked(tmp_path)
        assert before < len(finished) < len(cohort)
        assert not (tmp_path / "out" / "pixels.npy").exists()
    subprocess.run([*command, str(tmp_path / "last.log")], check=True)
    decoded = (tmp_path / "last.log").read_text().split()
    assert len(decoded) == len(cohort) - len(finished) and not finished & set(decoded)
    target = tmp_path / "out" / "pixels.npy"
    assert np.array_equal(pixels.load(target, cohort), expected(cohort, tmp_path / "in"))


def test_parts_of_another_cohort_are_thrown_away(tmp_path, cohort):
    cohort.to_parquet(tmp_path / "cohort.parquet")
    run = subprocess.Popen([sys.executable, "-c", SLOW, str(tmp_path), str(tmp_path / "log")])
    while not ((tmp_path / "out" / ".pixels.npy.done").exists() and marked(tmp_path)):
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    run.kill()
    run.wait()
    turned = cohort.iloc[::-1].reset_index(drop=True)
    target = ingest(turned, tmp_path)
    assert np.array_equal(pixels.load(target, turned), expected(turned, tmp_path / "in"))


@pytest.mark.parametrize("broken", [("done",), ("part",), ("done", "part")])
def test_after_a_crash_that_emptied_a_file_no_row_is_left_blank(
    tmp_path, cohort, monkeypatch, broken
):
    def stopped(path, offset=None):
        if path.name == "0200.png":
            raise KeyboardInterrupt
        return read_hu(path, offset)

    read_hu = pixels.read_hu
    monkeypatch.setattr(pixels, "read_hu", stopped)
    with pytest.raises(KeyboardInterrupt):
        ingest(cohort, tmp_path, workers=1)
    monkeypatch.undo()
    for end in broken:
        (tmp_path / "out" / f".pixels.npy.{end}").write_bytes(b"")
    target = ingest(cohort, tmp_path)
    assert np.array_equal(pixels.load(target, cohort), expected(cohort, tmp_path / "in"))


@pytest.mark.parametrize("left", [0, 100, 9000])
def test_an_array_that_was_cut_is_named_and_made_again(tmp_path, cohort, left):
    target = ingest(cohort, tmp_path)
    target.write_bytes(target.read_bytes()[:left])
    with pytest.raises(DataError, match="Pixels cannot be read"):
        pixels.load(target, cohort)
    assert np.array_equal(np.load(ingest(cohort, tmp_path)), expected(cohort, tmp_path / "in"))


def test_other_code_makes_pixels_and_copies_anew(tmp_path, cohort, monkeypatch):
    before = ingest(cohort, tmp_path).stat().st_mtime_ns
    own, card = cohort.assign(hu_offset=-32768.0), {"source": str(tmp_path / "in")}
    copied = pixels.bring_in(own, card, tmp_path / "copy")[0]["image_path"]
    monkeypatch.setattr(ingestion, "code_digest", lambda module, rooms: "of other code")
    assert ingest(cohort, tmp_path).stat().st_mtime_ns > before
    again = pixels.bring_in(own, card, tmp_path / "copy")[0]["image_path"]
    assert not set(copied) & set(again)
    folders = [path.name for path in (tmp_path / "copy").iterdir()]
    assert folders == [again[0].split("/")[0]]  # the old copies are gone
    cut = tmp_path / "copy" / again[5]
    whole = cut.read_bytes()
    cut.write_bytes(whole[:-20])
    pixels.bring_in(own, card, tmp_path / "copy")
    assert cut.read_bytes() == whole


def test_pixels_of_another_table_are_not_taken(tmp_path, cohort):
    target = ingest(cohort, tmp_path)
    turned = cohort.iloc[::-1].reset_index(drop=True)
    for other in (turned, cohort.iloc[:-1]):
        with pytest.raises(DataError, match="belong to another table: run 01_ingest again"):
            pixels.load(target, other)
    assert len(pixels.load(target, cohort.assign(label=1))) == len(cohort)


PEAK = """
import resource, sys
import pandas as pd
from camreader.cohorts import pixels
folder, count = sys.argv[1], int(sys.argv[2])
cohort = pd.read_parquet(folder + "/cohort.parquet")
cohort = pd.concat([cohort] * (count // len(cohort)), ignore_index=True)
pixels.ingest(cohort, folder + "/in", folder + f"/out/{count}.npy", 128, progress=False)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_memory_does_not_grow_with_the_cohort(tmp_path):
    """1,600 slices are 52 MB on disk, 200 are 6.5 MB: holding them would show."""
    write_cohort(tmp_path / "in", 20, 256).to_parquet(tmp_path / "cohort.parquet")
    few, many = (
        int(subprocess.check_output([sys.executable, "-c", PEAK, str(tmp_path), str(count)]))
        for count in (200, 1600)
    )
    assert many - few < 20  # MB
