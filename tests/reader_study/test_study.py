"""Readings from every source, and what is said where they are broken or nobody read."""

import numpy as np
import pandas as pd
import pytest
from places import SHARED
from readings_fixture import readings as tidy
from readings_fixture import write

from camreader.common.errors import DataError
from camreader.common.storage import write_json, write_table
from camreader.common.study import Study
from camreader.reader_study import study as study_readings
from camreader.session.log import ReadingLog
from camreader.session.simulate import simulate_readings, through_log

VIPER = SHARED / "reader-data" / "viper_mrmc.imrmc"


@pytest.fixture
def study(tmp_path):
    return Study(tmp_path / "data", "phantom", tmp_path / "reports")


def load(path, study, frame=None):
    return study_readings.load(path if frame is None else write(path, frame), study)


def test_a_tidy_table_is_scores_and_paired_readings(tmp_path, study):
    found = load(tmp_path, study, tidy())
    assert found.size == (2, 8, 4) and found.cases_each == 8
    assert found.modalities == ["aided", "unaided"]  # so that differences are aided minus unaided
    assert (
        not found.simulated and found.source == "Recorded readings: 2 readers × 8 cases (tidy.csv)"
    )
    assert found.sequential and not found.flags
    assert set(found.readings["diagnosis"]) == {"tumor", "no tumor", "other"}
    marks = found.marks().drop(columns="truth")
    both = found.readings.merge(marks, on=["reader", "modality", "case"])
    said = both.groupby("diagnosis")["score_y"].unique().map(list).to_dict()
    assert said == {"tumor": [1], "no tumor": [0], "other": [0]}  # other: seen, but no tumor


def test_a_crossover_is_told_from_a_sequential_reading(tmp_path, study):
    table = tidy(
        order=lambda r: str(9 - int(r["case"][1])) if r["modality"] == "aided" else r["order"]
    )
    assert not load(tmp_path, study, table).sequential


def test_without_anything_the_study_is_simulated_and_says_so(study):
    found = load("", study)
    assert found.simulated and found.size == (6, 60, 30)
    assert found.source.startswith("SIMULATED readings, no person read anything")
    assert found.source.endswith("(made-up cases)")


def test_a_simulation_reads_the_slices_of_a_trained_network(study):
    ids = [f"s{k:03d}" for k in range(40)]
    truth = pd.array([1, 0] * 20, "Int64")  # the truth counts, not the label
    cohort = pd.DataFrame({"slice_id": ids, "label": [0, 1] * 20, "truth": truth})
    cohort["patient_id"] = [f"p{k}" for k in range(40)]
    write_table(cohort, study.cohort_table)
    write_json({"title": "Phantom: synthetic CT, 40 slices"}, study.cohort_folder / "cohort.json")
    table = {"slice_id": ids, "protocol": "paper", "run": "final", "seed": 0, "split": "test"}
    chance = np.linspace(0.02, 0.98, 40)
    table |= {"probability": chance, "predicted": (chance > 0.5).astype(int)}
    write_table(pd.DataFrame(table), study.runs / "predictions.parquet")
    found = study_readings.load("", study, readers=2, cases=20)
    assert found.source == (
        "SIMULATED readings, no person read anything: 2 readers × 20 cases "
        "(Phantom: synthetic CT, 40 slices)"
    )
    assert set(found.readings["case"]) < set(ids) and found.size == (2, 20, 10)
    truth = found.readings.drop_duplicates("case").set_index("case")["truth"]
    assert all(truth[case] == 1 - int(case[1:]) % 2 for case in truth.index)


def test_the_cohorts_own_log_is_read_and_a_real_one_before_an_invented(study):
    invented = through_log(simulate_readings(3, 10), study.readings / "simulated.sqlite")
    found = load("", study)
    assert found.simulated and "simulated.sqlite" in found.source and found.size == (3, 10, 5)
    ReadingLog(study.readings / "readings.sqlite", "s").append(
        "enrolled", "Ann", payload={"slot": 1}
    )
    assert load("", study).flags == ["readings.sqlite holds no answer yet"]
    real = ReadingLog(study.readings / "readings.sqlite", "s")
    for row in invented.head(20).itertuples():
        known = {"diagnosis": "tumor", "confidence": 3, "truth": row.truth, "cnn_prediction": 1}
        kind = {"unaided": "locked", "aided": "revised"}[row.modality]
        real.append(kind, "Ann", row.case, row.modality, known)
    found = load("", study)
    assert not found.simulated and found.size == (1, 10, 5)
    assert found.source == "Recorded readings: 1 reader × 10 cases (phantom; readings.sqlite)"


def test_a_log_can_be_named(study):
    path = study.readings / "elsewhere.sqlite"
    through_log(simulate_readings(2, 8), path)
    found = load(str(path), study)
    assert found.size == (2, 8, 4) and "phantom; elsewhere.sqlite" in found.source
    assert found.readings["simulated"].all()


@pytest.mark.skipif(not VIPER.exists(), reason="the VIPER readings are not at hand (../shared)")
def test_an_imrmc_file_has_scores_only(study):
    found = load(VIPER, study)
    assert found.readings is None and found.size == (20, 419, 72)
    assert found.cases_each < 419 and found.source.endswith("not all read by all")


# Broken input


@pytest.mark.parametrize(
    ("column", "value", "words"),
    [
        ("score", "high", "line|row: 4; column: score"),
        ("truth", "maybe", "row: 4; column: truth"),
        ("truth", "2", "row: 4; column: truth"),
        ("diagnosis", "benign", "row: 4; column: diagnosis"),
        ("modality", "with help", "row: 4; column: modality"),
        ("helpfulness", "very", "row: 4; column: helpfulness"),
        ("seconds", "-1", "row: 4; column: seconds"),
        ("seconds", "ten", "row: 4; column: seconds"),
        ("confidence", "6", "row: 4; column: confidence"),
        ("cnn_prediction", "3", "row: 4; column: cnn_prediction"),
        ("cnn_prediction", "0.5", "tidy.csv.*row: 4; column: cnn_prediction.*whole number from 0"),
        ("confidence", "2.5", "row: 4; column: confidence"),
        ("seconds", "inf", "row: 4; column: seconds"),
        ("order", "0", "row: 4; column: order"),
        ("reader", "", "row: 4; column: reader"),
    ],
)
def test_a_bad_cell_is_named(tmp_path, study, column, value, words):
    table = tidy()
    table.loc[2, column] = value  # line 4 of the file
    with pytest.raises(DataError, match=words):
        load(tmp_path, study, table)


def test_a_duplicate_reading_and_a_missing_column_are_named(tmp_path, study):
    table = tidy()
    with pytest.raises(DataError, match=r"Duplicate reading.*row: 34"):
        load(tmp_path, study, pd.concat([table, table.iloc[[5]]]))
    with pytest.raises(DataError, match="column: truth"):
        load(tmp_path, study, table.drop(columns="truth"))
    table.loc[3, "truth"] = "0"
    with pytest.raises(DataError, match="Two truths for one case"):
        load(tmp_path, study, table)


def test_missing_readings_are_left_out_and_flagged(tmp_path, study):
    table = tidy()
    table.loc[[0, 9], "score"] = ""
    found = load(tmp_path, study, table)
    assert found.flags == ["2 readings without a score left out (first: row 2)"]
    assert len(found.scores) == len(found.readings) == 30
    assert "not all read by all" in found.source


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"open'])
def test_a_file_that_is_no_table(tmp_path, study, content):
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.csv"):
        load(tmp_path / "x.csv", study)


def test_a_file_that_is_not_there(tmp_path, study):
    for name in ("x.csv", "x.imrmc"):
        with pytest.raises(DataError, match="not found"):
            load(tmp_path / name, study)
