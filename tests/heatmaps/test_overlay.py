"""The one blend: cold places stay anatomy, the heat has its colours, the figures use it."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib import colormaps

from camreader.common.errors import DataError
from camreader.heatmaps import overlay, plots


def test_a_pixel_is_mixed_in_proportion_to_its_heat():
    """By hand: grey 0.5 is 128; alpha is 0.65 x heat, 0 below the threshold of 0.1."""
    grey = np.full((1, 4), 0.5)
    heat = np.array([[0.0, 0.09, 0.5, 1.0]])
    found = overlay.blend(grey, heat)
    inferno = np.rint(colormaps["inferno"](heat)[..., :3] * 255)
    alpha = np.array([0, 0, 0.325, 0.65])[None, :, None]
    np.testing.assert_array_equal(found, np.rint(128 * (1 - alpha) + inferno * alpha))
    assert (found[0, :2] == 128).all()


def test_a_small_map_is_enlarged_to_its_slice():
    heat = np.zeros((8, 8))
    heat[4:, 4:] = 1
    found = overlay.blend(np.full((64, 96), 0.5), heat)
    assert found.shape == (64, 96, 3) and found.dtype == np.uint8
    assert (found[:24, :36] == 128).all() and np.ptp(found[50:, 70:].astype(int), axis=2).min() > 50


def test_figures_show_this_blend():
    grey, heat = np.random.default_rng(0).random((2, 16, 16))
    _figure, axis = plt.subplots()
    case = SimpleNamespace(boxes="[[2, 4, 6, 12]]", width=32, height=32)
    plots.show(axis, grey, heat, case)
    np.testing.assert_array_equal(axis.images[0].get_array(), overlay.blend(grey, heat))
    box = axis.patches[0]  # of a slice twice as wide and high
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (1, 2, 2, 4)
    plt.close("all")


def test_maps_and_slices_must_be_pictures():
    with pytest.raises(DataError, match="2-D"):
        overlay.blend(np.zeros((2, 4, 4)), np.zeros((4, 4)))
