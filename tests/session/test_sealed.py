"""The keeper opens an envelope after the lock and never before; the truth stays with it."""

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading_study import make_study

from camreader.common.errors import DataError
from camreader.session import sealed as keeper
from camreader.session.log import LogError, ReadingLog, Refused
from camreader.session.progress import Reading
from camreader.session.sealed import Keeper, open_all, release, seal, serve, unseal

LOCK = {"diagnosis": "tumor", "confidence": 4}
REVISED = {**LOCK, "helpfulness": "some"}


@pytest.fixture
def study(tmp_path):
    design = make_study(tmp_path / "study", cases=4, training_cases=1)
    log = ReadingLog(tmp_path / "readings.sqlite", design.study)
    return design, log, Reading(design, log, "Ann")


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=3000), st.binary(min_size=32, max_size=32))
def test_an_envelope_opens_with_its_key_alone(content, key):
    sealed = seal(content, key)
    assert unseal(sealed, key) == content
    assert content not in sealed or len(content) < 4
    changed = bytes([sealed[0] ^ 1]) + sealed[1:]
    for wrong in ((changed, key), (sealed, b"x" * 32)):
        with pytest.raises(DataError, match="altered, or its key"):
            unseal(*wrong)


def test_nothing_is_opened_before_the_lock_and_only_this_case_after(study):
    design, log, reading = study
    case, later = reading.steps[0].case, reading.steps[1].case
    with pytest.raises(Refused, match="stays sealed"):
        release(design, log, "Ann", case)
    reading.submit("locked", case, LOCK, "e1")
    with pytest.raises(Refused, match="stays sealed"):
        release(design, log, "Ann", later)
    with pytest.raises(Refused, match="not part"):
        release(design, log, "Bob", case)
    shown = release(design, log, "Ann", case)
    truth = open_all(design.folder)
    assert shown["cnn_prediction"] == truth[case]["cnn_prediction"]
    assert [e["kind"] for e in log.events()] == ["enrolled", "locked", "revealed"]


def test_the_truth_is_told_in_training_only(study):
    design, log, reading = study
    told = []
    for number, step in enumerate(reading.steps):
        reading.submit("locked", step.case, LOCK, f"l{number}")
        told.append("truth" in release(design, log, "Ann", step.case))
        reading.submit("revised", step.case, REVISED, f"r{number}")
    assert told == [True, False, False, False, False]


def test_crossover_opens_an_aided_case_without_a_lock_and_no_unaided_one(tmp_path):
    design = make_study(tmp_path / "s", cases=4, training_cases=0, design="crossover")
    log = ReadingLog(tmp_path / "readings.sqlite", design.study)
    reading = Reading(design, log, "Ann")
    for number, step in enumerate(step for step in reading.steps if step.period == 1):
        if step.phase == "aided":
            assert release(design, log, "Ann", step.case)["shape"] == [16, 16]
            reading.submit("revised", step.case, REVISED, str(number))
        else:
            with pytest.raises(Refused, match="stays sealed"):
                release(design, log, "Ann", step.case)
            reading.submit("locked", step.case, LOCK, str(number))
    assert reading.position().stage == "waiting"  # the washout


def test_the_process_answers_in_words_and_starts_again_when_killed(study, tmp_path):
    design, log, reading = study
    case = reading.steps[0].case
    with_keeper = Keeper(design.folder, tmp_path / "readings.sqlite", log.session)
    with pytest.raises(Refused, match="stays sealed"):
        with_keeper.reveal("Ann", case)
    reading.submit("locked", case, LOCK, "e1")
    with_keeper.process.kill()
    shown = with_keeper.reveal("Ann", case)
    pixels, shape = keeper.unpack_map(shown)
    assert len(pixels) == 16 * 16 and shape == (16, 16)
    (design.folder / "keeper.key").unlink()
    with pytest.raises(LogError, match="key to the sealed truth"):
        with_keeper.reveal("Ann", case)
    with_keeper.close()
    assert with_keeper.process.poll() is not None


def test_a_broken_request_does_not_end_the_keeper(study, tmp_path):
    design, _, _ = study
    said = io.StringIO()
    asked = io.StringIO('{"reader": 1}\nnonsense\n' + json.dumps({"reader": "x", "case": "y"}))
    serve(design.folder, tmp_path / "readings.sqlite", "s", asked, said)
    assert len(said.getvalue().splitlines()) == 3
    assert "truth" not in said.getvalue()
