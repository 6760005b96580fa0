"""Non-inferiority and equivalence: interval and test say the same, and words for no margin."""

import numpy as np
import pytest
import simulated_studies
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, margins, roe_metz


@pytest.fixture(scope="module")
def result():
    positives, negatives = roe_metz.simulate(1, 5, 30, 30, (1.5, 1.55, 1.2), seed=4)
    return analysis.obuchowski_rockette(simulated_studies.study_frame(positives[0], negatives[0]))


@settings(max_examples=40, deadline=None)
@given(st.floats(0.005, 0.5), st.sampled_from([0.01, 0.025, 0.05]))
def test_the_interval_lies_above_the_margin_where_the_test_rejects(margin, alpha):
    positives, negatives = roe_metz.simulate(1, 5, 30, 30, (1.5, 1.55, 1.2), seed=4)
    found = analysis.obuchowski_rockette(simulated_studies.study_arms(positives[0], negatives[0]))
    test = margins.non_inferiority(found, margin, alpha)
    assert test.shown == (test.low > -margin)
    same = margins.equivalence(found, margin, alpha)
    assert same.shown == (same.low > -margin and same.high < margin)
    assert same.p >= test.p or np.isclose(same.p, test.p)


def test_t_is_the_difference_and_the_margin_over_the_error(result):
    row = result.differences.iloc[0]
    test = margins.non_inferiority(result, 0.05)
    t = (row["difference"] + 0.05) / row["error"]
    assert (test.t, test.p) == pytest.approx((t, stats.t.sf(t, row["ddf"])))
    assert "at a margin of 0.05" in test.words


def test_a_pair_can_be_named_either_way_round(result):
    one = margins.non_inferiority(result, 0.05, pair=(0, 2))
    other = margins.non_inferiority(result, 0.05, pair=(2, 0))
    assert one.difference == -other.difference and (one.low, one.high) == (-other.high, -other.low)
    assert (other.first, other.second) == ("2", "0")
    with pytest.raises(DataError, match=r"No such pair.*expected: 0, 1; 0, 2; 1, 2"):
        margins.non_inferiority(result, 0.05, pair=(0, 7))


def test_a_margin_chosen_afterwards_is_said_to_be(result):
    assert "exploratory" in margins.non_inferiority(result, 0.05, declared=False).words


@pytest.mark.parametrize("margin", [0, -0.05, 1, 5, float("nan"), "small"])
def test_a_margin_that_is_none_is_refused(result, margin):
    with pytest.raises(DataError, match="margin is out of its range"):
        margins.non_inferiority(result, margin)


def test_one_modality_has_nothing_to_hold_against_a_margin():
    positives, negatives = roe_metz.simulate(1, 4, 10, 10, (1.0,), seed=1)
    single = analysis.obuchowski_rockette(simulated_studies.study_frame(positives[0], negatives[0]))
    with pytest.raises(DataError, match="One modality"):
        margins.non_inferiority(single, 0.05)
