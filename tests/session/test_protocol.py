"""The protocol is sealed before the first answer; later changes are refused, or recorded."""

import json
from dataclasses import asdict, replace

import pytest
from reading_study import make_study

from camreader.common.errors import DataError
from camreader.common.storage import digest, read_json, write_json
from camreader.common.study import Study
from camreader.reader_study.study import load
from camreader.session import overview, prepare, protocol
from camreader.session.log import ReadingLog
from camreader.session.plan import Plan
from camreader.session.progress import Design, Reading
from camreader.session.stages import as_stored


@pytest.fixture
def begun(tmp_path):
    """A study whose first reader has begun: (Study, Plan, database)."""
    study = Study(str(tmp_path), "tiny", str(tmp_path))
    settings = {"design": "answer_then_map", "margin": 0.05, "training_cases": 0}
    design = make_study(study.readings, cases=4, size=8, **settings)
    database = study.readings / "readings.sqlite"
    Reading(design, ReadingLog(database, design.study), "Ann").close()
    return study, Plan(**design.card["plan"]), database


def test_it_says_what_will_be_compared_and_how_under_a_digest(tmp_path):
    make_study(tmp_path, cases=4, size=8, design="answer_then_map", margin=0.05)
    found = protocol.load(tmp_path)
    assert found["protocol"]["primary contrast"] == "map minus answer"
    assert found["protocol"]["margin"] == 0.05 and "Holm" in found["protocol"]["analysis"]
    text = json.dumps(found["protocol"], sort_keys=True)
    assert digest(text) == found["digest"] and found["digest"][:16] in protocol.quoted(tmp_path)
    crate = read_json(tmp_path / "ro-crate-metadata.json")
    files = {part["@id"]: part for part in crate["@graph"]}
    assert files["protocol.json"]["sha256"] == digest(tmp_path / "protocol.json")
    assert files["./"]["hasPart"] == [{"@id": "protocol.json"}, {"@id": "design.json"}]


def test_a_changed_margin_is_refused_and_a_forced_one_stands_in_the_report(begun):
    study, plan, database = begun
    other = replace(plan, margin=0.1)
    with pytest.raises(DataError, match=r"margin 0.05 to 0.1.*FORCE_CHANGE"):
        prepare.keep_or_set_up(study, other, database)
    assert protocol.changes(study.readings) == []
    prepare.keep_or_set_up(study, other, database, force_change=True)
    design = Design.load(study.readings)
    assert (
        design.card["plan"]["margin"] == 0.1 and "margin 0.05 to 0.1" in design.protocol_changes[0]
    )
    assert "margin 0.05 to 0.1" in "\n".join(overview.facts(design))
    prepare.keep_or_set_up(study, other, database)  # the same again is no change
    assert len(design.protocol_changes) == 1
    reading = Reading(design, ReadingLog(database, design.study), "Ann")
    case = reading.position().step.case
    assert reading.submit("locked", case, {"diagnosis": "tumor", "confidence": 4}, "a")
    reading.close()


def test_a_changed_contrast_can_be_forced_and_another_design_cannot(begun):
    study, plan, database = begun
    stored = as_stored(plan.paradigm)
    arms = {arm["name"]: arm["stages"] for arm in stored["arms"]}
    contrast = replace(plan, design={**stored, "arms": arms, "contrast": ["map", "unaided"]})
    prepare.keep_or_set_up(study, contrast, database, force_change=True)
    assert protocol.load(study.readings)["protocol"]["primary contrast"] == "map minus unaided"
    for change in ({"design": "sequential"}, {"cases": 10}, {"seed": 1}):
        with pytest.raises(DataError, match="cannot be changed"):
            other = Plan(**asdict(plan) | change)
            prepare.keep_or_set_up(study, other, database, force_change=True)


def test_an_edited_protocol_is_noticed(tmp_path):
    design = make_study(tmp_path, cases=4, size=8)
    found = read_json(tmp_path / "protocol.json")
    found["protocol"]["margin"] = 0.2
    write_json(found, tmp_path / "protocol.json")
    with pytest.raises(DataError, match="digest does not fit"):
        protocol.load(tmp_path)
    assert "edited" in design.protocol_changes[0]


def test_a_change_is_a_flag_of_the_analysis(begun):
    study, plan, database = begun
    prepare.keep_or_set_up(study, replace(plan, margin=0.1), database, force_change=True)
    design = Design.load(study.readings)
    reading = Reading(design, ReadingLog(database, design.study), "Ann")
    for turn in range(2):
        case = reading.position().step.case
        reading.submit("locked", case, {"diagnosis": "tumor", "confidence": 4}, f"a{turn}")
        for stage in ("answer", "map"):
            reading.log.append("revealed", "Ann", case, stage)
            reading.events = reading.log.events(reader="Ann")
            said = {"diagnosis": "tumor", "confidence": 5, "stage": stage, "period": 1}
            said |= {"helpfulness": "yes"} if stage == "map" else {}
            reading.submit("answered", case, said, f"{stage}{turn}")
    reading.close()
    assert any("margin 0.05 to 0.1" in flag for flag in load(str(database), study).flags)
