"""Where the study stands, from the times of its files."""

import os

import pytest
from places import ROOT

from camreader.common.study import Study
from camreader.report import board, catalogue

NAMES = list(catalogue.PARTS)


@pytest.fixture()
def study(tmp_path):
    """A study of which every notebook has left its findings, an hour from now."""
    study = Study(tmp_path / "data", "phantom", tmp_path / "reports")
    study.tables.mkdir(parents=True)
    later = os.path.getmtime(ROOT / "README.md") + 10**8
    for name in NAMES:
        path = study.tables / f"{name}_findings.json"
        path.write_text("{}")
        os.utime(path, (later, later))
    study.cohort_table.parent.mkdir(parents=True)
    study.cohort_table.write_text("")
    return study, later


def test_made_missing_and_stale_are_told_apart(study):
    study, later = study
    table = board.states(study, ROOT / "notebooks")
    assert list(table["notebook"]) == NAMES and set(table["state"]) == {board.MADE}
    assert board.following(table) == ""
    os.utime(study.cohort_table, (later + 5, later + 5))
    (study.tables / f"{NAMES[6]}_findings.json").unlink()
    table = board.states(study, ROOT / "notebooks").set_index("notebook")
    reading = [n for n in NAMES if catalogue.COHORT in catalogue.PARTS[n].reads and n != NAMES[6]]
    assert list(table.index[table["state"] == board.STALE]) == reading
    assert table.loc[reading[0], "reason"] == "newer: its cohort"
    assert table.loc[NAMES[6], "state"] == board.MISSING
    assert board.following(table.reset_index()) == next(
        n for n in NAMES if n in [*reading, NAMES[6]]
    )


def test_the_page_links_every_notebook_and_names_the_next(study):
    study, _ = study
    (study.tables / f"{NAMES[2]}_findings.json").unlink()
    shown = board.Board(study, ROOT / "notebooks")._repr_html_()
    assert all(f'<a href="{name}.ipynb">' in shown for name in NAMES)
    assert f'Next: <a href="{NAMES[2]}.ipynb">' in shown
