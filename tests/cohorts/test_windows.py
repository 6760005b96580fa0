"""Windows: the ends of each, and greys that have none of CT."""

import numpy as np
import pytest

from camreader.cohorts import windows
from camreader.common.errors import DataError


@pytest.mark.parametrize("name", windows.WINDOWS)
def test_a_window_maps_its_ends_to_0_and_1(name):
    centre, width = windows.WINDOWS[name]
    hu = np.array([centre - width, centre - width / 2, centre, centre + width / 2, 3000])
    assert windows.window(hu, centre, width).tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    rows = np.zeros((2, 4, 4), np.int16)
    assert windows.model_input(rows, centre, width).shape == (2, 1, 4, 4)


def test_greys_are_shown_over_their_own_range_not_through_a_window_of_ct():
    greys = {"hu": False, "window": [128, 255]}
    assert windows.window_for(greys, "lung") == (128, 255)
    assert windows.window_for({"hu": True, "window": [50, 400]}, "lung") == windows.WINDOWS["lung"]
    assert windows.presets("grey", [128, 255]) == {"full range": [128, 255]}
    assert set(windows.presets("HU", [50, 400])) == set(windows.WINDOWS)


def test_a_window_may_be_given_by_its_two_numbers():
    for text in ("60 160", "60, 160", "60/160"):
        assert windows.window_for({"hu": True, "window": [50, 400]}, text) == (60, 160)
    assert windows.window_for({"hu": False, "window": [128, 255]}, "90 40") == (90, 40)
    for text in ("narrow", "60", "60 0", "60 -5", "1 2 3"):
        with pytest.raises(DataError, match="WINDOW is not understood"):
            windows.given_window(text)
