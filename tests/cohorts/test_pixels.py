"""Slices to HU and into one array: exact values, damage named, kills survived, rows in place."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from slices_fixture import slice_hu, write_png

from camreader.cohorts import pixels
from camreader.common.errors import DataError
from camreader.common.study import Study


@pytest.fixture
def png(tmp_path):
    path = tmp_path / "000001_01_01" / "005.png"
    write_png(path, slice_hu())
    return path


def test_hu_as_another_reader_sees_them(png, sample):
    paths = [png, *sorted((sample / "Images_png").rglob("*.png"))[::20]]
    for path in paths:
        with Image.open(path) as image:
            independent = np.asarray(image).astype(int) - 32768
        assert np.array_equal(pixels.read_hu(path), np.maximum(independent, -1024))


def test_the_real_slices_span_air_to_bone(sample):
    hu = np.stack([pixels.read_hu(p) for p in sorted((sample / "Images_png").rglob("*.png"))[::9]])
    assert hu.dtype == np.int16 and hu.min() == -1024 and hu.max() > 1000


def test_corners_below_air_become_air(tmp_path):
    hu = slice_hu()
    hu[:5], hu[5:9] = -3024, -2048
    write_png(tmp_path / "a.png", hu)
    assert pixels.read_hu(tmp_path / "a.png")[:9].max() == -1024


def broken(path, kind):
    """Break a good slice in one of the ways that happen; returns the words expected."""
    whole = path.read_bytes()
    if kind == "8 bit":
        path.write_bytes(cv2.imencode(".png", np.zeros((64, 64), np.uint8))[1].tobytes())
        return "not a 16-bit grey PNG"
    if kind == "colour":
        path.write_bytes(cv2.imencode(".png", np.zeros((64, 64, 3), np.uint16))[1].tobytes())
        return "not a 16-bit grey PNG"
    if kind == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
        return "cut short"
    if kind == "empty":
        path.write_bytes(b"")
        return "empty"
    if kind == "text":
        path.write_bytes(b"<html>404 not found</html>" * 9)
        return "Not a slice"
    if kind == "zeros":  # what a full disk or a broken download leaves
        path.write_bytes(whole[:60] + bytes(len(whole) - 60))
        return "cut short|damaged"
    path.unlink()
    return "not found"


@pytest.mark.parametrize(
    "kind", ["8 bit", "colour", "truncated", "empty", "text", "zeros", "missing"]
)
def test_a_broken_slice_is_named(png, kind):
    words = broken(png, kind)
    with pytest.raises(DataError, match=words) as raised:
        pixels.read_hu(png)
    assert raised.value.places["file"] == png


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_damaged_bytes_never_give_another_image(png, data):
    """Flipped, cut, inserted or swapped bytes: the same pixels as before, or a DataError."""
    whole = slice_hu()
    write_png(png, whole)
    content = bytearray(png.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
    if kind == "flip":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place : place + data.draw(st.integers(1, 400))]
    elif kind == "insert":
        content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
    else:
        content[place:] = content[place:][::-1]
    png.write_bytes(content)
    try:
        found = pixels.read_hu(png)
    except DataError:
        return
    assert np.array_equal(found, whole)


def test_shrinking_is_the_area_mean():
    hu = np.random.default_rng(0).integers(-1024, 2000, (64, 64)).astype(np.int16)
    mean = hu.reshape(16, 4, 16, 4).mean((1, 3))
    assert np.abs(pixels.shrink(hu, 16) - mean).max() <= 0.5
    assert pixels.shrink(hu, 64) is hu
    assert pixels.shrink(hu, 128).shape == (128, 128)


def own(tmp_path, **columns):
    frame = pd.DataFrame(
        {"slice_id": ["a"], "height": 40, "width": 60, "boxes": "[[3, 4, 9, 9]]", **columns}
    )
    return frame, {"source": str(tmp_path), "hu": not np.isnan(columns.get("hu_offset", 0))}


STORED = {  # file, hu_offset, what a grey of 100 (8 bit) or 40000 (16 bit) must become
    "a.png": (np.uint8, 100, np.nan, 100),
    "b.jpg": (np.uint8, 100, np.nan, 100),
    "c.png": (np.uint16, 40000, np.nan, 20000),
    "d.png": (np.uint16, 40000, -32768.0, 7232),
    "e.png": (np.uint8, 100, -1024.0, -924),
}


@pytest.mark.parametrize("name", STORED)
def test_own_images_come_in_with_their_values(tmp_path, name):
    kind, grey, offset, wanted = STORED[name]
    image = np.full((40, 60), grey, kind)
    (tmp_path / name).write_bytes(cv2.imencode(name[1:], image)[1].tobytes())
    cohort, card = own(tmp_path, image_path=name, hu_offset=offset)
    copied, card = pixels.bring_in(cohort, card, tmp_path / "in")
    assert "hu_offset" not in copied and name[:-4] not in copied["image_path"][0].split("/")[-1]
    path = tmp_path / "in" / copied["image_path"][0]
    hu = pixels.read_hu(path)  # 40 x 60 padded to 60 x 60: ten rows above and below
    assert hu.shape == (60, 60) and set(np.unique(hu[10:50])) == {wanted}
    assert set(np.unique(hu[:10])) == {0 if np.isnan(offset) else -1024} == set(np.unique(hu[50:]))
    assert copied["boxes"][0] == "[[3, 14, 9, 19]]" and copied["height"][0] == 60
    before = path.stat().st_mtime_ns
    pixels.bring_in(cohort, {"source": str(tmp_path)}, tmp_path / "in")
    assert path.stat().st_mtime_ns == before  # a finished copy is not made again


def test_deeplesion_is_not_copied(tmp_path):
    cohort, card = own(tmp_path, image_path="x.png")
    assert pixels.bring_in(cohort, card, tmp_path / "in") == (cohort, card)
    assert not (tmp_path / "in").exists()


def test_a_study_that_was_moved_finds_its_own_slices(tmp_path):
    study = Study(str(tmp_path / "here"), "own", str(tmp_path / "reports"))
    for kept in (study.cohort_folder / "source", tmp_path / "elsewhere"):
        kept.mkdir(parents=True)
        study.save_card({"source": str(kept)})
        assert study.card["source"] == str(kept)
        (tmp_path / "here").rename(tmp_path / "there")
        there = Study(str(tmp_path / "there"), "own", str(tmp_path / "reports"))
        inside = kept.is_relative_to(tmp_path / "here")
        assert there.card["source"] == str(there.cohort_folder / "source" if inside else kept)
        (tmp_path / "there").rename(tmp_path / "here")


@pytest.mark.parametrize("shape", [(1000, 60), (60, 1000), (1000, 130), (50, 60)])
def test_every_side_that_shrinks_is_averaged(shape):
    """Columns or rows that alternate have no contrast left at an eighth of their number."""
    stripes = np.indices(shape).sum(axis=0) % 2 * 200
    along = np.argmax(shape)
    stripes = (np.indices(shape)[along] % 2 * 200).astype(np.int16)
    small = pixels.shrink(stripes, 128)
    assert small.shape == (128, 128)
    if max(shape) > 500:
        assert small.std() < 30 and abs(small.mean() - 100) < 2
    else:
        assert small.std() > 50  # enlarged: the stripes stay


def test_a_cohorts_identity_is_its_content(tmp_path):
    rng = np.random.default_rng(0)
    hu = rng.integers(0, 9, (4, 8, 8)).astype(np.int16)
    frame = pd.DataFrame(
        {"slice_id": list("abcd"), "label": [0, 1, 0, 1], "boxes": "[]", "split_image": "train"}
    ).assign(split_patient=None, image_path="x")
    mark = pixels.identity(frame, hu)
    assert pixels.identity(frame.assign(image_path="moved"), hu.copy()) == mark
    changed = hu.copy()
    changed[2, 3, 3] += 1
    others = [
        pixels.identity(frame, changed),
        pixels.identity(frame.assign(label=[1, 1, 0, 1]), hu),
        pixels.identity(frame.assign(split_image="test"), hu),
    ]
    assert len({mark, *others}) == 4


def test_masks_come_along_padded_as_their_slice(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 60), 90, np.uint8))
    mask = np.zeros((40, 60), np.uint8)
    mask[4:10, 3:10] = 255
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    cohort, card = own(tmp_path, image_path="a.png", hu_offset=np.nan, masks='["a_mask.png"]')
    copied, card = pixels.bring_in(cohort, card, tmp_path / "in")
    name = copied["image_path"][0].removeprefix("Images_png/")
    kept = cv2.imread(str(tmp_path / "in" / "Masks_png" / name), cv2.IMREAD_UNCHANGED)
    assert "masks" not in copied and kept.shape == (60, 60)
    assert (kept[10:50] > 0).tolist() == (mask > 0).tolist() and not kept[:10].any()


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
    own, card = cohort.assign(hu_offset=-32768.0, boxes="[]"), {"source": str(tmp_path / "in")}
    copied = pixels.bring_in(own, card, tmp_path / "copy")[0]["image_path"]
    monkeypatch.setattr(pixels, "code_digest", lambda *_: "other code")
    assert ingest(cohort, tmp_path).stat().st_mtime_ns > before
    again = pixels.bring_in(own, card, tmp_path / "copy")[0]["image_path"]
    assert not set(copied) & set(again)
    folders = [path.name for path in (tmp_path / "copy" / "Images_png").iterdir()]
    assert folders == [again[0].split("/")[1]]  # the old copies are gone
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


SUPPORT = str(Path(__file__).parents[1] / "support")
PEAK = """
import sys
import pandas as pd
sys.path.insert(0, sys.argv[3])
from peak import peak_mb
from camreader.cohorts import pixels
folder, count = sys.argv[1], int(sys.argv[2])
cohort = pd.read_parquet(folder + "/cohort.parquet")
cohort = pd.concat([cohort] * (count // len(cohort)), ignore_index=True)
pixels.ingest(cohort, folder + "/in", folder + f"/out/{count}.npy", 128, progress=False)
print(peak_mb())
"""


def test_memory_does_not_grow_with_the_cohort(tmp_path):
    """1,600 slices are 52 MB on disk, 200 are 6.5 MB: holding them would show."""
    write_cohort(tmp_path / "in", 20, 256).to_parquet(tmp_path / "cohort.parquet")
    few, many = (
        float(subprocess.check_output([sys.executable, "-c", PEAK, tmp_path, str(count), SUPPORT]))
        for count in (200, 1600)
    )
    assert many - few < 20  # MB
