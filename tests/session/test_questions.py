"""What may be asked, what is an answer, and all that follows from the one list of questions."""

import json
import re
from dataclasses import asdict, replace
from textwrap import dedent

import numpy as np
import pandas as pd
import pytest
import yaml
from places import ROOT
from reading_kernel import KeeperHere, Page
from reading_study import make_study

from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.reader_study.study import load
from camreader.session import questions, simulate, tidy
from camreader.session import widget as session_widget
from camreader.session.log import ReadingLog, Refused
from camreader.session.questions import (
    QUESTIONS,
    Option,
    Question,
    check_answer,
    check_questions,
    for_stages,
    from_design,
    named,
    score,
)
from camreader.session.stages import PRESETS, paradigm

LOCK = {"diagnosis": "tumor", "confidence": 4}
TWO_STAGES = for_stages(QUESTIONS, PRESETS["sequential"].stages)
TRUST = Question(
    "trust",
    "scale",
    "How far do you trust the network?",
    tuple(Option(value, keys=str(value + 4)) for value in range(1, 6)),  # keys 5 to 9
    stages=("aided",),
    short="trust",
)
SIZE = Question("size", "slider", "How large is it?", high=50, required=False, short="size in mm")


@pytest.fixture
def more():
    """The list with two questions more: nothing but the list is changed."""
    QUESTIONS.extend((TRUST, SIZE))
    yield QUESTIONS
    del QUESTIONS[-2:]


def test_a_question_added_to_the_list_is_asked_stored_and_analysed(tmp_path, monkeypatch, more):
    """By the kernel's side; the page itself: tests/browser/test_questions.py."""
    monkeypatch.setattr(session_widget, "Keeper", KeeperHere)
    design = make_study(tmp_path, cases=2, training_cases=0, size=8)
    page = Page(tmp_path)
    assert [q["name"] for q in page.session.settings["questions"]] == [q.name for q in more]
    for turn in range(2):
        refused = page.event("locked", LOCK | {"trust": 3})
        assert "unknown fields: ['trust']" in refused["words"]  # not asked here
        assert page.event("locked", LOCK | {"size": 12.5})["ok"]
        revised = LOCK | {"helpfulness": "yes"}
        for bad in ({}, {"trust": 6}, {"trust": 3, "size": 51}):
            assert not page.event("revised", revised | bad)["ok"]
        assert page.event("revised", revised | {"trust": 2 + turn})["ok"]
    assert page.state["answers"][0]["aided"]["trust"] == 2
    page.session.close()
    stored = ReadingLog(tmp_path / "readings.sqlite", design.study).events(kind="revised")
    assert [event["payload"]["trust"] for event in stored] == [2, 3]
    frame = tidy.load_tidy(tmp_path / "readings.sqlite")
    assert list(frame["trust"].fillna(0)) == [0, 2, 0, 3]
    assert list(frame["size"].fillna(0)) == [12.5, 0, 12.5, 0]
    tidy.write_tidy(frame, tmp_path / "tidy.csv")
    again = tidy.load_tidy(tmp_path / "tidy.csv")
    pd.testing.assert_frame_equal(again[["trust", "size"]], frame[["trust", "size"]])
    readings = load(tmp_path / "readings.sqlite", Study(str(tmp_path), "none", "x")).readings
    assert readings["trust"].max() == 3 and readings["size"].max() == 12.5


def test_a_rehearsal_answers_it_and_the_others_as_before(tmp_path, more):
    frame = simulate.simulate_readings(readers=2, cases=10)
    told = simulate.through_log(frame, tmp_path / "simulated.sqlite")
    aided = told["modality"] == "aided"
    assert told.loc[aided, "trust"].between(1, 5).all() and told.loc[~aided, "trust"].isna().all()
    assert told["size"].between(0, 50).all()
    kept = [more.pop() for _ in range(2)]
    plain = simulate.simulate_readings(readers=2, cases=10)
    more.extend(kept)
    pd.testing.assert_frame_equal(frame[plain.columns], plain)


def test_a_design_keeps_its_questions(more):
    stored = json.loads(json.dumps([asdict(question) for question in more]))
    assert from_design(stored) == tuple(more)
    assert [question.name for question in from_design(None)] == list(questions.FIRST)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((replace(TRUST, name="helpfulness"),), "name of its own"),
        ((replace(TRUST, name="milliseconds"),), "name of its own"),
        ((replace(TRUST, name="Trust me"),), "name of its own"),
        ((replace(TRUST, kind="stars"),), "a kind"),
        ((replace(TRUST, options=TRUST.options[:1]),), "two different options"),
        ((replace(TRUST, options=TRUST.options[::-1]),), "rising whole numbers"),
        ((replace(SIZE, high=0),), "low below high"),
        ((replace(TRUST, stages=("later",)),), "stages among"),
        ((replace(TRUST, paired="size"),), "as its pair"),
        ((replace(TRUST, options=(Option(1, keys="J"), Option(2, keys="8"))),), "two meanings.*J"),
        ((replace(TRUST, options=(Option(1, keys="P"), Option(2))),), "two meanings.*P"),
        ((replace(TRUST, options=(Option(1, keys="67"), Option(2))),), "1 key"),
        ((replace(TRUST, kind="choice", options=(Option("A"), Option("b"))),), "small letters"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_in_words(change, words):
    check_questions([*QUESTIONS, TRUST, SIZE])
    with pytest.raises(DataError, match=words):
        check_questions((*QUESTIONS, *change))


def test_the_analysis_needs_a_diagnosis_with_its_confidence():
    with pytest.raises(DataError, match=r"needs this question.*diagnosis"):
        check_questions([named("confidence"), TRUST])


@pytest.mark.parametrize(
    "payload",
    [
        {"diagnosis": "cyst", "confidence": 4},
        {"diagnosis": "tumor", "confidence": 4.5},
        {"diagnosis": "tumor", "confidence": True},
        {"diagnosis": ["tumor"], "confidence": 4},
        {"diagnosis": "tumor"},
        LOCK | {"comment": None},
        LOCK | {"helpfulness": "yes"},
    ],
)
def test_what_is_no_answer_is_refused(payload):
    check_answer("unaided", LOCK, TWO_STAGES)
    with pytest.raises(Refused):
        check_answer("unaided", payload, TWO_STAGES)


@pytest.mark.parametrize(
    ("diagnosis", "confidence", "expected"),
    [("tumor", 5, 10), ("tumor", 1, 6), ("no tumor", 1, 5), ("no tumor", 5, 1), ("other", 5, 1)],
)
def test_the_score_orders_answers_from_no_tumor_to_tumor(diagnosis, confidence, expected):
    assert score(diagnosis, confidence) == expected


def test_the_score_of_many_answers_is_that_of_each():
    diagnosis, confidence = np.array(["tumor", "no tumor", "other"]), np.array([2, 3, 5])
    assert score(diagnosis, confidence).tolist() == [7, 3, 1]
    assert score(diagnosis, confidence, range(7)).tolist() == [10, 4, 2]


MALIGNANT = {
    "name": "malignancy",
    "kind": "slider",
    "prompt": "Probability of malignancy",
    "stages": ["all"],
}


def test_a_question_of_a_configuration_is_asked_at_its_stages(tmp_path):
    """A slider from 0 to 100 at every stage, no question about the map, from mappings alone."""
    asked = questions.configured([MALIGNANT, {"name": "helpfulness", "ask": False}])
    design = make_study(tmp_path, cases=2, size=8, design="answer_then_map", questions=asked)
    page = Page(design.folder)
    names = [question["name"] for question in page.session.settings["questions"]]
    assert names == ["diagnosis", "confidence", "comment", "malignancy"]
    for step in design.steps(1):
        for value, stage in zip((10, 55, 70.5), ("unaided", "answer", "map"), strict=True):
            told = page.state["told"] | LOCK
            refused = page.event(page.state["kind"], told, step.case)
            assert not refused["ok"] and "malignancy" in refused["words"]
            assert page.state["stage"] == stage
            assert page.event(page.state["kind"], told | {"malignancy": value})["ok"]
    page.session.close()
    frame = tidy.load_tidy(tmp_path / "readings.sqlite")
    assert frame["malignancy"].tolist() == [10, 55, 70.5] * 2 and "helpfulness" not in frame


@pytest.mark.parametrize(
    "entry", [{"kind": "slider"}, {"name": "x", "colour": 1}, "x", {"name": "y", "ask": False}]
)
def test_what_is_no_question_of_a_configuration_is_refused(entry):
    with pytest.raises(DataError, match="Not a question"):
        questions.configured([entry])


def test_a_profile_is_stored_once_and_becomes_columns(tmp_path):
    field = {"name": "years", "prompt": "Years of reading CT", "options": ["0-5", "more"]}
    questions.check_profile([field])
    with pytest.raises(DataError, match="profile"):
        questions.check_profile([{"name": "Years!"}])
    design = make_study(tmp_path, cases=1, training_cases=0, size=8)
    page = Page(design.folder, None)
    assert page.say(type="begin", name="Ann", profile={"years": " more "})["ok"]
    page.event("locked", LOCK)
    page.session.close()
    frame = tidy.load_tidy(tmp_path / "readings.sqlite")
    assert frame["reader_years"].tolist() == ["more"]


def test_the_examples_of_the_guide_can_be_read():
    """Every YAML block of docs/reader-study.md: arms of one's own, questions and a profile."""
    text = (ROOT / "docs" / "reader-study.md").read_text()
    blocks = [yaml.safe_load(dedent(part)) for part in re.findall("```yaml\n(.*?)```", text, re.S)]
    arms, asked = blocks[0]["parameters"]["07_reading_session"]["ARMS"], blocks[1]
    own = paradigm(arms)
    assert own.contrast == ("map", "blob") and own.stages["blob"].map == "centre"
    found = questions.configured(asked["QUESTIONS"])
    check_questions(found, own)
    resolved = {q.name: q.stages for q in questions.for_stages(found, own.stages)}
    assert resolved["malignancy"] == ("unaided", "map", "blob")
    assert resolved["trust"] == ("map", "blob") and "helpfulness" not in resolved
    questions.check_profile(asked["PROFILE"])
