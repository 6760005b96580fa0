"""Which file is a mask of which, and boxes of what it marks."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from camreader.cohorts import masks
from camreader.common.errors import DataError

PAIRS = {  # names, {image: masks}, alone
    "beside": (
        ["x.png", "x_mask.png", "x_mask_1.png"],
        {"x.png": ["x_mask.png", "x_mask_1.png"]},
        [],
    ),
    "blank and bracket": (["a (1).png", "a (1)_mask.png"], {"a (1).png": ["a (1)_mask.png"]}, []),
    "other endings": (["x.jpg", "x_seg.PNG"], {"x.jpg": ["x_seg.PNG"]}, []),
    "folders": (["images/x.png", "masks/x.png"], {"images/x.png": ["masks/x.png"]}, []),
    "folder beside": (["c/x.png", "c/masks/x.png"], {"c/x.png": ["c/masks/x.png"]}, []),
    "both": (["images/x.png", "masks/x_mask.png"], {"images/x.png": ["masks/x_mask.png"]}, []),
    "alone": (["x.png", "y_mask.png"], {}, ["y_mask.png"]),
    "no mask": (["unmasked.png", "mask.png", "masked_x.png", "segment.png"], {}, []),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_masks_are_told_by_name_or_folder(kind):
    given, pairs, alone = PAIRS[kind]
    images, found, left = masks.told(given)
    assert found == pairs and left == alone
    assert sorted([*images, *alone, *(m for group in pairs.values() for m in group)]) == sorted(
        given
    )


def write(path, values):
    cv2.imwrite(str(path), values)
    return path


def test_boxes_of_parts_are_inclusive_and_specks_are_none(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[5:10, 7:20] = 1
    mask[30:34, 50:60] = 2
    mask[0, 0] = 1
    found = masks.read(write(tmp_path / "m.png", mask), (60, 40))
    assert masks.boxes(found) == [[7, 5, 19, 9], [50, 30, 59, 33]]


def test_a_jpeg_mask_is_cut_at_half(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    path = tmp_path / "m.jpg"
    cv2.imwrite(str(path), mask, [cv2.IMWRITE_JPEG_QUALITY, 40])
    found = masks.read(path, (64, 64))
    assert abs(found.sum() - 32 * 32) < 64 and len(masks.boxes(found)) == 1


def test_what_is_no_mask_is_refused(tmp_path):
    grey = np.random.default_rng(0).integers(0, 255, (40, 60)).astype(np.uint8)
    with pytest.raises(DataError, match="holds greys"):
        masks.read(write(tmp_path / "a.png", grey), (60, 40))
    with pytest.raises(DataError, match="another size") as raised:
        masks.read(write(tmp_path / "b.png", grey * 0), (40, 60))
    assert raised.value.places["found"] == "60 x 40"


def test_boxes_become_the_pixels_they_touch():
    cohort = pd.DataFrame(
        {"boxes": ["[[0, 0, 3, 3], [500, 508, 511, 511]]", "[]"], "width": 512, "height": 512}
    )
    found = masks.box_masks(cohort, 128)
    assert found[0].sum() == 1 + 3 and found[0, 0, 0] and found[0, 127, 125:].all()
    assert not found[1].any()


@settings(max_examples=30, deadline=None)
@given(st.tuples(st.integers(0, 90), st.integers(0, 60)), st.integers(1, 30), st.integers(1, 30))
def test_a_box_keeps_its_place_and_area_when_reduced(corner, wide, high):
    x, y = corner
    box = [x, y, x + wide - 1, y + high - 1]
    cohort = pd.DataFrame({"boxes": [json.dumps([box])], "width": 120, "height": 90})
    full = np.zeros((90, 120), np.float32)
    full[y : y + high, x : x + wide] = 1
    touched = cv2.resize(full, (30, 30), interpolation=cv2.INTER_AREA) > 1e-6
    np.testing.assert_array_equal(masks.box_masks(cohort, 30)[0], touched)
