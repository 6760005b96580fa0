"""The list of notebooks: complete, consistent, and the only place another notebook touches."""

import re

import pytest
from places import ROOT
from study_run import copy_checkout, run
from toy_notebook import add_toy_notebook

from camreader.report import catalogue

PARTS = catalogue.PARTS
SOURCES = {
    name: (ROOT / "notebooks" / f"{name}.ipynb").read_text().replace('\\"', '"') for name in PARTS
}


def test_it_lists_the_notebooks_in_order():
    assert list(PARTS) == sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))


def test_what_a_notebook_reads_is_known_and_written_by_an_earlier_one():
    written = {catalogue.SOURCE, catalogue.MAPS, catalogue.READINGS}
    for name, part in PARTS.items():
        assert set(part.reads) <= written, name
        written |= {name, *part.writes}


@pytest.mark.parametrize("notebook", PARTS)
def test_a_notebook_saves_exactly_the_tables_that_it_lists(notebook):
    """08 wrote two tables for months that the list did not have."""
    saved = re.findall(r'save_table\((?:[^"]|"(?!\w+"\)))*?"(\w+)"\)', SOURCES[notebook])
    assert sorted(saved) == sorted(PARTS[notebook].tables)
    assert f'save_findings("{notebook}"' in SOURCES[notebook]


@pytest.mark.parametrize("notebook", PARTS)
def test_a_notebook_saves_exactly_the_figures_that_it_lists(notebook):
    figure = (
        r'study, (?:readings, )?"(\w+)"(?:, cohort=False)?(?:, banner=[\w.]+)?(?:, vector=True)?\)'
    )
    saved = re.findall(figure, SOURCES[notebook])
    assert sorted(saved) == sorted(PARTS[notebook].figures)


def test_no_file_is_listed_twice():
    for kind in ("figures", "tables"):
        names = [name for part in PARTS.values() for name in getattr(part, kind)]
        assert len(names) == len(set(names))


def test_another_notebook_is_the_notebook_and_one_entry(tmp_path):
    add_toy_notebook(copy_checkout(tmp_path))
    status, words = run(tmp_path, "--", "-n")
    assert status == 0, words[-3000:]
    planned = words[words.index("rule toy:") :].split("rule ", 2)[1]
    for name in ("figures/09_toy.png", "tables/09_toy.csv", "tables/09_toy_findings.json"):
        assert f"reports/{name}" in planned
    page = words[words.index("rule report:") :].split("rule ", 2)[1]
    assert "reports/notebooks/09_toy.ipynb" in page
