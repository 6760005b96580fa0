"""Slices to HU: exact values, every broken file refused in words, no damage passes unseen."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from slices_fixture import slice_hu, write_png

from camreader.cohorts import pixels, windows
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


@pytest.mark.parametrize("name", windows.WINDOWS)
def test_a_window_maps_its_ends_to_0_and_1(name):
    centre, width = windows.WINDOWS[name]
    hu = np.array([centre - width, centre - width / 2, centre, centre + width / 2, 3000])
    assert windows.window(hu, centre, width).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    rows = np.zeros((2, 4, 4), np.int16)
    assert windows.model_input(rows, centre, width).shape == (2, 1, 4, 4)


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
    frame = pd.DataFrame({"slice_id": ["a"], "height": 40, "width": 60, **columns})
    return frame, {"source": str(tmp_path)}


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
    assert set(np.unique(pixels.read_hu(path))) == {wanted}
    before = path.stat().st_mtime_ns
    pixels.bring_in(cohort, {"source": str(tmp_path)}, tmp_path / "in")
    assert path.stat().st_mtime_ns == before  # a finished copy is not made again


def test_deeplesion_is_not_copied(tmp_path):
    cohort, card = own(tmp_path, image_path="x.png")
    assert pixels.bring_in(cohort, card, tmp_path / "in") == (cohort, card)
    assert not (tmp_path / "in").exists()


def test_greys_are_shown_over_their_own_range_not_through_a_window_of_ct():
    greys = {"hu": False, "window": [128, 255]}
    assert windows.window_for(greys, "lung") == (128, 255)
    assert windows.window_for({"hu": True, "window": [50, 400]}, "lung") == windows.WINDOWS["lung"]
    assert windows.presets("grey", [128, 255]) == {"full range": [128, 255]}
    assert set(windows.presets("HU", [50, 400])) == set(windows.WINDOWS)


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
