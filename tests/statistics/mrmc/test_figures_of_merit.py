"""Accuracies against scikit-learn and against counting by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from camreader.statistics.mrmc.figures_of_merit import estimate, kernel, roc_points

scores = st.lists(st.integers(1, 5), min_size=1, max_size=20)


@settings(max_examples=50, deadline=None)
@given(scores, scores)
def test_auc_is_scikit_learns_and_the_area_under_the_points(positives, negatives):
    positives, negatives = np.array(positives, float), np.array(negatives, float)
    value = estimate(*kernel(positives, negatives))
    truth = np.r_[np.ones(len(positives)), np.zeros(len(negatives))]
    assert value == pytest.approx(roc_auc_score(truth, np.r_[positives, negatives]))
    false, true = roc_points(positives, negatives)
    assert np.trapezoid(true, false) == pytest.approx(value)


def test_missing_readings_are_left_out():
    positives, negatives = np.array([3.0, np.nan, 1.0]), np.array([2.0, np.nan])
    assert estimate(*kernel(positives, negatives)) == 0.5
    assert np.isnan(estimate(*kernel(positives, np.array([np.nan]))))


def test_sensitivity_and_specificity_count_the_answers():
    positives, negatives = np.array([3.0, 2.0, 1.0, np.nan]), np.array([2.0, 1.0, 1.0, 0.0, 3.0])
    assert estimate(*kernel(positives, negatives, "sensitivity", 2)) == pytest.approx(2 / 3)
    assert estimate(*kernel(positives, negatives, "specificity", 2)) == pytest.approx(3 / 5)
    with pytest.raises(ValueError, match="metric"):
        kernel(positives, negatives, "accuracy", 2)
