"""Turns and mirrors; against ITK's orientation they are tested in test_dicom_image.py."""

import numpy as np
import pytest

from camreader.cohorts import orientation


@pytest.mark.parametrize(
    ("cosines", "turn"),
    [
        ([1, 0, 0, 0, 1, 0], ""),
        ([-1, 0, 0, 0, -1, 0], "rc"),
        ([0, 1, 0, 0, 0, -1], ""),
        ([1, 0, 0, 0, 0, 1], "r"),
        ([0, 1, 0, 1, 0, 0], "t"),
    ],
)
def test_turns(cosines, turn):
    assert orientation.turn_of(cosines) == turn


@pytest.mark.parametrize("turn", ["", "t", "r", "c", "tr", "tc", "rc", "trc"])
def test_boxes_follow_the_pixels(turn):
    image = np.zeros((7, 11), int)
    image[2:4, 5:9] = 1
    hung = orientation.turned(image, turn)
    rows, columns = np.nonzero(hung)
    (box,) = orientation.turned_boxes([[5, 2, 8, 3]], turn, (11, 7))
    assert box == [columns.min(), rows.min(), columns.max(), rows.max()]
