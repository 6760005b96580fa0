"""Stages, arms and presets: what may be shown, to whom, and in which order."""

import json

import pytest

from camreader.common.errors import DataError
from camreader.session import stages
from camreader.session.stages import PRESETS, Arm, Paradigm, Stage, paradigm

TWO = {"a": [{"name": "one"}, {"name": "two", "shows": ["answer"]}]}


@pytest.mark.parametrize("name", PRESETS)
def test_each_preset_can_be_read_names_its_source_and_survives_its_file(name: str) -> None:
    preset = paradigm(name)
    preset.check()
    assert preset.source and preset.can and preset.cannot
    assert stages.from_stored(json.loads(json.dumps(stages.as_stored(preset)))) == preset


def test_designs_of_earlier_versions_name_their_paradigm_only() -> None:
    assert stages.from_stored(None, "crossover") is PRESETS["crossover"]


def test_the_default_tells_the_map_from_the_answer() -> None:
    default = PRESETS[stages.DEFAULT]
    first, second = (set(default.stages[name].shows) for name in default.contrast)
    assert first - second == {"map"}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"arms": {}}, "Arms need names"),
        ({"arms": {"a": []}}, "An arm needs a stage"),
        ({"arms": {"a": [{"name": "one", "shows": ["truth"]}, {"name": "two"}]}}, "cannot show"),
        ({"arms": {"a": [{"name": "One"}, {"name": "two"}]}}, "Unfit name"),
        ({"arms": {"a": [{"name": "training"}, {"name": "two"}]}}, "Unfit name"),
        ({"arms": {"a": [{"name": "one"}, {"name": "one"}]}}, "names of their own"),
        ({"arms": {"a": [{"name": "one", "shows": ["answer"]}, {"name": "two"}]}}, "taken back"),
        ({"arms": {"a": [{"name": "one", "shows": ["text"]}, {"name": "two"}]}}, "needs one"),
        ({"arms": {"a": [{"name": "one", "colour": 1}, {"name": "two"}]}}, "Not a design"),
        ({"arms": {"a": TWO["a"], "b": TWO["a"]}}, "One arm is read within"),
        ({"assign": "by luck"}, "Unknown assignment"),
        ({"contrast": ["one", "three"]}, "contrast"),
        ({"contrast": ["one", "one"]}, "contrast"),
        ({"contrast": 3}, "Not a design"),
    ],
)
def test_a_design_that_cannot_be_read_is_refused_in_words(change: dict, word: str) -> None:
    good = {"arms": TWO, "contrast": ["two", "one"]}
    assert paradigm(good).name == "own"
    with pytest.raises(DataError, match=word):
        paradigm(good | change)


def test_stages_of_one_name_show_the_same_in_every_arm() -> None:
    arms = (Arm("a", (Stage("one"),)), Arm("b", (Stage("one", ("answer",)), Stage("two"))))
    with pytest.raises(DataError, match="different things"):
        Paradigm("x", (arms[0], Arm("b", arms[1].stages[:1])), ("one", "two"), "cases").check()


def test_an_unknown_preset_names_the_known_ones() -> None:
    with pytest.raises(DataError, match="answer_then_map"):
        paradigm("sequentiell")
