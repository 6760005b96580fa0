"""Where a study keeps its things; findings and cards survive being written and moved."""

import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.common.storage import read_table
from camreader.common.study import Study


@pytest.fixture
def study(tmp_path):
    return Study(str(tmp_path / "data"), "mine", str(tmp_path / "reports"))


def test_findings_are_kept_as_they_were_said(study):
    said = study.save_findings("01_x", (f"Sentence {k}, 5 % of “n”." for k in (1, 2)))
    assert said == study.findings("01_x") == ["Sentence 1, 5 % of “n”.", "Sentence 2, 5 % of “n”."]
    with pytest.raises(DataError, match="02_y_findings"):
        study.findings("02_y")


def test_a_card_that_names_slices_inside_the_study_moves_with_it(study, tmp_path):
    study.save_card({"name": "mine", "source": str(study.cohort_folder / "source")})
    (tmp_path / "data").rename(tmp_path / "moved")
    moved = Study(str(tmp_path / "moved"), "mine", study.reports)
    assert moved.card["source"] == str(tmp_path / "moved" / "cohorts" / "mine" / "source")


def test_a_card_that_names_a_folder_elsewhere_keeps_it(study, tmp_path):
    study.save_card({"source": str(tmp_path / "elsewhere")})
    assert study.card["source"] == str(tmp_path / "elsewhere")


def test_a_saved_table_is_returned_for_display(study):
    frame = pd.DataFrame({"a": [1]})
    assert study.save_table(frame, "t") is frame
    assert (study.tables / "t.csv").read_text() == "a\n1\n"


def test_a_table_of_simulated_readings_says_so_in_its_file(tmp_path):
    study = Study(reports=str(tmp_path)).of_readings(True)
    frame = pd.DataFrame({"auc": [0.8]})
    assert list(study.save_table(frame, "t").columns) == ["auc"]
    assert read_table(study.tables / "t.csv")["simulated_readings"].tolist() == [True]
    study.of_readings(False).save_table(frame, "t")
    assert list(read_table(study.tables / "t.csv").columns) == ["auc"]


def test_a_notebook_started_in_the_projects_folder_is_told_where_it_belongs(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_ingest.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"--cwd notebooks.*DATA = 'data'"):
        Study()
    assert Study("data").cohort_table.parts[0] == "data"
    monkeypatch.chdir(tmp_path / "notebooks")
    assert Study().data == "../data"
