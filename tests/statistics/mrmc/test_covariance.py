"""Covariance estimators against loops written straight from the papers."""

from itertools import product

import numpy as np
import pytest

from camreader.statistics.mrmc.covariance import delong, jackknife, moments, unbiased
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel


@pytest.fixture
def parts():
    """Kernels of 3 arms that share 7 diseased cases and 9 others, with ties."""
    rng = np.random.default_rng(5)
    positives, negatives = rng.integers(1, 6, (3, 7)) + 1.0, rng.integers(1, 6, (3, 9)) + 0.0
    return kernel(positives, negatives), positives, negatives


def test_jackknife_is_leaving_out_each_case(parts):
    found, positives, negatives = parts
    values = [
        estimate(*kernel(np.delete(positives, i, 1), negatives)) for i in range(positives.shape[1])
    ] + [
        estimate(*kernel(positives, np.delete(negatives, j, 1))) for j in range(negatives.shape[1])
    ]
    n = len(values)
    expected = (n - 1) ** 2 / n * np.cov(np.array(values).T)
    np.testing.assert_allclose(jackknife(*found), expected, atol=1e-12)


def test_delong_is_the_covariance_of_placements(parts):
    (success, _, _), _, _ = found = parts
    placed1, placed0 = success.mean(-1), success.mean(-2)
    expected = np.cov(placed1) / placed1.shape[1] + np.cov(placed0) / placed0.shape[1]
    np.testing.assert_allclose(delong(*found[0]), expected, atol=1e-12)


@pytest.mark.parametrize("holes", [False, True])
def test_moments_are_the_sums_over_quadruples(parts, holes):
    _, positives, negatives = parts
    if holes:
        positives[0, 2], positives[1, 3], negatives[2, 4] = np.nan, np.nan, np.nan
    found = kernel(positives, negatives)
    success, read1, read0 = found
    read = read1[:, :, None] & read0[:, None, :]
    sums, counts = np.zeros((4, 3, 3)), np.zeros((4, 3, 3))
    pairs = list(product(range(7), range(9)))
    for a, b in product(range(3), repeat=2):
        for (i, j), (k, m) in product(pairs, repeat=2):
            if read[a, i, j] and read[b, k, m]:
                kind = 2 * (i != k) + (j != m)
                sums[kind, a, b] += success[a, i, j] * success[b, k, m]
                counts[kind, a, b] += 1
    np.testing.assert_allclose(moments(*found)[0], sums)
    np.testing.assert_allclose(moments(*found)[1], counts)


def test_unbiased_is_right_on_average():
    # the mean estimate over many studies equals the variance of the accuracy between studies
    rng = np.random.default_rng(2)
    base1, base0 = rng.normal(1, 1, (20000, 1, 6)), rng.normal(0, 1, (20000, 1, 5))
    found = kernel(base1 + rng.normal(0, 1, (20000, 2, 6)), base0 + rng.normal(0, 1, (20000, 2, 5)))
    theta = estimate(*found)
    expected = np.cov(theta.T)
    np.testing.assert_allclose(unbiased(*found).mean(0), expected, rtol=0.04)


def test_arms_without_a_shared_case_do_not_covary():
    positives = np.array([[1.0, 2, 4, np.nan, np.nan], [np.nan, np.nan, np.nan, 3, 1]])
    negatives = np.array([[0.0, 2, 1, np.nan, np.nan], [np.nan, np.nan, np.nan, 1, 2]])
    for estimator in (delong, unbiased):
        assert estimator(*kernel(positives, negatives))[0, 1] == pytest.approx(0)
