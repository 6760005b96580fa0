"""The viewer's Python side: packing, checking, what reaches the browser, pages without network."""

import json
import re
import zlib

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from camreader.common.errors import DataError
from camreader.viewer import html
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


def assert_offline(page):
    """No address that a browser would load, no markup out of typed text, no way out."""
    soup = BeautifulSoup(page, "html.parser")
    assert soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert not soup.select("script[src], link[href], iframe, img[onerror]")
    assert "require.min.js" not in page and "mathjax.org" not in page and "unpkg.com" not in page
    assert not [s for s in soup.find_all("script") if s.text.startswith("window.hacked")]


def test_a_page_needs_nothing_and_escapes_what_was_typed(tmp_path):
    widget = SliceViewer(slices(), {NASTY: maps()}, titles=[NASTY] * 3, cohort_title=NASTY)
    widget.write_html(tmp_path / "page.html", title=NASTY)
    page = (tmp_path / "page.html").read_text()
    assert_offline(page)
    data = BeautifulSoup(page, "html.parser").find("script", type="application/json").text
    assert json.loads(data)["state"]["_titles"] == [NASTY] * 3


def notebook_with(tmp_path, *outputs, widgets=None):
    cells = [nbformat.v4.new_markdown_cell("# A *title* & $x^2$")]
    cells += [nbformat.v4.new_code_cell("x", outputs=list(outputs))]
    notebook = nbformat.v4.new_notebook(cells=cells)
    if widgets is not None:
        notebook.metadata.widgets = {html.STATE: widgets}
    nbformat.write(notebook, tmp_path / "x.ipynb")
    return tmp_path / "x.ipynb"


def view_output(widget):
    data = {html.VIEW: {"model_id": widget.model_id}, "text/plain": repr(widget)}
    return nbformat.v4.new_output("display_data", data=data)


def exported(tmp_path, *arguments, **named):
    source = notebook_with(tmp_path, *arguments, **named)
    viewer.export_notebook(source, tmp_path / "x.html")
    return (tmp_path / "x.html").read_text()


def test_an_exported_notebook_keeps_its_viewers_alive(tmp_path):
    import ipywidgets

    widget = SliceViewer(slices(), {"Grad-CAM": maps()}, titles=[NASTY] * 3)
    box = ipywidgets.VBox([widget, ipywidgets.FloatSlider()])
    state = box.get_manager_state()
    page = exported(tmp_path, view_output(widget), view_output(box), widgets=state)
    assert_offline(page)
    assert page.count('type="application/json"') == 2
    assert page.index('id="camreader-viewer-0"') < page.index('id="camreader-viewer-1"')


def test_a_viewer_without_saved_state_becomes_its_text(tmp_path):
    page = exported(tmp_path, view_output(SliceViewer(slices())))
    assert_offline(page)
    assert "SliceViewer of 3 slices" in page


def test_scripts_from_elsewhere_are_taken_out(tmp_path):
    remote = '<script src="https://cdn.example/x.js"></script><link rel=x href=//cdn.example/x.css>'
    output = nbformat.v4.new_output("display_data", data={"text/html": f"<b>kept</b>{remote}"})
    page = exported(tmp_path, output)
    assert_offline(page)
    assert "<b>kept</b>" in page and "cdn.example" not in page


def test_a_notebook_that_is_none_is_named(tmp_path):
    (tmp_path / "x.ipynb").write_text("{")
    with pytest.raises(DataError, match=re.escape("x.ipynb")):
        viewer.export_notebook(tmp_path / "x.ipynb", tmp_path / "x.html")
    with pytest.raises(DataError, match=re.escape("none.ipynb")):
        viewer.export_notebook(tmp_path / "none.ipynb", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
