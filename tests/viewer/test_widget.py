"""The viewer's Python side: packing, checking, what reaches the browser."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camreader.common.errors import DataError
from camreader.viewer import widget as viewer
from camreader.viewer.widget import SliceViewer

NASTY = "</script><script>window.hacked = 1</script><img src=x onerror=alert(1)>"


def slices(n=3, size=16):
    return np.arange(n * size * size, dtype=np.int16).reshape(n, size, size)


def maps(n=3, size=4):
    return np.linspace(0, 1, n * size * size).reshape(n, size, size)


def state_bytes(widget):
    """Everything the browser gets, as one string of bytes."""
    return repr(widget.get_state()).encode()


@settings(deadline=None)
@given(hnp.arrays(np.int16, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_packed_slice_unpacks_to_itself(hu):
    packed = viewer.pack_slice(hu)
    low, high = np.frombuffer(zlib.decompress(packed["data"]), np.uint8).reshape(2, *hu.shape)
    steps = (low.astype(np.uint16) | (high.astype(np.uint16) << 8)).view(np.int16)
    assert packed["shape"] == list(hu.shape)
    np.testing.assert_array_equal(np.cumsum(steps, axis=1, dtype=np.int16), hu)


def test_slices_of_equal_bytes_and_other_shape_have_other_keys():
    """The browser keeps what it unpacked under these keys."""
    flat = [np.zeros(shape, np.int16) for shape in ((2, 8), (8, 2), (4, 4))]
    keys = {viewer.pack_slice(hu)["key"] for hu in flat} | {viewer.pack_map(flat[0])["key"]}
    assert len(keys) == 4


def test_packing_shrinks_a_noisy_slice():
    noisy = np.random.default_rng(0).normal(40, 12, (256, 256)).astype(np.int16)
    assert len(viewer.pack_slice(noisy)["data"]) < 0.6 * noisy.nbytes


@pytest.mark.parametrize("bad", [-0.01, 1.01, np.nan, np.inf])
def test_a_map_outside_0_to_1_is_refused(bad):
    broken = maps()
    broken[1, 2, 3] = bad
    with pytest.raises(DataError, match=r"0\.\.1"):
        SliceViewer(slices(), {"Grad-CAM": broken})


@pytest.mark.parametrize(
    "arguments",
    [
        {"maps": {"Grad-CAM": maps(2)}},
        {"boxes": [[]]},
        {"titles": ["one", "two"]},
        {"case": 3},
    ],
)
def test_what_does_not_fit_the_slices_is_refused(arguments):
    with pytest.raises(DataError):
        SliceViewer(slices(), **arguments)


@pytest.mark.parametrize(
    "images", [np.zeros((2, 4, 4)), [np.zeros(4, np.int16)], [np.full((2, 2), 40000, np.int32)]]
)
def test_slices_that_are_not_hu_are_refused(images):
    with pytest.raises(DataError):
        SliceViewer(images)


def test_maps_that_are_not_set_never_reach_the_browser():
    widget = SliceViewer(slices(), {"Grad-CAM": maps()}, boxes=[[], [[1, 2, 3, 4]], []])
    assert b"Grad-CAM" in state_bytes(widget)
    widget.maps = widget.boxes = None
    assert b"Grad-CAM" not in state_bytes(widget)
    assert widget.get_state()["_boxes"] == [] and widget.method == ""
    widget.maps = {"occlusion": maps()}
    assert widget.method == "occlusion" and "occlusion" in widget._heat["0"]


def test_changed_maps_replace_the_old_ones():
    widget = SliceViewer(slices(), {"Grad-CAM": maps()})
    before = widget._heat["1"]["Grad-CAM"]["data"]
    widget.maps = {"Grad-CAM": 1 - maps()}
    assert widget._heat["1"]["Grad-CAM"]["data"] != before


def test_one_slice_at_a_time():
    widget = SliceViewer()
    assert widget.count == 0
    widget.show(slices(1), titles=["first"])
    first = widget._slices["0"]["key"]
    widget.show(slices(2)[1:], titles=["second"])
    assert widget.titles == ["second"] and widget._slices["0"]["key"] != first


def test_a_long_series_sends_only_the_neighbours():
    widget = SliceViewer(slices(40), {"Grad-CAM": maps(40)}, preload=0)
    assert list(widget._slices) == ["0", "1", "2"]
    widget.case = 20
    assert list(widget._slices) == list(widget._heat) == ["18", "19", "20", "21", "22"]
    assert len(SliceViewer(slices(40))._slices) == 40


def test_slices_without_a_map_are_shown_without():
    widget = SliceViewer(slices(), {"Grad-CAM": [None, maps()[1], None]})
    assert [len(widget._heat[key]) for key in "012"] == [0, 1, 0]


def test_window_by_name_or_by_numbers():
    assert SliceViewer(slices(), window="lung").window_centre == -600
    assert SliceViewer(slices(), window=(10, 20)).window_width == 20
    with pytest.raises(DataError, match="liver"):
        SliceViewer(slices(), window="heart")


def test_colours_are_matplotlibs():
    table = np.frombuffer(SliceViewer(slices())._colours["inferno"], np.uint8).reshape(256, 3)
    assert table[0].tolist() == [0, 0, 4]  # published table of inferno: (.001462, .000466, .013866)
    assert table[255].tolist() == [252, 255, 164]
