"""Pages that need no network: viewers stay alive, nothing typed becomes markup."""

import json
import re

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from viewer_page import write_page

from camreader.common.errors import DataError
from camreader.viewer import html
from camreader.viewer.widget import SliceViewer

NASTY = "</script><script>window.hacked = 1</script><img src=x onerror=alert(1)>"


def slices(n=3, size=16):
    return np.arange(n * size * size, dtype=np.int16).reshape(n, size, size)


def maps(n=3, size=4):
    return np.linspace(0, 1, n * size * size).reshape(n, size, size)


def assert_offline(page):
    """No address that a browser would load, no markup out of typed text, no way out."""
    soup = BeautifulSoup(page, "html.parser")
    assert soup.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert not soup.select("script[src], link[href], iframe, img[onerror]")
    assert "require.min.js" not in page and "mathjax.org" not in page and "unpkg.com" not in page
    assert not [s for s in soup.find_all("script") if s.text.startswith("window.hacked")]


def test_a_page_needs_nothing_and_escapes_what_was_typed(tmp_path):
    widget = SliceViewer(slices(), {NASTY: maps()}, titles=[NASTY] * 3, cohort_title=NASTY)
    write_page(widget, tmp_path / "page.html", NASTY)
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
    html.export_notebook(source, tmp_path / "x.html")
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
        html.export_notebook(tmp_path / "x.ipynb", tmp_path / "x.html")
    with pytest.raises(DataError, match=re.escape("none.ipynb")):
        html.export_notebook(tmp_path / "none.ipynb", tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()
