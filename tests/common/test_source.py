"""Which code stands behind what: closures, rooms' public names, digests."""

import json
import os

import pytest
from places import ROOT

from camreader.common import source


@pytest.fixture
def behind(tmp_path, monkeypatch):
    """modules_behind of a notebook with this code, as paths below lib/camreader."""
    monkeypatch.chdir(ROOT)

    def run(code):
        cells = [{"cell_type": "code", "source": [code], "metadata": {}}]
        (tmp_path / "x.ipynb").write_text(json.dumps({"cells": cells}))
        found = source.modules_behind(tmp_path / "x.ipynb")
        return {os.path.relpath(path, source.PACKAGE) for path in found}

    return run


def test_a_notebooks_imports_are_followed_to_the_base(behind):
    found = behind("%matplotlib inline\nfrom camreader.common.storage import read_json")
    assert {"common/storage.py", "common/tables.py", "common/errors.py"} <= found
    assert "training/networks.py" not in found


def test_a_rooms_public_names_lead_to_their_modules(behind):
    found = behind("from camreader import cohorts\ncohorts.load(1)")
    assert "cohorts/cohort.py" in found and "cohorts/download.py" not in found
    found = behind("from camreader import cohorts\ncohorts.plots.counts(1)")
    assert "cohorts/plots.py" in found and "cohorts/download.py" not in found
    assert "cohorts/cohort.py" in behind("from camreader.cohorts import load")


def test_a_widgets_scripts_come_with_it(behind):
    found = behind("from camreader.viewer import SliceViewer")
    assert {"viewer/static/viewer.js", "viewer/static/viewer.css"} <= found


def test_a_template_comes_with_the_module_beside_it(monkeypatch):
    monkeypatch.chdir(ROOT)
    assert "lib/camreader/report/template.html" in source.modules_behind("report.page")


def test_statistics_of_readers_do_not_rest_on_the_network(monkeypatch):
    """Editing the network must not repeat 05, nor editing agreement the training."""
    monkeypatch.chdir(ROOT)
    readers = " ".join(source.modules_behind("notebooks/05_reader_results.ipynb"))
    training = " ".join(source.modules_behind("notebooks/02_train.ipynb"))
    assert "training/networks.py" in training and "training/networks.py" not in readers
    assert "statistics/agreement.py" in readers and "statistics/agreement.py" not in training


def test_a_digest_changes_with_what_is_behind_and_with_nothing_else(tmp_path, monkeypatch):
    import shutil

    copy = shutil.copytree(source.PACKAGE, tmp_path / "camreader")
    monkeypatch.setattr(source, "PACKAGE", copy)
    digest = lambda: source.code_digest("training.trainer", ("training", "cohorts"))  # noqa: E731
    before = digest()
    with open(copy / "session" / "log.py", "a") as handle:
        handle.write("# another comment")
    with open(copy / "common" / "text.py", "a") as handle:
        handle.write("# another comment")
    assert digest() == before
    with open(copy / "training" / "networks.py", "a") as handle:
        handle.write("# another comment")
    assert digest() != before
