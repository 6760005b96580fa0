"""Which study is read, and that its log is the project's wherever the server or a kernel runs."""

import pytest
import yaml
from places import ROOT
from reading_study import make_study

from camreader.common.configuration import parameter_values
from camreader.common.errors import DataError
from camreader.session import lookup

NOTEBOOK = ROOT / "notebooks" / "07_reading_session.ipynb"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's folder with a reading set up and notebook 07, and the folder we are in."""
    folder = tmp_path / "project"
    make_study(folder / "data" / "readings" / "tiny", cases=4, training_cases=0, size=8)
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / NOTEBOOK.name).write_text(NOTEBOOK.read_text())
    monkeypatch.chdir(folder)
    return folder


def configure(folder, **parameters):
    config = {"source": "", "cohort": "tiny", "data": "data", "reports": "reports"}
    config |= {"parameters": {"07_reading_session": parameters}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder / "config.yaml"


def test_the_address_of_the_log_is_the_projects_or_the_notebooks_own(project):
    own = project / "notebooks" / NOTEBOOK.name
    own.write_text(
        own.read_text().replace('DATABASE = \\"\\"', 'DATABASE = \\"../data/x.sqlite\\"')
    )
    expected = {
        "": project / "notebooks" / ".." / "data" / "x.sqlite",
        "other.sqlite": project / "other.sqlite",
        "sqlite:///data/shared.sqlite": project / "data" / "shared.sqlite",
        "postgresql+pg8000://study@host/readings": "postgresql+pg8000://study@host/readings",
    }
    for given, found in expected.items():
        told = lookup.session_options({"DATABASE": given})
        assert told["database"] == str(found)
    assert parameter_values(NOTEBOOK)["DATABASE"] == ""
    assert lookup.session_options({}, NOTEBOOK)["database"] == ""


def test_what_is_configured_goes_before_the_notebook_and_the_command_before_both(project):
    path = configure(project, IDLE_SECONDS=7, DATABASE="a.sqlite")
    design, told = lookup.find_design(path)
    assert design.folder == project / "data/readings/tiny" or design.folder.name == "tiny"
    values = parameter_values(NOTEBOOK)
    assert told == {
        "idle_seconds": 7,
        "one_key": values["ONE_KEY"],
        "undo_seconds": values["UNDO_SECONDS"],
        "display_check": values["DISPLAY_CHECK"],
        "database": str(project / "a.sqlite"),
    }
    assert lookup.find_design(path, database="b.sqlite")[1]["database"] == str(project / "b.sqlite")


def test_a_study_that_is_not_set_up_is_refused_with_those_that_are(project):
    with pytest.raises(DataError, match=r"No reading is set up for 'other'.*set up are tiny"):
        lookup.find_design(configure(project), "other")
