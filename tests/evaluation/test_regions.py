"""Lung against liver: what is compared, by which unit, and what is missing."""

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from camreader.common.errors import Refusal
from camreader.evaluation import regions
from camreader.published import paper
from camreader.training import experiments, train

PAPER = paper.load(ROOT / "data" / "published")


def test_regions_are_compared_and_what_is_missing_is_said(study, cohort, quick):
    records = train.train_all(study, experiments.REGIONS, (0,), quick)
    table = regions.table(study, cohort, records, PAPER)
    rows = table.set_index(["region", "protocol"])
    assert rows.loc[("liver", "paper"), "n"] == 30 and rows.loc[("lung", "paper"), "n"] == 0
    assert rows.loc[("lung", "paper"), "published"] == pytest.approx(0.98126)
    compared = regions.comparison(study, cohort, records)
    assert (
        compared["difference"].isna().all() and compared["note"].str.contains("lung slices").all()
    )
    assert isinstance(regions.tested(study, cohort, records, "lung"), Refusal)
    words = " ".join(regions.findings(table, compared))
    assert "cannot be compared" in words and "421 test slices" in words


def region_tests(slices=(90, 80), wrong=(10, 30), each=1):
    """Test slices of lung and liver, `each` of them per patient and all right or all wrong."""
    tables = []
    for first, n, errors in zip((0, 1000), slices, wrong, strict=True):
        patients = first + np.arange(n) // each
        tables.append(pd.DataFrame({"correct": np.arange(n) >= errors, "patient_id": patients}))
    return tables


def test_a_difference_of_regions_is_tested(monkeypatch, study, cohort):
    arms = dict(zip(regions.NAMES, region_tests(), strict=True))
    monkeypatch.setattr(regions, "tested", lambda *where: arms[where[3]])
    compared = regions.comparison(study, cohort, None).set_index("protocol")
    assert compared["difference"].tolist() == pytest.approx([80 / 90 - 50 / 80] * 2)
    assert compared.loc["paper", "p"] < 0.001 and np.isnan(compared.loc["sound", "p"])
    assert compared["interval"].tolist() == ["Newcombe by slice", "t by patient"]
    nothing = pd.DataFrame(columns=["region", "n", "note"])
    words = list(regions.findings(nothing, compared.reset_index()))
    assert sum("more than chance explains" in s for s in words) == 2


def test_slices_of_one_patient_are_no_independent_slices():
    """Ten alike slices per patient tell as little as one: 1 of 9 against 3 of 8 patients wrong."""
    rows = {
        each: regions._difference(*region_tests((9 * each, 8 * each), (each, 3 * each), each), True)
        for each in (1, 10)
    }
    for end in ("low", "high"):
        assert rows[10][end] == pytest.approx(rows[1][end])
    assert rows[10]["low"] < 0 < rows[10]["high"]
    by_slice = regions._difference(*region_tests((90, 80), (10, 30), 10), False)
    assert by_slice["low"] > 0 and by_slice["p"] < 0.001


def test_regions_without_an_error_have_the_interval_of_as_many_patients():
    row = regions._difference(*region_tests((30, 30), (0, 0), 3), True)
    assert (row["low"], row["high"]) == pytest.approx((-0.2775, 0.2775), abs=1e-4)  # Wilson, 10
    assert row["interval"] == "t by patient" and np.isnan(row["p"]) and row["patients"] == 20
    assert "equal shares" in row["note"] and np.isnan(row["n_needed"])


def test_the_words_on_a_region_carry_the_interval_of_its_table():
    row = {"region": "lung", "protocol": "sound", "n": 40, "wrong": 10, "accuracy": 0.75}
    row |= {"low": 0.4, "high": 0.95, "interval": "bootstrap by patient", "note": ""}
    none = pd.DataFrame(columns=["protocol", "difference"])
    first = next(regions.findings(pd.DataFrame([row]), none))
    assert first.endswith("75.0 % (40.0–95.0, n = 40), bootstrap by patient.")
