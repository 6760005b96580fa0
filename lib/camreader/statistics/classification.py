"""How good is a classifier, how sure are we, and on which slices does it fail.

Every number carries its n, its number of patients and a 95 % interval. The unit of analysis is
stated by the caller: names of patients, or INDEPENDENT for slices. Shares have Wilson's interval,
with patients for n over the design effect (Korn & Graubard); AUC DeLong's on the logit, clustered
with patients (Obuchowski 1997). Where a number cannot be computed, it is missing and a note says
why.
"""

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import special, stats

from camreader.common.errors import DataError
from camreader.statistics.intervals import (
    Groups,
    by_unit,
    cluster_bootstrap,
    clustered,
    clustered_mean,
    unit_codes,
    units,
    units_in,
    wilson,
)
from camreader.statistics.mrmc.covariance import clustered_delong
from camreader.statistics.mrmc.figures_of_merit import kernel

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
BINS = 10  # of probability, equally wide
CONSPICUITY = ("subtle", "moderate", "plain")  # levels of the phantom's lesions
COLUMNS = ["metric", "value", "low", "high", "k", "n", "patients", "interval", "note"]


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve of scores (n,); half for ties, NaN where there is one class.

    The Mann-Whitney statistic, half for ties (Hanley & McNeil 1982, Radiology 143:29).
    """
    labels = np.asarray(labels)
    tumors, free = (labels == 1).sum(), (labels == 0).sum()
    if not tumors or not free:
        return float("nan")
    ranks = stats.rankdata(scores)[labels == 1].sum()
    return float((ranks - tumors * (tumors + 1) / 2) / (tumors * free))


def brier(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared difference of probability and label (Brier 1950, Mon. Weather Rev. 78:1)."""
    gaps = np.asarray(probabilities, float) - np.asarray(labels, float)
    return float(np.mean(gaps**2)) if len(gaps) else float("nan")


def calibration_error(labels: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error: |predicted - observed| averaged over equal-width bins by count.

    labels: 0/1 (n,); probabilities: (n,) in 0..1. Naeini 2015, AAAI, equation 3; a probability of
    exactly 1 belongs to the last bin. Biased upward, the more the fewer the slices, and so is its
    interval: see `calibration_floor`.
    """
    labels, probabilities = np.asarray(labels, float), np.asarray(probabilities, float)
    if not len(labels):
        return float("nan")
    gaps = np.bincount(_bins(probabilities), probabilities - labels, minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def calibration_floor(probabilities: ArrayLike) -> float:
    """The calibration error that chance alone gives: its mean over 1,000 draws of labels as
    predicted.

    probabilities: (n,). What a perfectly calibrated network with these answers would show
    (consistency resampling, Broecker & Smith 2007, Weather Forecast. 22:651).
    """
    p = np.asarray(probabilities, float)
    drawn = np.random.default_rng(0).random((1000, len(p))) < p
    inside = _bins(p)[:, None] == np.arange(BINS)
    return float(np.abs((p - drawn) @ inside).sum(axis=1).mean() / len(p))


def _bins(probabilities: np.ndarray) -> np.ndarray:
    return np.minimum((probabilities * BINS).astype(int), BINS - 1)


def calibration(labels: ArrayLike, probabilities: ArrayLike, patients: Groups) -> pd.DataFrame:
    """Per equal-width bin that holds slices: n, mean predicted, share observed, its interval.

    patients: names (n,), or INDEPENDENT for intervals by slice.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
    bin_of, rows = _bins(probabilities), []
    for number in np.unique(bin_of):
        inside = bin_of == number
        share = share_of(inside, labels == 1, patients)
        row = {"bin": f"{number / BINS:.1f}–{(number + 1) / BINS:.1f}", "n": share["n"]}
        row |= {"predicted": probabilities[inside].mean(), "observed": share["value"]}
        rows.append(row | {name: share[name] for name in ("low", "high", "patients", "interval")})
    columns = ["bin", "n", "predicted", "observed", "low", "high", "patients", "interval"]
    return pd.DataFrame(rows, columns=columns)


def metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    predicted: ArrayLike | None = None,
    *,
    patients: Groups,
    draws: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric of one test set: metric, value, low, high, k, n, patients, interval, note.

    labels, predicted: 0/1 (n,); probabilities: (n,) in 0..1; predicted defaults to >= 0.5;
    patients: names (n,) of the units, or INDEPENDENT for intervals by slice. DataError for other
    labels or probabilities, lengths that differ, a missing name, or a unit that is not stated.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, float)
    called = (p >= 0.5).astype(int) if predicted is None else np.asarray(predicted)
    if len(y) != len(p) or len(y) != len(called):
        raise DataError("Labels and predictions differ in length", found=(len(y), len(p)))
    _check_values(y, p, called)
    units(patients, len(y))  # a unit that is not stated is an error
    rows = [_proportion(name, y, called, patients) for name in PROPORTIONS]
    both = "" if 0 < y.sum() < len(y) else "needs slices of both classes"
    none = "" if len(y) else "no slice to test"
    for name, number, interval, note in (
        ("AUC", auc, auc_interval, both),
        ("Brier score", brier, _brier_interval, none),
        ("calibration error", calibration_error, partial(_resampled, draws, seed), none),
    ):
        value, low, high, how = np.nan, np.nan, np.nan, "no interval"
        if not note:
            value, (low, high, how, note) = number(y, p), interval(y, p, patients)
        row = {"metric": name, "value": value, "low": low, "high": high, "k": pd.NA, "n": len(y)}
        row |= {"patients": units_in(patients), "interval": by_unit(how, patients)}
        rows.append(row | {"note": note})
    if len(y):
        words = (
            f"biased upward: a perfectly calibrated network would show {calibration_floor(p):.3f}"
        )
        rows[-1]["note"] = "; ".join(filter(None, [words, rows[-1]["note"]]))
    return pd.DataFrame(rows, columns=COLUMNS)


def _check_values(y: np.ndarray, p: np.ndarray, called: np.ndarray) -> None:
    """DataError for a label or answer other than 0 and 1, or a probability outside 0 to 1."""
    for name, values, good, expected in (
        ("label", y, np.isin(y, (0, 1)), "0 or 1"),
        ("predicted", called, np.isin(called, (0, 1)), "0 or 1"),
        ("probability", p, (p >= 0) & (p <= 1), "0 to 1"),
    ):
        if not np.all(good):
            row = int(np.argmin(good))
            raise DataError(f"Unknown {name}", row=row, found=values[row], expected=expected)


def auc_interval(
    labels: ArrayLike, scores: ArrayLike, patients: Groups
) -> tuple[float, float, str, str]:
    """(low, high, method, note) of the AUC: DeLong's variance on the logit, t with K - 1 degrees
    of freedom for K units; clustered by patient (Obuchowski 1997). An AUC of 0 or 1 has no
    variance: there Wilson's limit for the units of the smaller class."""
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    codes = unit_codes(patients, len(labels))
    sick = labels == 1
    fewest = min(len(set(codes[part].tolist())) for part in (sick, ~sick))
    if fewest < 2:
        return np.nan, np.nan, "no interval", "no interval: fewer than two units of a class"
    value = auc(labels, scores)
    parts = kernel(scores[None, sick], scores[None, ~sick])
    variance = clustered_delong(*parts, codes[sick], codes[~sick])[0, 0]
    if value in (0, 1) or not variance > 0:
        ends = wilson(round(value) * fewest, fewest)
        note = f"degenerate variance: Wilson's limit for the {fewest} units of the smaller class"
        return ends.low, ends.high, "Wilson", note
    low, high = _on_logit(value, np.sqrt(variance), len(set(codes.tolist())))
    return low, high, "DeLong on the logit", ""


def _on_logit(value: float, error: float, count: int) -> tuple[float, float]:
    """(low, high) of a share with its standard error over `count` units, by t on the logit."""
    reach = stats.t.ppf(0.975, count - 1) * error / (value * (1 - value))
    low, high = special.expit(special.logit(value) + np.array([-reach, reach]))
    return float(low), float(high)


def macro_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean over classes of the AUC of each against the rest; NaN where one is in no slice.

    labels: 0 ... C - 1 (n,); scores: (n, C). Unweighted, so that a rare class counts as much as a
    common one (Hand & Till 2001, Mach. Learn. 45:171, discuss it beside their pairwise mean).
    """
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    return float(np.mean([auc(labels == c, scores[:, c]) for c in range(scores.shape[1])]))


def macro_auc_interval(
    labels: ArrayLike, scores: ArrayLike, patients: Groups
) -> tuple[float, float, str, str]:
    """(low, high, method, note) of the macro AUC: a jackknife over units, on the logit, t with
    K - 1 degrees of freedom for K units (patients, or slices where INDEPENDENT)."""
    labels, scores = np.asarray(labels), np.asarray(scores, float)
    codes = unit_codes(patients, len(labels))
    count, value = len(set(codes.tolist())), macro_auc(labels, scores)
    if np.isnan(value):
        return np.nan, np.nan, "no interval", "a class is in no slice, or in all of them"
    without = np.array([macro_auc(labels[codes != k], scores[codes != k]) for k in range(count)])
    if count < 3 or np.isnan(without).any():
        return np.nan, np.nan, "no interval", "no interval: a class is of one unit only"
    spread = np.sqrt((count - 1) / count * ((without - without.mean()) ** 2).sum())
    if value in (0, 1) or not spread > 0:
        return np.nan, np.nan, "no interval", "no interval: every class is told apart perfectly"
    return *_on_logit(value, spread, count), "jackknife on the logit", ""


def _brier_interval(
    y: np.ndarray, p: np.ndarray, patients: Groups
) -> tuple[float, float, str, str]:
    low, high = clustered_mean((p - y) ** 2, patients)
    return low, high, "t", _few(low)


def _resampled(
    draws: int, seed: int, y: np.ndarray, p: np.ndarray, patients: Groups
) -> tuple[float, float, str, str]:
    groups = unit_codes(patients, len(y))
    low, high = cluster_bootstrap(lambda i: calibration_error(y[i], p[i]), groups, draws, seed)
    return low, high, "bootstrap", _few(low)


def _few(low: float) -> str:
    return "no interval: fewer than two units to resample" if np.isnan(low) else ""


def _proportion(name: str, y: np.ndarray, called: np.ndarray, patients: Groups) -> dict[str, Any]:
    """One row of `metrics` for a proportion."""
    counted, success = (rule(y, called) for rule in PROPORTIONS[name])
    share = share_of(counted, success, patients)
    note = "" if share["n"] else EMPTY[name]
    if share["n"] and np.isnan(share["low"]):
        note = "no interval: all slices are of one patient"
    return {"metric": name, **share, "note": note}


def share_of(counted: np.ndarray, success: np.ndarray, patients: Groups) -> dict[str, Any]:
    """Share of the `counted` slices (n,) bool that are a `success` (n,) bool, as a dict."""
    units(patients, len(counted))  # a name that is missing anywhere is an error
    groups: Any = patients if isinstance(patients, str) else np.asarray(patients)[counted]
    share, method = clustered(success[counted], groups)
    return {**vars(share), "patients": units_in(groups), "interval": by_unit(method, patients)}
