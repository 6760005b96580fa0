"""The notebooks as a reader meets them: one shape, short cells, no stored outputs."""

import ast
import json
import re

import pytest
from places import ROOT

from camreader.common import configuration
from camreader.report import catalogue

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
KEEPS_OUTPUTS = "05_reader_results"  # the same on every machine; nbval compares them


def cells(path, kind=None):
    every = json.loads(path.read_text())["cells"]
    return [c for c in every if kind in (None, c["cell_type"])]


def code(path):
    """Source of each code cell, without line magics."""
    sources = ["".join(c["source"]) for c in cells(path, "code")]
    return [re.sub(r"^\s*[%!].*$", "", s, flags=re.M) for s in sources]


@pytest.fixture(params=NOTEBOOKS, ids=lambda p: p.stem)
def notebook(request):
    return request.param


def test_the_catalogue_lists_every_notebook():
    assert [p.stem for p in NOTEBOOKS] == list(catalogue.PARTS)


def test_it_opens_with_a_title_and_its_parameters(notebook):
    first = cells(notebook)[0]
    assert first["cell_type"] == "markdown" and "".join(first["source"]).startswith("# ")
    tagged = [c for c in cells(notebook, "code") if "parameters" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1 and cells(notebook, "code")[0] == tagged[0]
    assert "REPORTS" in configuration.parameter_values(notebook)


def test_cells_are_short_and_define_nothing(notebook):
    for number, source in enumerate(code(notebook)):
        limit = 15 if number else 30  # the first cell holds the parameters, one a line
        assert len(source.strip().splitlines()) <= limit, source
        kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
        assert not any(isinstance(node, kinds) for node in ast.parse(source).body), source


def test_prose_and_code_are_about_one_to_one(notebook):
    assert len(cells(notebook, "markdown")) >= 0.8 * len(cells(notebook, "code"))


def test_only_05_keeps_outputs_and_only_text(notebook):
    outputs = [o for c in cells(notebook, "code") for o in c["outputs"]]
    if notebook.stem != KEEPS_OUTPUTS:
        assert not outputs
    assert not any("image/png" in o.get("data", {}) for o in outputs)
