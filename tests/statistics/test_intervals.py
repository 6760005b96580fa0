"""Intervals of shares and means whose rows are alike within patients, against their formulas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics import intervals
from camreader.statistics.intervals import INDEPENDENT, clustered, wilson

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=60)


def korn_graubard(hits, groups):
    """Effective n and Wilson's limits, written out as in Korn & Graubard 1998."""
    n, p, names = len(hits), hits.mean(), np.unique(groups)
    k = len(names)
    gaps = np.array([(hits[groups == g] - p).sum() for g in names])
    effect = k / (k - 1) * (gaps**2).sum() / n**2 / (p * (1 - p) / n)
    shrink = (stats.norm.ppf(0.975) / stats.t.ppf(0.975, k - 1)) ** 2
    return min(n / effect * shrink, n)


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_the_share_has_wilsons_limits_for_the_effective_number(rows):
    hits, groups = (np.array(x) for x in zip(*rows, strict=True))
    names = len(set(groups.tolist()))
    share, method = clustered(hits, groups)
    assert share.k == hits.sum() and share.n == len(hits)
    if names < 2:
        assert np.isnan(share.low) and method == "no interval: one unit"
        return
    gaps = [(hits[groups == g] - hits.mean()).sum() for g in set(groups.tolist())]
    alike = hits.mean() in (0, 1) or np.allclose(gaps, 0)
    number = names if alike else korn_graubard(hits, groups)
    assert 0 <= share.low <= share.value <= share.high <= 1
    # Wilson's limits are where the score test of the share just rejects
    for end in (share.low, share.high):
        if 1e-9 < end < 1 - 1e-9 and 0 < hits.mean() < 1:
            z = (share.value - end) / np.sqrt(end * (1 - end) / number)
            assert abs(z) == pytest.approx(1.959964, rel=1e-4)


def test_patients_with_equal_shares_are_the_units_whatever_rounding_leaves():
    """One of three slices in either of two patients: nothing varies between them."""
    share, _ = clustered([False, False, False, False, True, True], [0, 0, 1, 1, 0, 1])
    z = (share.value - share.low) / np.sqrt(share.low * (1 - share.low) / 2)
    assert z == pytest.approx(stats.norm.ppf(0.975))


def test_two_of_three_slices_of_one_patient_have_no_interval():
    """Before, they had that of 1 of 1."""
    share, method = clustered([True, True, False], ["a", "a", "a"])
    assert (share.k, share.n) == (2, 3) and np.isnan(share.low) and method.startswith("no interval")


def test_four_patients_tell_less_than_fifteen_slices():
    """FACTS section 11: 14 of 15 from four patients gave 87.5 to 100."""
    hits = np.arange(15) > 0
    few = clustered(hits, np.array(list("aaaabbbbccccddd")))[0]
    many = clustered(hits, INDEPENDENT)[0]
    assert (round(100 * many.low, 1), round(100 * many.high, 1)) == (70.2, 98.8)
    assert few.low < many.low and few.high - few.low > many.high - many.low


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        (None, "unit of analysis is not stated"),
        (["a", None, "b"], "Rows without a patient.*row: 1; found: 1 of 3 names missing"),
        (["a", "", "b"], "Rows without a patient"),
        (["a", float("nan"), "b"], "Rows without a patient"),
        (["a", "b"], "Not one group name per row"),
    ],
)
def test_no_unit_is_assumed_and_no_row_vanishes(groups, words):
    with pytest.raises(DataError, match=words):
        clustered([True, False, True], groups)
    if groups is not None and len(groups) == 3:
        with pytest.raises(DataError, match=words):
            intervals.cluster_bootstrap(np.mean, np.array(groups, dtype=object))


def test_a_mean_that_never_varies_is_no_certainty():
    low, high = intervals.clustered_mean(np.zeros(12), np.arange(12) // 3, (-1.0, 1.0))
    reach = 2 * wilson(0, 4).high
    assert (low, high) == pytest.approx((max(-reach, -1), min(reach, 1)))
    assert np.isnan(intervals.clustered_mean([1.0, 2.0], ["a", "a"])[0])


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 3))
def test_differences_and_means_stay_in_their_range(rows, cut):
    hits, groups = (np.array(x) for x in zip(*rows, strict=True))
    low, high = intervals.clustered_mean(hits.astype(float), groups)
    assert np.isnan(low) or 0 <= low <= hits.mean() <= high <= 1
    first = groups <= cut
    low, high = intervals.clustered_difference(hits, first, groups)
    if not np.isnan(low):
        gap = hits[first].mean() - hits[~first].mean()
        assert -1 <= low <= gap + 1e-12 and gap - 1e-12 <= high <= 1


def test_a_difference_of_separate_patients_is_welchs_but_for_the_degrees_of_freedom():
    rng = np.random.default_rng(1)
    hits, first = rng.random(80) < 0.6, np.arange(80) < 40
    low, high = intervals.clustered_difference(hits, first, np.arange(80))
    spread = [hits[side].var() / 40 for side in (first, ~first)]
    reach = stats.t.ppf(0.975, 39) * np.sqrt(sum(spread) * 80 / 79)
    gap = hits[first].mean() - hits[~first].mean()
    assert (low, high) == pytest.approx((gap - reach, gap + reach))


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (intervals.wilson, (5, 3), "Not a count of successes.*5 of 3"),
        (intervals.newcombe, (5, 3, 1, 4), "Not a count of successes.*5 of 3"),
        (intervals.newcombe_paired, (1, -1, 2, 3), "A count below 0"),
        (intervals.wilson, (1, 3, 95), "level is out of its range"),
    ],
)
def test_counts_that_are_none_are_refused(function, arguments, words):
    with pytest.raises(DataError, match=words):
        function(*arguments)


def test_interval_and_test_that_disagree_are_told():
    words = "interval and exact test disagree: too few cases to conclude"
    assert intervals.disagreement(0.05, 0.8, 0.063) == words  # 05_helpfulness
    assert intervals.disagreement(-0.1, 0.8, 0.04) == words
    assert intervals.disagreement(0.05, 0.8, 0.02) == intervals.disagreement(-0.1, 0.8, 0.3) == ""
    assert intervals.disagreement(float("nan"), 0.8, 0.3) == ""
