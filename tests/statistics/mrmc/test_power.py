"""Power and sample size against the published Van Dyke examples."""

import numpy as np
import pytest
from places import SHARED

from camreader.statistics.mrmc import analysis, power, roe_metz
from camreader.statistics.mrmc.anova import Components

VANDYKE = SHARED / "reader-data" / "vandyke.csv"
PILOT = power.VAN_DYKE  # RJafroc, dataset02, Wilcoxon, jackknife, as printed
DIFFERENCE = 0.043800322


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
    part = analysis.obuchowski_rockette(analysis.read_csv(VANDYKE)).components
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
    found = roe_metz.rejections(positives, negatives).mean()
    assert predicted == pytest.approx(found, abs=0.04)


def test_a_pilot_without_variance_is_not_a_number_to_plan_with():
    none = Components(2, 3, 0.01, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert np.isnan(power.power(none, 50, 0.1, 5, 50))
    assert power.cases_needed(none, 50, 0.1, 5) is None
