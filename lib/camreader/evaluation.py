"""How good is a classifier, how sure are we, and on which slices does it fail.

Every number carries its n and a 95 % interval: Wilson's for proportions of independent slices, a
bootstrap over whole patients where slices of one patient count as one. Where a number cannot be
computed, it is missing and a note says why.
"""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from camreader.intervals import cluster_bootstrap, clustered
from camreader.schemas import DataError

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
GROUPS = ("region", "lesion size", "contrast", "sign", "cysts")  # by which errors are counted
COLUMNS = ["metric", "value", "low", "high", "k", "n", "interval", "note"]
SIZES = (0, 10, 20, 30, np.inf)  # mm, the longest lesion on the slice


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


def tested_slices(predictions, cohort, protocol, run, seed=0):
    """Test rows of one run joined with its cohort rows: label, patient, region, size, contrast.

    `row` is the slice's place in the cohort, and so in its pixels.
    """
    chosen = predictions.query(
        "protocol == @protocol and run == @run and seed == @seed and split == 'test'"
    )
    if chosen.empty:
        raise DataError(f"The {protocol} protocol has no {run} run with seed {seed} to evaluate")
    cohort = cohort.assign(row=np.arange(len(cohort)))
    joined = chosen.merge(cohort, on="slice_id", how="left", validate="one_to_one")
    return joined.assign(correct=joined["predicted"] == joined["label"])


def with_groups(tested, cohort=None):
    """Add the groups by which errors are counted, as text; missing where something is not known.

    Region, lesion size, contrast, cysts and, on the phantom, sign: how strongly the tumor shows
    what tells it from normal tissue (1 as designed). Contrast and sign are cut at the quarters of
    the cohort's tumor slices, so that all protocols share the bands.
    """
    reference = tested if cohort is None else cohort
    size = pd.cut(tested["diameter_mm"], SIZES, right=False)
    names = [f"{low}–{high} mm" for low, high in pairwise(SIZES[:-1])]
    groups = {
        "lesion size": size.cat.rename_categories([*names, f"from {SIZES[-2]} mm"]),
        "contrast": quarters(tested["contrast_hu"], reference["contrast_hu"], "{:.0f}–{:.0f} HU"),
        "cysts": tested["cysts"].map(_cysts, na_action="ignore"),
    }
    if "conspicuity" in reference:
        groups["sign"] = quarters(tested["conspicuity"], reference["conspicuity"], "{:.2f}–{:.2f}")
    return tested.assign(**groups)


def _cysts(count):
    return "with cysts" if count else "without cysts"


def quarters(values, reference, form):
    """The quarter of |reference| in which each |value| lies, as ordered text like form.

    Missing for fewer than four known values, or where all print alike.
    """
    known, none = reference.abs().dropna(), pd.Series(pd.NA, index=values.index, dtype="object")
    if known.nunique() < 4:
        return none
    edges = np.unique(np.quantile(known, np.linspace(0, 1, 5)))
    printed = [form.format(edge, edge) for edge in edges]
    different = [i for i, text in enumerate(printed) if text not in printed[:i]]
    if len(different) < 2:
        return none
    edges = np.append(edges[different[:-1]], edges[-1])  # quarters that print alike are one
    names = [form.format(low, high) for low, high in pairwise(edges)]
    return pd.cut(values.abs(), edges, labels=names, include_lowest=True, ordered=True)


def by_group(tested, by_patient=False, columns=GROUPS, draws=1000):
    """Accuracy and both kinds of error per value of each column; missing values are left out.

    low, high: interval of the accuracy; found, found_low, found_high: share of the tumor slices
    that were found. Intervals are by slice (Wilson) or by patient (bootstrap), as the columns
    interval and found_interval say.
    """
    rows = []
    for column in (name for name in columns if name in tested):
        for value, part in tested.groupby(column, observed=True):
            patients = part["patient_id"].to_numpy() if by_patient else None
            rows.append({"by": column, "group": str(value)} | _group(part, patients, draws))
    return pd.DataFrame(rows)


def _group(part, patients, draws):
    """Counts, accuracy and share of tumors found of one group's test slices."""
    right, tumor = part["correct"].to_numpy(bool), (part["label"] == 1).to_numpy()
    share = _share(np.ones(len(part), bool), right, patients, draws)
    found = _share(tumor, right, patients, draws)
    return {
        "n": share["n"],
        "correct": share["k"],
        "accuracy": share["value"],
        "low": share["low"],
        "high": share["high"],
        "interval": share["interval"],
        "tumor slices": found["n"],
        "missed tumors": found["n"] - found["k"],
        "found": found["value"],
        "found_low": found["low"],
        "found_high": found["high"],
        "found_interval": found["interval"],
        "free slices": int((~tumor).sum()),
        "false alarms": int((~tumor & ~right).sum()),
    }


def over_seeds(values):
    """Mean, SD and 95 % t interval of a metric over the seeds that have it (NaN: not tested).

    The spread is missing for one seed, the mean too for none.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    n, mean = len(values), float(np.mean(values)) if len(values) else np.nan
    if n < 2:
        return {"seeds": n, "mean": mean, "sd": np.nan, "low": np.nan, "high": np.nan}
    sd = float(np.std(values, ddof=1))
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n)
    return {"seeds": n, "mean": mean, "sd": sd, "low": mean - half, "high": mean + half}
