"""Points and areas of curves against their definitions, and clustered covariances."""

import numpy as np
import pytest
import simulated_studies
from scipy import stats
from sklearn.metrics import roc_auc_score

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, binormal, covariance, merits, roe_metz
from camreader.statistics.mrmc.figures_of_merit import kernel

POSITIVES = np.array([1.0, 2, 2, 3, 4, 4, 5, 5])
NEGATIVES = np.array([0.0, 1, 1, 2, 2, 3, 4, 1, 0, 2])


@pytest.mark.parametrize("at", [0.1, 0.25, 0.6])
def test_the_partial_area_is_scikit_learns(at):
    y = np.r_[np.ones(len(POSITIVES)), np.zeros(len(NEGATIVES))]
    scaled = roc_auc_score(y, np.r_[POSITIVES, NEGATIVES], max_fpr=at)  # McClish's 0.5 to 1
    lowest = at**2 / 2
    area = lowest + (2 * scaled - 1) * (at - lowest)
    assert merits.partial_auc(POSITIVES, NEGATIVES, at) == pytest.approx(area / at)


def test_the_whole_partial_area_is_the_auc():
    y = np.r_[np.ones(len(POSITIVES)), np.zeros(len(NEGATIVES))]
    whole = roc_auc_score(y, np.r_[POSITIVES, NEGATIVES])
    assert merits.partial_auc(POSITIVES, NEGATIVES, 1.0) == pytest.approx(whole)


def test_points_of_the_curve_by_hand():
    # at or above 3: 5 of 8 and 2 of 10; above 3: 4 of 8 and 1 of 10
    assert merits.sensitivity_at_specificity(POSITIVES, NEGATIVES, 0.8) == 5 / 8
    assert merits.sensitivity_at_specificity(POSITIVES, NEGATIVES, 0.85) == 4 / 8
    assert merits.specificity_at_sensitivity(POSITIVES, NEGATIVES, 0.6) == pytest.approx(0.8)


def test_leaving_out_cases_is_the_jackknife_of_the_kernel():
    """A function that is the AUC has the covariances of the kernel's own jackknife."""
    positives, negatives = (x[0] for x in roe_metz.simulate(1, 3, 9, 8, (1, 1.4), seed=5))
    parts = [x.reshape(6, *x.shape[2:]) for x in kernel(positives, negatives)]
    expected = covariance.jackknife(*parts)
    groups = np.arange(9), 9 + np.arange(8)

    def area(high, low, _):
        return merits.partial_auc(high, low, 1.0)

    flat = positives.reshape(6, -1), negatives.reshape(6, -1)
    left = [merits.leave_out(area, *arm, groups, None)[1] for arm in zip(*flat, strict=True)]
    np.testing.assert_allclose(merits.jackknife_products(np.array(left)), expected)


def kernels(seed=3, arms=4, n1=12, n0=10):
    rng = np.random.default_rng(seed)
    return kernel(rng.integers(0, 6, (arms, n1)) + 1.0, rng.integers(0, 6, (arms, n0)) * 1.0)


@pytest.mark.parametrize("name", ["jackknife", "delong"])
def test_every_case_a_patient_of_its_own_is_the_plain_estimator(name):
    parts = kernels()
    groups = np.arange(12), 12 + np.arange(10)
    clustered = covariance.CLUSTERED[name](*parts, *groups)
    np.testing.assert_allclose(clustered, covariance.ESTIMATORS[name](*parts))


def test_a_case_shown_twice_is_no_second_case():
    """Obuchowski 1997: doubling every case in its own cluster leaves the variance as it was."""
    success, read1, read0 = kernels()
    groups = np.arange(12), 12 + np.arange(10)
    twice = (
        np.repeat(np.repeat(success, 2, 1), 2, 2),
        np.repeat(read1, 2, 1),
        np.repeat(read0, 2, 1),
    )
    once = covariance.clustered_delong(success, read1, read0, *groups)
    doubled = covariance.clustered_delong(*twice, *(np.repeat(g, 2) for g in groups))
    np.testing.assert_allclose(doubled, once)
    plain = covariance.delong(*twice)
    assert (np.diag(plain) < 0.6 * np.diag(doubled)).all()  # independent, they would halve it


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", ["jackknife", "delong"])
def test_the_variance_of_clustered_cases_is_that_between_studies(name, mixed):
    """Patients of one class, and of both: there rows and columns of one patient vary together."""
    one_reader = {**roe_metz.structure("HL"), "reader": 0.0, "modality_reader": 0.0}
    options = {"variances": one_reader, "alike": 0.8, "mixed": mixed, "seed": 6}
    *blocks, clusters = simulated_studies.simulate_clustered(500, 1, 40, 4, (1.5,), **options)
    groups = merits.codes(clusters)
    values, estimated = [], []
    for positives, negatives in zip(*blocks, strict=True):
        parts = [x[0] for x in kernel(positives, negatives)]
        values.append(parts[0].mean())
        estimated.append(covariance.CLUSTERED[name](*parts, *groups)[0, 0])
    # 6 % is the Monte-Carlo error of a variance of 500 values
    assert np.mean(estimated) == pytest.approx(np.var(values), rel=0.2)


def test_a_binormal_fit_finds_the_curve_it_was_drawn_from():
    rng = np.random.default_rng(1)
    positives, negatives = rng.normal(1.5, 1.25, 4000), rng.normal(0, 1, 4000)
    cuts = np.quantile(np.r_[positives, negatives], [0.2, 0.4, 0.6, 0.8])
    found = binormal.fit(np.searchsorted(cuts, positives), np.searchsorted(cuts, negatives))
    assert (found.a, found.b) == pytest.approx((1.5 / 1.25, 1 / 1.25), abs=0.06)
    assert found.auc == pytest.approx(stats.norm.cdf(1.5 / np.hypot(1, 1.25)), abs=0.01)
    assert found.curve(0.5) == pytest.approx(stats.norm.cdf(found.a))


def test_a_likelihood_without_a_maximum_is_followed_to_its_limit():
    # one leave-one-out fit of Van Dyke: with b -> 0 the curve is a plateau at 42 of 44
    positives = np.repeat([1, 3, 4, 5], [2, 1, 3, 38])
    found = binormal.fit(positives, np.repeat([1, 2, 3], [62, 3, 4]))
    assert found.auc == pytest.approx(42 / 44, abs=1e-6) and "corner" in found.note


def test_scores_without_a_curve_say_so():
    assert binormal.fit([3, 4], [1, 2]).auc == 1 and "separate" in binormal.fit([3, 4], [1, 2]).note
    assert binormal.fit([1, 2], [3, 4]).auc == 0
    assert binormal.fit([1, 1], [1, 1]).auc == 0.5
    with pytest.raises(DataError, match="both classes"):
        binormal.fit([], [1, 2])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"metric": "partial_auc"}, "highest false positive rate"),
        ({"metric": "partial_auc", "at": 90}, "at is out of its range"),
        ({"metric": "auc", "at": 0.9}, "no operating point"),
        ({"metric": "partial_auc", "at": 0.2, "covariance": "delong"}, "is one of jackknife"),
        ({"metric": "sensitivity", "threshold": float("nan")}, "threshold must be a finite"),
        ({"level": 95}, "level is out of its range.*not per cent"),
        ({"design": "square"}, "design is one of"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, words):
    blocks = roe_metz.simulate(1, 3, 9, 8, seed=5)
    frame = simulated_studies.study_frame(*(x[0] for x in blocks))
    with pytest.raises(DataError, match=words):
        analysis.obuchowski_rockette(frame, **options)
