"""What may stand in config.yaml: names, types and limits, each refused in words beforehand."""

import ast
import json

import pytest
import yaml
from papermill.inspection import inspect_notebook
from places import ROOT

from camreader.common import configuration
from camreader.common.configuration import cohort_name, origin_of
from camreader.common.errors import DataError

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
CELL = """EPOCHS = 5  # one
SHARE = 0.2
NAME = "x"
SEEDS = [0]
KEY = True
PROTOCOL = "sound"
CLASSES = {}
FOLDERS = []
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with one notebook, 01_x, whose parameters are those of CELL."""
    cells = [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": CELL},
        {"cell_type": "code", "metadata": {}, "source": "raise SystemExit('never run')"},
    ]
    content = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "01_x.ipynb").write_text(json.dumps(content))
    return tmp_path


def check(folder, **values):
    configuration.check_configuration({"parameters": {"01_x": values}}, folder)


def test_names_and_values_are_read_without_running_the_notebook(folder):
    values = configuration.parameter_values(folder / "01_x.ipynb")
    assert values == {
        "EPOCHS": 5,
        "SHARE": 0.2,
        "NAME": "x",
        "SEEDS": [0],
        "KEY": True,
        "PROTOCOL": "sound",
        "CLASSES": {},
        "FOLDERS": [],
    }


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_papermill_sees_the_same_parameters(notebook):
    """Its inspection is the independent reading; it gives values as text."""
    found = {name: ast.literal_eval(p["default"]) for name, p in inspect_notebook(notebook).items()}
    assert found == configuration.parameter_values(notebook)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"EPOHCS": 5}, "01_x: no parameter 'EPOHCS'; it has EPOCHS, SHARE"),
        ({"EPOCHS": "five"}, "01_x: EPOCHS: a whole number is expected, such as 5, not 'five'"),
        ({"EPOCHS": 2.5}, "a whole number is expected"),
        ({"EPOCHS": True}, "a whole number is expected"),
        ({"EPOCHS": None}, "a whole number is expected, such as 5, not None"),
        ({"EPOCHS": 0}, "1 or more is expected, not 0"),
        ({"SHARE": "half"}, "a number is expected"),
        ({"SHARE": -0.1}, "0 or more is expected"),
        ({"NAME": 3}, "text is expected, such as 'x', not 3"),
        ({"SEEDS": 3}, "a list is expected"),
        ({"SEEDS": []}, "at least one value is expected"),
        ({"SEEDS": [0, "a"]}, "a whole number is expected, such as 0, not 'a'"),
        ({"CLASSES": "malignant"}, "names with values is expected, such as {}, not 'malignant'"),
        ({"KEY": "yes"}, "true or false is expected"),
        ({"PROTOCOL": "both"}, "one of sound, paper is expected"),
    ],
)
def test_what_cannot_be_is_refused(folder, values, words):
    with pytest.raises(DataError) as raised:
        check(folder, **values)
    assert str(raised.value).startswith("config.yaml: ") and words in str(raised.value)


def test_what_can_be_passes(folder):
    check(folder, EPOCHS=1, SHARE=1, NAME="", SEEDS=[3, 4], KEY=False, PROTOCOL="paper")
    check(folder, CLASSES={"tumor": ["malignant"]}, FOLDERS=["a", "b"])
    configuration.check_configuration({"parameters": {"01_x": None}}, folder)


def test_everything_wrong_is_said_at_once(folder):
    config = {"sedes": [0], "seeds": [-1], "parameters": {"01_y": {}, "01_x": {"EPOCHS": "five"}}}
    with pytest.raises(DataError) as raised:
        configuration.check_configuration(config, folder, "my.yaml")
    lines = str(raised.value).splitlines()
    assert len(lines) == 4 and all(line.startswith("my.yaml: ") for line in lines)
    for words in ("no setting 'sedes'", "seeds: 0 or more", "01_y: no such notebook", "EPOCHS"):
        assert words in str(raised.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", "line 3, column"),
        ("a: 1\n\tb: 2\n", "line 2, column 1"),
        ("seeds\n", "Not a configuration"),
        ("", "Not a configuration"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, text, words):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(DataError, match=r"broken\.yaml") as raised:
        configuration.read_configuration(tmp_path / "broken.yaml")
    assert words in str(raised.value) and "unicode string" not in str(raised.value)
    with pytest.raises(DataError, match="No such configuration file"):
        configuration.read_configuration(tmp_path / "none.yaml")


def test_the_projects_own_files_pass():
    for name in ("config.yaml", "tests/quick.yaml"):
        config = configuration.read_configuration(ROOT / name)
        configuration.check_configuration(config, ROOT / "notebooks", name)
        assert set(config) == set(yaml.safe_load((ROOT / name).read_text()))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_default_is_within_its_own_limits(notebook):
    for name, value in configuration.parameter_values(notebook).items():
        assert configuration.problem(name, value, value) == ""


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"source": "", "cohort": ""}, "phantom"),
        ({"source": "some/where/mine", "cohort": ""}, "mine"),
        ({"source": "some/where/mine", "cohort": "ours"}, "ours"),
    ],
)
def test_cohort_name(config, name):
    assert configuration.cohort_name(config) == name


# Names of studies: safe in every program, and never shared by two folders


def named(folder, data="nowhere", cohort=""):
    folder.mkdir(parents=True, exist_ok=True)
    return cohort_name({"source": str(folder), "cohort": cohort, "data": str(data)})


def test_plain_names_are_kept(tmp_path):
    for name in ("mine", "my slices", "2024", "Sch\u00e4del", "v1.2"):
        assert named(tmp_path / name) == name
    assert named(tmp_path / "mine", cohort="ours") == "ours"


@pytest.mark.parametrize(
    "name", ["slices #2", "set {v2}", "A$B", "CT: liver", 'say "x"', "phantom"]
)
def test_a_name_that_means_something_elsewhere_is_made_safe_and_its_own(tmp_path, name):
    found = named(tmp_path / name)
    assert found != name and not set(found) & set('#{}$:"') and found != named(tmp_path / "slices")
    assert found.endswith(origin_of(tmp_path / name)[:8])
    assert named(tmp_path / name) == found != named(tmp_path / "b" / name)


def test_two_folders_of_one_name_are_two_studies(tmp_path):
    data = tmp_path / "data"
    first = named(tmp_path / "siteA" / "images", data)
    card = data / "cohorts" / first / "cohort.json"
    card.parent.mkdir(parents=True)
    card.write_text(json.dumps({"origin": origin_of(tmp_path / "siteA" / "images")}))
    assert named(tmp_path / "siteA" / "images", data) == first == "images"
    second = named(tmp_path / "siteB" / "images", data)
    assert second != first and second.startswith("images-")
    card.write_text("{}")  # a study made before origins were kept
    assert named(tmp_path / "siteA" / "images", data) == first
