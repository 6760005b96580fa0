"""How good is a classifier, how sure are we, and on which slices does it fail.

Every number carries its n and a 95 % interval: Wilson's for proportions of independent slices, a
bootstrap over whole patients where slices of one patient count as one. Where a number cannot be
computed, it is missing and a note says why.
"""

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.intervals import cluster_bootstrap, clustered

PROPORTIONS = {  # name -> (which slices count, which of them are successes), from label, predicted
    "accuracy": (lambda y, p: np.ones(len(y), bool), lambda y, p: y == p),
    "sensitivity": (lambda y, p: y == 1, lambda y, p: p == 1),
    "specificity": (lambda y, p: y == 0, lambda y, p: p == 0),
    "PPV": (lambda y, p: p == 1, lambda y, p: y == 1),
    "NPV": (lambda y, p: p == 0, lambda y, p: y == 0),
    # what an answer that is always the same would reach: the accuracy to beat
    "commoner class": (
        lambda y, p: np.ones(len(y), bool),
        lambda y, p: y == (2 * y.sum() >= len(y)),
    ),
}
EMPTY = {
    "accuracy": "no slice to test",
    "sensitivity": "no tumor slice to test",
    "specificity": "no tumor-free slice to test",
    "PPV": "no slice was called tumor",
    "NPV": "no slice was called free of tumor",
    "commoner class": "no slice to test",
}
COLUMNS = ["metric", "value", "low", "high", "k", "n", "interval", "note"]


def auc(labels, scores):
    """Area under the ROC curve of scores (n,); half for ties, NaN where there is one class.

    The Mann-Whitney statistic (Hanley & McNeil 1982, Radiology 143:29).
    """
    labels = np.asarray(labels)
    tumors, free = (labels == 1).sum(), (labels == 0).sum()
    if not tumors or not free:
        return float("nan")
    ranks = stats.rankdata(scores)[labels == 1].sum()
    return float((ranks - tumors * (tumors + 1) / 2) / (tumors * free))


def brier(labels, probabilities):
    """Mean squared difference of probability and label (Brier 1950, Mon. Weather Rev. 78:1)."""
    gaps = np.asarray(probabilities, float) - np.asarray(labels, float)
    return float(np.mean(gaps**2)) if len(gaps) else float("nan")


def calibration_error(labels, probabilities, bins=10):
    """Expected calibration error: |predicted - observed| averaged over equal-width bins by count.

    Naeini 2015, AAAI, equation 3; a probability of exactly 1 belongs to the last bin. Biased
    upward, the more the fewer the slices, and so is its interval: see `calibration_floor`.
    """
    labels, probabilities = np.asarray(labels, float), np.asarray(probabilities, float)
    if not len(labels):
        return float("nan")
    gaps = np.bincount(_bins(probabilities, bins), probabilities - labels, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def calibration_floor(probabilities, bins=10, draws=1000, seed=0):
    """The calibration error that chance alone gives: its mean over labels drawn as predicted.

    probabilities: (n,). What a perfectly calibrated network with these answers would show
    (consistency resampling, Broecker & Smith 2007, Weather Forecast. 22:651).
    """
    p = np.asarray(probabilities, float)
    drawn = np.random.default_rng(seed).random((draws, len(p))) < p
    inside = _bins(p, bins)[:, None] == np.arange(bins)
    return float(np.abs((p - drawn) @ inside).sum(axis=1).mean() / len(p))


def _bins(probabilities, bins):
    return np.minimum((probabilities * bins).astype(int), bins - 1)


def calibration(labels, probabilities, patients=None, bins=10):
    """Per equal-width bin that holds slices: n, mean predicted, share observed, its interval.

    patients: names (n,) for intervals by patient bootstrap, or None for Wilson's by slice.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
    bin_of, rows = _bins(probabilities, bins), []
    for number in np.unique(bin_of):
        inside = bin_of == number
        share = _share(inside, labels == 1, patients)
        row = {"bin": f"{number / bins:.1f}–{(number + 1) / bins:.1f}", "n": share["n"]}
        row |= {"predicted": probabilities[inside].mean(), "observed": share["value"]}
        rows.append(row | {name: share[name] for name in ("low", "high", "interval")})
    columns = ["bin", "n", "predicted", "observed", "low", "high", "interval"]
    return pd.DataFrame(rows, columns=columns)


def metrics(labels, probabilities, predicted=None, patients=None, draws=1000, seed=0):
    """Every metric of one test set: metric, value, low, high, k, n, interval, note; one row each.

    labels, predicted: 0/1 (n,); probabilities: (n,) in 0..1; predicted defaults to >= 0.5;
    patients: names (n,) for intervals by patient bootstrap, or None for intervals by slice.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, float)
    called = (p >= 0.5).astype(int) if predicted is None else np.asarray(predicted)
    if len(y) != len(p) or len(y) != len(called):
        raise DataError("Labels and predictions differ in length", found=(len(y), len(p)))
    rows = [_proportion(name, y, called, patients, draws, seed) for name in PROPORTIONS]
    groups = np.arange(len(y)) if patients is None else patients
    both = "" if 0 < y.sum() < len(y) else "needs slices of both classes"
    none = "" if len(y) else "no slice to test"
    for name, function, note in (
        ("AUC", auc, both),
        ("Brier score", brier, none),
        ("calibration error", calibration_error, none),
    ):
        value = float("nan") if note else function(y, p)
        low, high = np.nan, np.nan
        if not note:
            low, high = cluster_bootstrap(lambda i, f=function: f(y[i], p[i]), groups, draws, seed)
        row = {"metric": name, "value": value, "low": low, "high": high, "k": pd.NA, "n": len(y)}
        row["interval"] = _interval("bootstrap", patients)
        rows.append(row | {"note": note or _degenerate(low, high)})
    if len(y):
        words = (
            f"biased upward: a perfectly calibrated network would show {calibration_floor(p):.3f}"
        )
        rows[-1]["note"] = "; ".join(filter(None, [words, rows[-1]["note"]]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _interval(method, patients):
    return f"{method} by {'slice' if patients is None else 'patient'}"


def _degenerate(low, high):
    if np.isnan(low):
        return "no interval: fewer than two units to resample"
    return "degenerate interval: every resample gives the same" if low == high else ""


def _proportion(name, y, called, patients, draws, seed):
    """One row of `metrics` for a proportion."""
    counted, success = (rule(y, called) for rule in PROPORTIONS[name])
    share = _share(counted, success, patients, draws, seed)
    return {"metric": name, **share, "note": "" if share["n"] else EMPTY[name]}


def _share(counted, success, patients, draws=1000, seed=0):
    """Share of the `counted` slices (n,) bool that are a `success` (n,) bool, as a dict."""
    groups = None if patients is None else np.asarray(patients)[counted]
    share, method = clustered(success[counted], groups, draws, seed)
    return {**vars(share), "interval": _interval(method, patients)}
