"""Two proportions against scipy's exact test, statsmodels' Wilson and studies drawn at random."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from camreader.statistics import proportions
from camreader.statistics.intervals import difference


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_comparison_is_fishers_and_newcombes(n1, n2, data):
    k1, k2 = data.draw(st.integers(0, n1)), data.draw(st.integers(0, n2))
    ours = proportions.compare(k1, n1, k2, n2)
    assert ours["p"] == pytest.approx(stats.fisher_exact([[k1, n1 - k1], [k2, n2 - k2]])[1])
    (l1, u1), (l2, u2) = (
        proportion_confint(k, n, method="wilson") for k, n in ((k1, n1), (k2, n2))
    )
    p1, p2 = k1 / n1, k2 / n2  # Newcombe 1998, Stat Med 17:873, method 10, by hand
    assert ours["low"] == pytest.approx(p1 - p2 - np.hypot(p1 - l1, u2 - p2), abs=1e-9)
    assert ours["high"] == pytest.approx(p1 - p2 + np.hypot(u1 - p1, p2 - l2), abs=1e-9)
    needed = ours["n_needed"]
    if p1 == p2:
        assert np.isnan(needed)
    elif needed == needed:
        assert (
            proportions.power(p1, p2, int(needed))
            >= 0.8
            > proportions.power(p1, p2, int(needed) - 1)
        )


def test_newcombes_published_example():
    """Newcombe 1998, Stat Med 17:873, table II (a): 56/70 against 48/80, method 10."""
    ours = proportions.compare(56, 70, 48, 80)
    assert (ours["low"], ours["high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_squared_and_added_wilson_intervals_are_newcombes():
    """Zou & Donner 2008: the general rule gives Newcombe's interval for two proportions."""
    ends = [(k / n, *proportion_confint(k, n, method="wilson")) for k, n in ((56, 70), (48, 80))]
    ours = proportions.compare(56, 70, 48, 80)
    assert difference(*ends) == pytest.approx((ours["low"], ours["high"]))


def test_an_empty_group_is_compared_with_nothing():
    assert np.isnan(list(proportions.compare(0, 0, 3, 4).values())).all()


@pytest.mark.parametrize(("p1", "p2"), [(0.2, 0.7), (1.0, 0.6), (0.5, 0.5)])
@pytest.mark.parametrize("n", [5, 14])
def test_power_is_that_of_scipys_test_over_every_pair_of_counts(p1, p2, n):
    expected = sum(
        stats.binom.pmf(a, n, p1) * stats.binom.pmf(b, n, p2)
        for a in range(n + 1)
        for b in range(n + 1)
        if stats.fisher_exact([[a, n - a], [b, n - b]]).pvalue <= 0.05
    )
    assert proportions.power(p1, p2, n) == pytest.approx(expected, abs=1e-9)


def test_the_published_difference_of_regions_needs_twice_what_a_normal_formula_says():
    """Studies drawn at random: with 421 slices per region four of five reject, with 209 few do."""
    assert proportions.cases_needed(0.98126, 1.0) == 421
    rng = np.random.default_rng(0)
    for n, share in ((421, 0.8), (209, 0.2)):
        wrong = rng.binomial(n, 1 - 0.98126, 4000)  # of lung; liver has no error
        counts, times = np.unique(wrong, return_counts=True)
        p = [stats.fisher_exact([[n - k, k], [n, 0]]).pvalue for k in counts]
        assert times[np.array(p) <= 0.05].sum() / 4000 == pytest.approx(share, abs=0.02)


def test_more_cases_than_are_searched_for_are_missing():
    assert np.isnan(proportions.cases_needed(0.50, 0.49))
    assert proportions.cases_needed(0.50, 0.45) < proportions.MOST
