"""Power and sample size against the published Van Dyke examples."""

import numpy as np
import pytest
import simulated_studies
from places import SHARED

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, io, margins, power, roe_metz
from camreader.statistics.mrmc.anova import Components

VANDYKE = SHARED / "reader-data" / "vandyke.csv"
PILOT = power.VAN_DYKE  # RJafroc, dataset02, Wilcoxon, jackknife, as printed
DIFFERENCE = 0.043800322
FULL = Components(
    2,
    5,
    0.00479617053,
    0.00383619999,
    0.000551030622,
    0.000802288266,
    0.000346613709,
    0.000344074829,
    0.000239028371,
)  # the pilot's components as our own analysis gives them, equal to RJafroc's to its digits


def test_six_readers_need_about_251_cases():
    # RJafroc sample size vignette, dataset02: 6 readers, 251 cases for a power of 0.8
    assert power.cases_needed(PILOT, 114, DIFFERENCE, 6) == pytest.approx(251, abs=1)
    assert round(power.power(PILOT, 114, DIFFERENCE, 5, 114), 2) == 0.51


@pytest.mark.parametrize(
    ("readers", "cases", "random", "ddf", "published"),
    [  # Chakraborty, RJafroc ROC book, chapter "Sample size estimation", examples
        (10, 163, "both", 34.334268, 0.79111255),
        (10, 133, "cases", 132, 0.80111671),
        (10, 53, "readers", None, 0.80496663),
        (6, 112, "both", None, 0.5555789),
    ],
)
def test_power_is_the_published_one(readers, cases, random, ddf, published):
    found = power.power(PILOT, 114, DIFFERENCE, readers, cases, random, ddf)
    assert found == pytest.approx(published, abs=2e-5)


@pytest.mark.skipif(not VANDYKE.exists(), reason="the Van Dyke readings are not here (../shared)")
def test_from_readings_to_a_plan():
    part = analysis.obuchowski_rockette(io.read_csv(VANDYKE)).components
    assert power.cases_needed(part, 114, DIFFERENCE, 6) == 251
    table = power.plan(part, 114, readers=range(4, 8))
    needed = table.pivot(index="difference", columns="readers", values="cases")
    assert (needed.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)  # more readers, fewer cases
    assert (needed.diff().iloc[1:] <= 0).all(axis=None)  # larger differences, fewer cases
    assert (table["power"] >= 0.8).all()


def test_what_no_number_of_cases_can_show_is_none():
    assert power.cases_needed(PILOT, 114, 0.01, 3) is None
    assert power.plan(PILOT, 114, (0.01,), [3])["cases"].isna().all()


def test_no_difference_has_the_power_of_the_level():
    assert power.power(PILOT, 114, 0.0, 6, 200) == pytest.approx(0.05)


def test_predicted_power_is_the_simulated_one():
    # components averaged over simulated studies predict how often such studies reject
    variances = roe_metz.structure("HL")
    positives, negatives = roe_metz.simulate(2000, 5, 40, 40, (1.2, 1.7), variances, 8)
    part = roe_metz.average_components(positives, negatives)
    effect = roe_metz.expected_auc(1.7, variances) - roe_metz.expected_auc(1.2, variances)
    predicted = power.power(part, 80, effect, 5, 80)
    found = simulated_studies.rejections(positives, negatives).mean()
    assert predicted == pytest.approx(found, abs=0.04)


def test_a_pilot_without_variance_is_not_a_number_to_plan_with():
    none = Components(2, 3, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert np.isnan(power.power(none, 50, 0.1, 5, 50))
    assert power.cases_needed(none, 50, 0.1, 5) is None


@pytest.mark.parametrize(
    ("readers", "cases", "random", "published"),
    [
        (10, 165, "both", 0.80541995),
        (10, 131, "cases", 0.80091813),
        (10, 53, "readers", 0.80496663),
    ],
)
def test_power_of_the_van_dyke_pilot(readers, cases, random, published):
    # Chakraborty, RJafroc ROC book, "Sample size estimation"; components to full precision
    found = power.power(FULL, 114, DIFFERENCE, readers, cases, random)
    assert round(found, 6) == round(published, 6)


def test_a_split_plot_of_one_reader_per_case_set_needs_more_cases_but_fewer_readings():
    crossed = power.cases_needed(PILOT, 114, 0.06, 6)
    split = power.cases_needed(PILOT, 114, 0.06, 6, design="split-plot", blocks=3)
    assert crossed < split < 3 * crossed  # every case is read by a third of the readers
    nested = power.cases_needed(PILOT, 114, 0.06, 6, design="nested readers")
    assert nested is None or nested > crossed


def test_predicted_power_of_a_split_plot_is_the_simulated_one():
    variances = roe_metz.structure("HL")
    blocks = roe_metz.simulate(400, 6, 40, 40, (1.1, 1.7), variances, 5)
    part = roe_metz.average_components(*roe_metz.simulate(400, 6, 40, 40, (1.1, 1.7), variances, 9))
    effect = roe_metz.expected_auc(1.7, variances) - roe_metz.expected_auc(1.1, variances)
    found = []
    for positives, negatives in zip(*blocks, strict=True):
        for block in (positives, negatives):
            block[:, :3, :20], block[:, 3:, 20:] = np.nan, np.nan
        found.append(
            analysis.obuchowski_rockette(simulated_studies.study_arms(positives, negatives)).p
            < 0.05
        )
    predicted = power.power(part, 80, effect, 6, 80, design="split-plot", blocks=2)
    assert predicted == pytest.approx(np.mean(found), abs=0.09)


def test_predicted_power_of_non_inferiority_is_the_simulated_one():
    variances = roe_metz.structure("HL")
    blocks = roe_metz.simulate(400, 5, 40, 40, (1.5, 1.5), variances, 4)
    part = roe_metz.average_components(*blocks)
    shown = [
        margins.non_inferiority(
            analysis.obuchowski_rockette(simulated_studies.study_arms(*x)), 0.08
        ).shown
        for x in zip(*blocks, strict=True)
    ]
    predicted = power.power_non_inferiority(part, 80, 0.08, 5, 80)
    assert predicted == pytest.approx(np.mean(shown), abs=0.08)


def test_patients_of_several_cases_and_the_table_to_quote():
    assert power.design_effect(3, 0.5) == 2 and power.design_effect(1, 0.9) == 1
    table = power.designs_table(PILOT, 114, DIFFERENCE, 0.05, readers=(6,))
    assert table["cases"].iloc[0] == 251 and set(table["readers"]) == {6}
    row = table.iloc[0]
    assert power.in_words(row).startswith("With 6 readers (crossed) a study needs 251 cases")
    clustered = table[table["note"].str.contains("3 cases of each patient")].iloc[0]
    assert (clustered["cases"], clustered["patients"]) == (502, 168)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"random": "reader"}, "random is one of both, cases, readers"),
        ({"cases": 0}, "cases is a whole number of at least 1"),
        ({"readers": 1}, "readers is a whole number"),
        ({"readers": 2.5}, "readers is a whole number"),
        ({"difference": float("nan")}, "difference must be a finite number"),
        ({"alpha": 5}, "alpha is out of its range"),
        ({"design": "split-plot", "blocks": 4}, "share the readers equally"),
        ({"design": "latin"}, "design is one of"),
    ],
)
def test_a_plan_that_means_nothing_is_refused(change, words):
    plan = {"difference": 0.05, "readers": 6, "cases": 100} | change
    with pytest.raises(DataError, match=words):
        power.power(PILOT, 114, **plan)
