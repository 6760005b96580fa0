"""Simulated readings take the way of real ones, and never pass for them."""

import numpy as np
import pandas as pd
import pytest
from reading_study import make_study

from camreader.__main__ import main
from camreader.session.log import ReadingLog
from camreader.session.progress import Reading
from camreader.session.questions import QUESTIONS, check_answer, for_stages
from camreader.session.simulate import replay, simulate_readings, through_log
from camreader.session.stages import PRESETS
from camreader.session.tidy import load_tidy


@pytest.fixture
def study(tmp_path):
    design = make_study(tmp_path, cases=6, training_cases=1, size=8)
    return design, ReadingLog(tmp_path / "readings.sqlite", design.study)


def test_a_simulated_study_goes_through_the_log_and_says_so(tmp_path, capsys):
    """The invented readers of notebook 08 come back as they were, by way of the log."""
    invented = simulate_readings(readers=2, cases=10, seed=3)
    frame = through_log(invented, tmp_path / "simulated.sqlite")
    assert frame["simulated"].all() and len(frame) == 2 * 10 * 2
    for name in (
        "reader",
        "case",
        "modality",
        "truth",
        "score",
        "diagnosis",
        "confidence",
        "seconds",
        "order",
        "cnn_prediction",
    ):
        assert frame[name].tolist() == invented[name].tolist(), name
    assert frame["helpfulness"].fillna("").tolist() == invented["helpfulness"].tolist()
    events = ReadingLog(tmp_path / "simulated.sqlite", None, readonly=True).events()
    assert all(event["simulated"] for event in events)
    invented.to_csv(tmp_path / "invented.csv", index=False)
    main(["readings", "simulate", "--folder", str(tmp_path), str(tmp_path / "invented.csv")])
    assert "40 simulated answers" in capsys.readouterr().out
    pd.testing.assert_frame_equal(load_tidy(tmp_path / "simulated.sqlite"), frame)


def test_invented_answers_never_replace_a_log_of_real_ones(study, tmp_path, capsys):
    design, log = study
    answer = {"diagnosis": "tumor", "confidence": 1}
    Reading(design, log, "Ann").submit("locked", design.steps(1)[0].case, answer, "e")
    before = log.events()
    simulate_readings(readers=2, cases=4).to_csv(tmp_path / "invented.csv", index=False)
    command = ["readings", "simulate", "--folder", str(tmp_path), str(tmp_path / "invented.csv")]
    assert main([*command, "--database", str(tmp_path / "readings.sqlite")]) == 1
    assert "real readers and is not replaced" in capsys.readouterr().err
    assert main([*command, "--database", "postgresql+pg8000://study@host/readings"]) == 1
    assert "SQLite file of their own" in capsys.readouterr().err
    assert log.events() == before


def test_simulated_answers_cannot_enter_a_real_log(study):
    _, log = study
    with pytest.raises(ValueError, match="simulated=True"):
        replay(pd.DataFrame(), log)


def test_a_replayed_table_comes_back(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "reader": "R1",
            "case": [f"V{n}" for n in range(5)],
            "modality": "unaided",
            "truth": [0, 1, 0, 1, 1],
            "score": rng.random(5),
            "cnn_prediction": 1,
        }
    )
    frame = through_log(table, tmp_path / "s.sqlite")
    for name in table.columns:
        assert frame[name].tolist() == table[name].tolist()
    assert frame["diagnosis"].isna().all()


def test_simulated_answers_are_answers_that_a_reader_could_give():
    frame = simulate_readings(readers=2, cases=20, seed=1)
    names = [question.name for question in QUESTIONS if question.name in frame]
    for row in frame.to_dict("records"):
        asked = for_stages(QUESTIONS, PRESETS["sequential"].stages)
        given = {name: row[name] for name in names if row[name] not in ("", None)}
        check_answer(row["modality"], given, asked)
    assert frame["simulated"].all() and frame["truth"].mean() == 0.5


@pytest.mark.parametrize("name", PRESETS)
def test_every_design_is_read_as_it_assigns(name):
    """Whom each reader meets what under: counts per reader, arm and stage, and no reading twice."""
    preset = PRESETS[name]
    frame = simulate_readings(12, 24, 5, paradigm=preset)
    assert not frame.duplicated(["reader", "case", "modality"]).any()
    assert list(dict.fromkeys(frame["modality"])) and set(frame["modality"]) == set(preset.stages)
    per_reader = frame.groupby(["reader", "arm"])["case"].nunique().unstack(fill_value=0)
    share = {"within": 24, "crossover": 24, "cases": 24 // len(preset.arms)}
    if preset.assign == "readers":
        assert (per_reader.eq(24).sum() == 12 // len(preset.arms)).all()
        assert per_reader.eq(24).sum(1).eq(1).all()
    else:
        assert per_reader.eq(share[preset.assign]).all(axis=None)
    halves = frame.groupby(["reader", "arm", "modality"])["truth"].mean()
    assert halves.eq(0.5).all()
    shown = {stage.name: stage.map for stage in preset.stages.values() if "map" in stage.shows}
    for modality, part in frame.groupby("modality"):
        assert set(part["map"]) == {shown.get(modality, "")}
        assert part["map_hit"].notna().any() == (modality in shown)
    if preset.assign == "crossover":  # a Latin square: every arm as often in every period
        turns = frame.groupby(["period", "arm"])["case"].size()
        assert turns.nunique() == 1


def test_a_new_stage_follows_the_earlier_ones_of_its_arm():
    frame = simulate_readings(2, 10, 0, paradigm=PRESETS["answer_then_map"])
    stages = frame.groupby(["reader", "case"], sort=False)["modality"].agg(list)
    assert all(order == ["unaided", "answer", "map"] for order in stages)


def test_a_profile_is_noted_when_its_reader_enrols(tmp_path):
    log = ReadingLog(tmp_path / "s.sqlite", "s", simulated=True)
    frame = simulate_readings(3, 6, 0)
    replay(frame, log)
    noted = [e["payload"] for e in log.events() if e["kind"] == "enrolled"]
    years = frame.drop_duplicates("reader")["reader_years"].tolist()
    assert [payload["profile"]["years"] for payload in noted] == years
