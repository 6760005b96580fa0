"""The page's parts: cells, figures, parameters; the whole page is met in tests/browser."""

import nbformat
import numpy as np
import pandas as pd
import pytest
from markupsafe import escape
from PIL import Image

from camreader.common.study import Study
from camreader.published.claims import NOT_MEASURED
from camreader.report import page


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.123456, "0.1235"),
        (3.0, "3"),
        (np.inf, "inf"),
        (float("nan"), "–"),
        (None, "–"),
        (pd.NA, "–"),
        (1e20, "1e+20"),
        ("text", "text"),
        (True, "True"),
    ],
)
def test_a_cell_reads_as_a_reader_wants_it(value, shown):
    assert page.number(value) == shown


@pytest.fixture
def study(tmp_path):
    return Study(str(tmp_path / "data"), "mine", str(tmp_path / "reports"))


def test_a_long_table_is_cut_and_says_so(study):
    study.save_table(pd.DataFrame({"a_b": range(100)}), "t")
    view = page.table_view(study, "t", "Words")
    assert view["n"] == 100 and len(view["rows"]) == page.LONG_TABLE
    assert view["columns"] == ["a b"]


def test_a_figure_is_shown_at_the_size_its_text_was_set_for(study):
    """Drawn at 150 dots per inch with text for 100: 1,500 dots are 1,000 CSS pixels."""
    study.figures.mkdir(parents=True)
    Image.new("L", (1500, 600)).save(study.figures / "f.png")
    view = page.figure_view(study, "f", "Words")
    assert (view["width"], view["height"]) == (1000, 400)


def test_a_claim_that_was_not_measured_has_a_dash(study):
    study.save_table(pd.DataFrame({"id": ["a", "b"], "this_run": [NOT_MEASURED, "5 %"]}), "claims")
    assert page.claims_view(study)["rows"] == [["a", "–"], ["b", "5 %"]]


def notebook(tmp_path, widgets=None):
    cells = [nbformat.v4.new_code_cell("EPOCHS = 5\nCLOSEUPS = 50")]
    cells[0].metadata["tags"] = ["parameters"]
    record = {"papermill": {"duration": 12.5, "parameters": {"EPOCHS": 2}}}
    record |= {"widgets": widgets} if widgets else {}
    path = tmp_path / "x.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=record), path)
    return path


def test_every_parameter_is_shown_not_only_those_that_were_given(tmp_path):
    found = page.executed(notebook(tmp_path))
    assert found == {"seconds": 12.5, "parameters": {"EPOCHS": 2, "CLOSEUPS": 50}}


def test_the_viewer_that_a_notebook_saved_comes_to_the_page(tmp_path):
    assert page.live_viewer(notebook(tmp_path)) == ""
    state = {"_esm": "export default {}", "_css": "", "title": "<b>typed</b>"}
    models = {"a": {"state": {"value": 1}}, "b": {"state": state}}
    saved = {page.html.STATE: {"version_major": 2, "version_minor": 0, "state": models}}
    live = page.live_viewer(notebook(tmp_path, saved))
    assert escape(live) == live and 'mount("report-viewer")' in live
    assert "<b>typed" not in live


def test_the_versions_behind_the_numbers_are_named():
    names = [name for name, _version in page.versions()]
    assert names[:3] == ["camreader", "Python", "system"] and "torch" in names
