"""Metrics against scikit-learn and statsmodels on random data, and where there are none."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier
from statsmodels.stats.proportion import proportion_confint

from camreader.common.errors import DataError
from camreader.evaluation.groups import by_group
from camreader.statistics import classification
from camreader.statistics.intervals import INDEPENDENT

KORN_GRAUBARD = "Wilson with design effect by patient"

cases = st.lists(
    st.tuples(st.integers(0, 1), st.sampled_from(np.linspace(0, 1, 41).tolist())),
    min_size=1,
    max_size=60,
)


def table(labels, probabilities, patients=INDEPENDENT):
    found = classification.metrics(labels, probabilities, patients=patients, draws=20)
    return found.set_index("metric")


@settings(max_examples=60, deadline=None)
@given(cases)
def test_every_metric_is_that_of_scikit_learn(pairs):
    labels, scores = (np.array(x) for x in zip(*pairs, strict=True))
    called = (scores >= 0.5).astype(int)
    ours = table(labels, scores)
    expected = {
        "accuracy": sk.accuracy_score(labels, called),
        "Brier score": sk.brier_score_loss(labels, scores, pos_label=1),
        "commoner class": DummyClassifier().fit(scores, labels).score(scores, labels),
    }
    if labels.any():
        expected["sensitivity"] = sk.recall_score(labels, called)
    if not labels.all():
        expected["specificity"] = sk.recall_score(labels, called, pos_label=0)
    if called.any():
        expected["PPV"] = sk.precision_score(labels, called)
    if not called.all():
        expected["NPV"] = sk.precision_score(labels, called, pos_label=0)
    if 0 < labels.sum() < len(labels):
        expected["AUC"] = sk.roc_auc_score(labels, scores)
    for name, value in expected.items():
        assert ours.loc[name, "value"] == pytest.approx(value), name
        assert ours.loc[name, "low"] <= value + 1e-9 or np.isnan(ours.loc[name, "low"])
    for name in set(ours.index) - set(expected) - {"calibration error"}:
        assert np.isnan(ours.loc[name, "value"]) and ours.loc[name, "note"], name


@settings(max_examples=40, deadline=None)
@given(cases)
def test_intervals_of_proportions_are_statsmodels_wilson(pairs):
    labels, scores = (np.array(x) for x in zip(*pairs, strict=True))
    row = table(labels, scores).loc["accuracy"]
    right = int((labels == (scores >= 0.5)).sum())
    expected = proportion_confint(right, len(labels), method="wilson")
    assert (row["low"], row["high"]) == pytest.approx(expected, abs=1e-12)
    assert (row["k"], row["n"]) == (right, len(labels))


@settings(max_examples=40, deadline=None)
@given(cases)
def test_calibration_error_is_the_mean_gap_over_bins(pairs):
    labels, scores = (np.array(x) for x in zip(*pairs, strict=True))
    bins = np.minimum((scores * 10).astype(int), 9)
    gaps = [abs((scores[bins == b] - labels[bins == b]).sum()) for b in range(10)]
    assert classification.calibration_error(labels, scores) == pytest.approx(
        sum(gaps) / len(labels)
    )


@pytest.mark.parametrize("n", [30, 300])
def test_chance_alone_gives_a_calibration_error_and_its_note_says_so(n):
    """Labels drawn as predicted, independently of the function: the mean error is the floor."""
    rng = np.random.default_rng(5)
    scores = rng.random(n)
    drawn = [classification.calibration_error(rng.binomial(1, scores), scores) for _ in range(2000)]
    floor = classification.calibration_floor(scores)
    assert floor == pytest.approx(np.mean(drawn), rel=0.05)
    note = table(rng.binomial(1, scores), scores).loc["calibration error", "note"]
    assert note == f"biased upward: a perfectly calibrated network would show {floor:.3f}"


@pytest.mark.parametrize(
    ("labels", "scores", "missing"),
    [
        ([1, 1, 1], [0.9, 0.2, 0.8], {"specificity": "no tumor-free slice", "AUC": "both classes"}),
        ([0, 0], [0.1, 0.2], {"sensitivity": "no tumor slice", "PPV": "no slice was called tumor"}),
        ([1], [0.7], {"AUC": "both classes", "NPV": "no slice was called free"}),
        ([], [], {"accuracy": "no slice to test", "Brier score": "no slice to test"}),
    ],
)
def test_what_cannot_be_computed_is_missing_and_says_why(labels, scores, missing):
    ours = table(np.array(labels, int), np.array(scores, float))
    for name, words in missing.items():
        assert np.isnan(ours.loc[name, "value"]) and words in ours.loc[name, "note"]


def test_all_correct_has_an_interval_that_is_no_point():
    """Twenty slices of ten patients: Wilson's for 10 of 10 (0.7225), not for 20 of 20 (0.8389)."""
    ours = table(np.array([0, 1] * 10), np.array([0.1, 0.9] * 10), patients=np.arange(20) // 2)
    row = ours.loc["accuracy"]
    assert row["value"] == 1 and row["high"] == 1 and row["low"] == pytest.approx(0.7225, abs=1e-4)
    assert row["interval"] == "Wilson with design effect by patient" and row["n"] == 20
    assert row["patients"] == 10
    assert ours.loc["AUC", "value"] == 1 and "degenerate" in ours.loc["AUC", "note"]


def test_one_slice_has_a_wilson_interval_and_no_bootstrap():
    ours = table(np.array([1]), np.array([0.9]))
    assert ours.loc["accuracy", "low"] == pytest.approx(0.2065, abs=1e-4)
    assert np.isnan(ours.loc["Brier score", "low"])
    assert "fewer than two units" in ours.loc["Brier score", "note"]


def test_slices_of_one_patient_count_as_one():
    """Ten identical slices per patient: the patient interval is that of the patients alone."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 40)
    score = np.where(rng.random(40) < 0.8, label, 1 - label).astype(float)
    few = classification.metrics(label, score, patients=np.arange(40), seed=1)
    many = classification.metrics(
        np.repeat(label, 10), np.repeat(score, 10), patients=np.repeat(np.arange(40), 10), seed=1
    )
    for end in ("low", "high"):
        assert many[end].iloc[0] == pytest.approx(few[end].iloc[0], abs=1e-9)
    by_slice = classification.metrics(
        np.repeat(label, 10), np.repeat(score, 10), patients=INDEPENDENT
    )
    assert np.ptp(by_slice.loc[0, ["low", "high"]]) < 0.5 * np.ptp(many.loc[0, ["low", "high"]])


def repeated_patients(each, patients=30):
    """`each` identical test slices per patient, all of one region."""
    rng = np.random.default_rng(3)
    label = rng.integers(0, 2, patients)
    called = np.where(rng.random(patients) < 0.7, label, 1 - label)
    one = pd.DataFrame(
        {"truth": label, "label": label, "correct": label == called, "probability": 0.9 * called}
    )
    one = one.assign(patient_id=np.arange(patients), region="lung")
    return one.loc[one.index.repeat(each)]


def test_groups_and_calibration_of_the_sound_protocol_resample_patients():
    """Ten identical slices per patient give the interval of one."""
    few, many = (repeated_patients(each) for each in (1, 10))
    rows = [by_group(t, True, ("region",)).iloc[0] for t in (few, many)]
    for end in ("low", "high", "found_low", "found_high"):
        assert rows[0][end] == pytest.approx(rows[1][end])
    assert rows[1]["interval"] == rows[1]["found_interval"] == KORN_GRAUBARD
    assert rows[1]["patients"] == 30 and rows[1]["n"] == 300
    by_slice = by_group(many, False, columns=("region",)).iloc[0]
    assert by_slice["interval"] == "Wilson by slice"
    assert by_slice["high"] - by_slice["low"] < 0.5 * (rows[1]["high"] - rows[1]["low"])
    bins = [
        classification.calibration(t["label"], t["probability"], t["patient_id"])
        for t in (few, many)
    ]
    ends = [table[["low", "high"]].to_numpy() for table in bins]
    assert ends[0] == pytest.approx(ends[1]) and bins[1]["interval"].eq(KORN_GRAUBARD).all()


def test_lengths_must_agree():
    with pytest.raises(DataError, match="differ in length"):
        classification.metrics([1, 0], [0.5], patients=INDEPENDENT)


@pytest.mark.parametrize(
    ("labels", "scores", "patients", "words"),
    [
        ([1, 2], [0.5, 0.5], INDEPENDENT, "Unknown label.*found: 2"),
        ([1, 0], [0.5, 1.7], INDEPENDENT, r"Unknown probability.*row: 1; found: 1\.7"),
        ([1, 0], [0.5, np.nan], INDEPENDENT, "Unknown probability"),
        ([1, 0], [0.5, 0.5], None, "unit of analysis is not stated"),
        ([1, 0], [0.5, 0.5], ["a", None], "Rows without a patient.*1 of 2 names missing"),
        ([1, 0], [0.5, 0.5], ["a"], "Not one group name per row"),
    ],
)
def test_what_no_metric_can_be_made_of_is_refused(labels, scores, patients, words):
    with pytest.raises(DataError, match=words):
        classification.metrics(labels, scores, patients=patients)


def test_the_interval_of_an_auc_is_delongs_on_the_logit():
    """Against the logit of DeLong's variance computed from its definition, t with n - 1."""
    rng = np.random.default_rng(2)
    y, s = np.repeat([0, 1], 15), np.concatenate([rng.normal(0, 1, 15), rng.normal(1, 1, 15)])
    high, low = s[y == 1], s[y == 0]
    success = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    variance = success.mean(1).var(ddof=1) / 15 + success.mean(0).var(ddof=1) / 15
    value = success.mean()
    reach = stats.t.ppf(0.975, 29) * np.sqrt(variance) / (value * (1 - value))
    centre = np.log(value / (1 - value))
    expected = 1 / (1 + np.exp(-np.array([centre - reach, centre + reach])))
    assert classification.auc_interval(y, s, INDEPENDENT)[:2] == pytest.approx(expected)
    twice = classification.auc_interval(np.tile(y, 2), np.tile(s, 2), np.tile(np.arange(30), 2))
    assert twice[:2] == pytest.approx(expected)  # a slice shown twice is no second patient
