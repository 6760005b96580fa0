"""The simulator's accuracies, and the type-I error of the analysis under its null."""

import numpy as np
import pytest
import simulated_studies
from scipy import stats

from camreader.statistics.mrmc import analysis, roe_metz
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel

STUDIES = 2000


@pytest.mark.parametrize("separation", [0.75, 1.5, 2.5])
def test_expected_accuracy_is_the_published_and_the_simulated_one(separation):
    # Roe & Metz 1997, table 1: AUC about 0.702, 0.855 and 0.961
    published = {0.75: 0.702, 1.5: 0.855, 2.5: 0.961}[separation]
    variances = roe_metz.structure("HL", separation)
    expected = roe_metz.expected_auc(separation, variances)
    assert expected == pytest.approx(published, abs=0.002)
    blocks = roe_metz.simulate(300, 4, 30, 30, (separation,) * 2, variances, seed=1)
    assert estimate(*kernel(*blocks)).mean() == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("name", ["HL", "LL", "HH", "LH"])
@pytest.mark.parametrize("covariance", ["jackknife", "delong", "unbiased"])
def test_type_one_error_is_five_percent(name, covariance):
    # Hillis 2007 found about 0.05 in all structures; 99.9 % Monte-Carlo limits of 2,000 studies
    blocks = roe_metz.simulate(STUDIES, 5, 25, 25, variances=roe_metz.structure(name), seed=7)
    rejected = int(simulated_studies.rejections(*blocks, covariance).sum())
    low, high = stats.binom.ppf([0.0005, 0.9995], STUDIES, 0.05)
    assert low <= rejected <= high


def test_one_study_of_the_batch_is_the_analysis_of_its_table():
    blocks = roe_metz.simulate(20, 4, 12, 14, (1.0, 1.9), seed=2)
    rejected = simulated_studies.rejections(*blocks, "jackknife", block=7)
    for k in range(20):
        frame = simulated_studies.study_frame(*(x[k] for x in blocks))
        assert (analysis.obuchowski_rockette(frame).p < 0.05) == rejected[k]
    assert 0 < rejected.sum() < 20


def test_same_seed_same_study():
    first, second, other = (roe_metz.simulate(seed=s)[0] for s in (1, 1, 2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
