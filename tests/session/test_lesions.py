"""Lesions of a case: from boxes, and from the phantom's exact masks."""

import cv2
import numpy as np
import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.session import lesions
from camreader.session.marks import lesion_of


def cases(**changes):
    row = {"truth": 1, "boxes": "[[4, 6, 9, 20]]", "image_path": "Images_png/a_01/005.png"}
    return pd.DataFrame([row | changes])


def test_a_box_is_a_lesion_unless_the_case_has_none(tmp_path):
    (found,) = lesions.of_cases(cases(), tmp_path)
    assert found == [{"centre": [6.5, 13, 0], "parts": [{"slice": 0, "box": [4, 6, 9, 20]}]}]
    assert lesions.of_cases(cases(truth=0), tmp_path) == [[]]


def test_a_mask_accepts_each_of_its_pixels_and_no_other(tmp_path):
    rng = np.random.default_rng(3)
    labels = np.zeros((40, 50), np.uint8)
    y, x = np.mgrid[:40, :50]
    labels[(x - 12) ** 2 + (y - 15) ** 2 < 60] = 2
    labels[(x - 33) ** 2 / 3 + (y - 25) ** 2 < 40] = 7
    labels[3, 45] = 7  # a second piece of one lesion
    path = tmp_path / "Masks_png" / "a_01" / "005.png"
    path.parent.mkdir(parents=True)
    cv2.imwrite(str(path), labels)
    (found,) = lesions.of_cases(cases(), tmp_path)
    assert len(found) == 2 and len(found[1]["parts"]) == 2
    for row, column in rng.integers(0, (40, 50), (600, 2)):
        number = lesion_of({"x": float(column), "y": float(row), "slice": 0}, found)
        assert number == {0: 0, 2: 1, 7: 2}[labels[row, column]]
    assert found[0]["centre"][:2] == pytest.approx([12, 15], abs=0.1)


def test_a_broken_mask_is_named(tmp_path):
    path = tmp_path / "Masks_png" / "a_01" / "005.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"005\.png"):
        lesions.of_cases(cases(), tmp_path)
