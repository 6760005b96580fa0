"""Further endpoints against definitions and independent fits, and words for what is missing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from readings_fixture import readings as tidy

from camreader.common.study import Study
from camreader.reader_study import endpoints, planning, tables
from camreader.reader_study import study as study_readings
from camreader.reader_study.study import ReaderStudy

TABLES = (
    endpoints.gee_table,
    endpoints.time_model,
    endpoints.confidence_table,
    endpoints.net_benefit_table,
    endpoints.network_table,
)


@pytest.fixture(scope="module")
def study():
    return study_readings.load("", Study("nowhere", "none", "nowhere"), 4, 40, design="sequential")


def test_the_marginal_difference_is_the_one_of_the_means(study):
    """With every reading made, an identity link and readers as they are, GEE's is the plain one;
    its error is that of patients' own differences but for the small-sample correction."""
    row = endpoints.gee_table(study).set_index("endpoint").loc["sensitivity"]
    frame = study.readings[study.readings["truth"] == 1]
    right = frame.assign(right=frame["diagnosis"].eq("tumor"))
    wide = right.pivot_table(index="case", columns="modality", values="right")
    gaps = wide["aided"] - wide["unaided"]
    assert row["difference"] == pytest.approx(gaps.mean())
    assert row["difference"] == pytest.approx(row["aided"] - row["unaided"])
    width = row["high"] - row["low"]
    assert width == pytest.approx(2 * 2.093 * gaps.std() / np.sqrt(len(gaps)), rel=0.1)


def test_the_time_ratio_is_that_of_geometric_means(study):
    """Balanced: the fixed effect of the heat-map is the difference of mean log seconds."""
    found = endpoints.time_model(study).set_index("term")
    logs = np.log(study.readings["seconds"]).groupby(study.readings["modality"]).mean()
    ratio = np.exp(logs["aided"] - logs["unaided"])
    assert found.loc["aided / unaided", "ratio"] == pytest.approx(ratio, rel=1e-3)
    assert "on top of the unaided" in found.loc["aided / unaided", "note"]


def test_confidence_counts_every_reading_once(study):
    table = endpoints.confidence_table(study)
    assert table["readings"].sum() == len(study.readings)
    known = table.dropna(subset="low")
    assert (known["low"] <= known["right"]).all() and (known["right"] <= known["high"]).all()


def test_net_benefit_is_vickers_definition(study):
    """TP / n - FP / n * odds at the study's own prevalence, readings pooled; `all`: calling all."""
    table = endpoints.net_benefit_table(study).set_index(["threshold", "modality"])
    part = study.readings[study.readings["modality"] == "aided"]
    called, sick = part["diagnosis"] == "tumor", part["truth"] == 1
    odds = 0.2 / 0.8
    expected = ((called & sick).sum() - odds * (called & ~sick).sum()) / len(part)
    assert table.loc[(0.2, "aided"), "net_benefit"] == pytest.approx(expected)
    assert table.loc[(0.2, "aided"), "all"] == pytest.approx(sick.mean() - odds * (1 - sick.mean()))
    assert "enriched" in table["note"].iloc[0]
    rare = endpoints.net_benefit_table(study, prevalence=0.05)
    assert rare["prevalence"].eq(0.05).all() and rare["note"].eq("").all()
    assert rare["net_benefit"].iloc[0] < table["net_benefit"].iloc[0]


def test_agreement_has_the_network_as_one_reader_more(study):
    table = endpoints.agreement_table(study, draws=50)
    keys = table.set_index(["modality", "raters", "statistic"])["value"]
    alone = keys["aided", "readers", "Krippendorff's alpha, calls"]
    fleiss = keys["aided", "readers", "Fleiss's kappa, calls"]
    assert alone == pytest.approx(fleiss, abs=0.01)  # many readings: the two are nearly one
    assert ("aided", "readers and network", "Krippendorff's alpha, calls") in keys.index


def test_limits_of_agreement_are_bland_and_altmans_for_two_readers():
    """Jones 2011: with two readers the limit from their mean is half of that between them, where
    the readers' levels are alike."""
    rng = np.random.default_rng(3)
    ratings = rng.normal(10, 3, 200)[:, None] + rng.normal(0, 1, (200, 2))
    found = endpoints.limits_of_agreement(ratings)
    between = 1.96 * np.sqrt(np.mean((ratings[:, 0] - ratings[:, 1]) ** 2))
    assert found.value == pytest.approx(between / 2, rel=1e-3)
    assert found.low < found.value < found.high
    none = endpoints.limits_of_agreement([[1, np.nan], [2, 3], [4, 5]])
    assert np.isnan(none.value) and "every reading" in none.note


def test_a_file_of_scores_refuses_in_words(study):
    bare = ReaderStudy(study.scores, None, "scores", False)
    for function in (*TABLES, endpoints.agreement_table):
        assert "scores only" in function(bare)["refused"][0]


@pytest.mark.parametrize("function", TABLES)
def test_a_small_study_has_words_for_every_gap(function):
    frame = tidy()
    frame.index = frame.index + 2
    table = function(study_readings._from_log(frame, "by hand", None))
    if "refused" in table:
        assert table["refused"][0]
        return
    gaps = table.drop(columns="note").isna().any(axis=1)
    assert table.loc[gaps, "note"].ne("").all()


def test_a_margin_of_the_design_counts_as_declared_and_another_does_not(study):
    table = planning.margin_table(study, 0.1)
    assert not table["declared"].any() and table["note"].str.contains("exploratory").all()
    sealed = planning.margin_table(replace(study, margin=0.05), 0.1)
    assert sealed["declared"].all() and sealed["margin"].eq(0.05).all()
    assert set(table["test"]) == {"non-inferiority", "equivalence"}
    assert (table["shown"] == (table["p"] < 0.025)).all()
    assert planning.margin_table(study, 0)["refused"][0] == "no margin was declared"


def test_slices_of_one_patient_are_one_patient_in_every_table(study):
    """The same readings with two cases per patient: patients are the unit, and said to be."""
    cases = pd.Index(study.readings["case"].unique())
    owner = pd.Series(np.arange(len(cases)) // 2, index=cases).map("P{:03d}".format)
    frame = study.readings.assign(patient=study.readings["case"].map(owner))
    frame.index = frame.index + 2
    paired = study_readings._from_log(frame.astype({"simulated": str}), "by hand", None)
    table = tables.comparison_table(paired)
    main = table[table["covariance"] == "jackknife"]
    assert main["unit"].eq("patients").all() and (main["units"] <= 20).all()
    refused = table[table["covariance"].isin(["unbiased", "U-statistics"])]["flags"]
    assert refused.str.contains("independent").all()
    assert tables.benefit_harm_table(paired)["patients"].max() == 20
