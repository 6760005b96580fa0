"""Where a reader stands, from the stored order and the stored events, read once per answer."""

from collections import Counter

import pytest
from reading_study import make_study

from camreader.session.log import Occupied, ReadingLog, Refused
from camreader.session.progress import Reading, Step, clean_name, enroll, position

LOCK = {"diagnosis": "tumor", "confidence": 4}
REVISED = {**LOCK, "helpfulness": "some"}
STEPS = [Step("C1", "training"), Step("C2", "sequential"), Step("C3", "aided", stages=("aided",))]


@pytest.fixture
def study(tmp_path):
    design = make_study(tmp_path, cases=4, training_cases=1, size=8)
    return design, ReadingLog(tmp_path / "readings.sqlite", design.study)


@pytest.mark.parametrize(
    ("told", "index", "stage"),
    [
        ([], 0, "unaided"),
        ([("C1", "locked")], 0, "aided"),
        ([("C1", "locked"), ("C1", "revised")], 1, "unaided"),
        ([("C1", "locked"), ("C1", "revised"), ("C2", "locked"), ("C2", "revised")], 2, "aided"),
        ([(case, kind) for case in ("C1", "C2", "C3") for kind in ("locked", "revised")], 3, None),
    ],
)
def test_a_position_follows_from_what_is_stored(told, index, stage):
    events = [{"case_id": case, "kind": kind} for case, kind in told]
    here = position(STEPS, events)
    assert (here.index, here.stage) == (index, stage or "finished")


def test_a_readers_events_are_read_once_per_answer(study, monkeypatch):
    design, log = study
    reading, asked, events = Reading(design, log, "Ann"), Counter(), ReadingLog.events
    monkeypatch.setattr(ReadingLog, "events", lambda *a, **k: asked.update([1]) or events(*a, **k))
    for turn, step in enumerate(reading.steps):
        for kind, answer in (("locked", LOCK), ("revised", REVISED)):
            reading.start_case()
            assert reading.submit(kind, step.case, answer, f"{kind} {turn}")
            assert reading.position().index == turn + (kind == "revised")
            assert len(reading.answers()) == turn + 1
    assert asked[1] == 2 * len(reading.steps)
    assert reading.events == [
        {name: event[name] for name in event if name != "sequence"} if local else event
        for event, local in zip(
            log.events(reader="Ann"), ["sequence" not in e for e in reading.events], strict=True
        )
    ]


def test_what_another_session_stored_is_seen_before_the_next_answer(study, tmp_path):
    """A sleeping laptop wakes up after the reader went on elsewhere."""
    design, log = study
    sleeping, case = Reading(design, log, "Ann"), design.steps(1)[0].case
    log.release("Ann")
    other = Reading(design, ReadingLog(tmp_path / "readings.sqlite", design.study), "Ann")
    other.submit("locked", case, LOCK, "other")
    with pytest.raises(Occupied):
        sleeping.submit("locked", case, LOCK, "mine")
    other.close()
    with pytest.raises(Refused, match="does not belong to the current case"):
        sleeping.submit("locked", case, LOCK, "mine")
    assert sleeping.submit("revised", case, REVISED, "next")


def test_a_repeated_answer_is_acknowledged_and_stored_once(study):
    design, log = study
    reading, case = Reading(design, log, "Ann"), design.steps(1)[0].case
    assert reading.submit("locked", case, LOCK, "one")
    assert not reading.submit("locked", case, LOCK, "one")
    assert [e["event_id"] for e in reading.events].count("one") == 1


def test_names_are_cleaned_and_places_taken_in_turn(study):
    design, log = study
    assert clean_name("  Ann \n Lee ") == "Ann Lee"
    assert enroll(log, design, "Ann") == ("Ann", 1) == enroll(log, design, "ANN")
    assert enroll(log, design, "Bob") == ("Bob", 2)
    with pytest.raises(Refused, match="all places are taken"):
        enroll(log, design, "Cem")
