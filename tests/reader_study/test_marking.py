"""A simulated free-response study, from its log to wAFROC with an interval."""

import numpy as np
import pandas as pd
import pytest

from camreader.common.study import Study
from camreader.reader_study import marking
from camreader.reader_study.study import load
from camreader.session.reader_model import NONE, made_up_cases
from camreader.session.simulate import simulate_readings, through_log
from camreader.session.simulate_marks import made_up_lesions, place_marks
from camreader.session.stages import PRESETS
from camreader.statistics.mrmc import read_jafroc
from camreader.statistics.mrmc.marks import write_jafroc


def study_of(folder, mode, effects=None):
    """(readings, marks) of 6 readers and 60 cases that went through a log."""
    cases = made_up_lesions(made_up_cases(60, np.random.default_rng(1)))
    frame = simulate_readings(6, 60, 1, cases, PRESETS["answer_then_map"], effects)
    path = folder / "simulated.sqlite"
    through_log(place_marks(frame, cases, mode, 1), path)
    study = Study(str(folder), "made-up", str(folder))
    return load(str(path), study), marking.load(str(path), study)


def reference_wafroc(marks, modality, reader):
    """wAFROC by its definition (Chakraborty 2017, section 14.3), pair by pair."""
    own = marks.marks[(marks.marks["modality"] == modality) & (marks.marks["reader"] == reader)]
    highest = own[own["mark"] == "NL"].groupby("case")["rating"].max()
    total = pairs = 0.0
    for free in marks.truth.loc[marks.truth["lesions"] == 0, "case"]:
        below = highest.get(free, -np.inf)
        for sick in marks.truth.loc[marks.truth["lesions"] > 0].itertuples():
            pairs += 1
            for number, weight in enumerate(sick.weights, start=1):
                hit = own[(own["case"] == sick.case) & (own["lesion"] == number)]["rating"]
                rating = hit.iloc[0] if len(hit) else -np.inf
                total += weight * ((rating > below) + 0.5 * (rating == below))
    return total / pairs


def test_a_free_response_study_goes_from_log_to_wafroc(tmp_path):
    readings, found = study_of(tmp_path, "free_response")
    assert found.simulated and len(found.truth) == 60 and found.truth["lesions"].sum() == 30
    table = marking.localisation_table(readings, found)
    row = table.iloc[0]
    assert (row["compared"], row["metric"], row["units"]) == ("map minus answer", "wafroc", 60)
    assert row["low"] < row["difference"] < row["high"]
    marks = found.marks(["map", "answer"])
    means = [
        np.mean([reference_wafroc(marks, stage, reader) for reader in marks.readers])
        for stage in ("map", "answer")
    ]
    assert [row["first"], row["second"]] == pytest.approx(means)
    write_jafroc(marks, tmp_path / "marks.xlsx")
    back = read_jafroc(tmp_path / "marks.xlsx")
    assert [reference_wafroc(back, "map", r) for r in back.readers] == [
        reference_wafroc(marks, "map", r) for r in marks.readers
    ]
    (sentence,) = marking.finding(found, table)
    assert sentence.startswith("SIMULATED") and "wAFROC area, map minus answer" in sentence


def test_each_readers_marks_are_counted(tmp_path):
    _, found = study_of(tmp_path, "free_response")
    table = marking.marks_table(found)
    assert len(table) == 6 * 3 and (table["lesions"] == 30).all()
    kinds = pd.crosstab([found.table["reader"], found.table["modality"]], found.table["kind"])
    keys = pd.MultiIndex.from_frame(table[["reader", "modality"]])
    assert table["found"].tolist() == kinds["LL"].reindex(keys).tolist()
    assert table["beside"].tolist() == kinds["NL"].reindex(keys).tolist()
    assert (table["found_low"] < table["found_share"]).all()


def test_one_place_gives_lroc_and_without_effects_no_difference(tmp_path):
    readings, found = study_of(tmp_path, "lroc", NONE)
    (row,) = marking.localisation_table(readings, found).to_dict("records")
    assert row["metric"] == "lroc" and row["low"] < 0 < row["high"]


def test_what_has_no_marks_is_refused_in_words(tmp_path):
    study = Study(str(tmp_path), "made-up", str(tmp_path))
    assert "not asked for marks" in marking.load("", study)
    assert "this file has none" in marking.load("scores.csv", study)
    words = marking.load("", study)
    for table in (marking.marks_table(words), marking.localisation_table(None, words)):
        assert table.loc[0, "refused"] == words
    assert list(marking.finding(words, table)) == []
