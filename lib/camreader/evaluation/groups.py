"""Tested slices with their truth, and where errors gather: region, size, contrast, look-alikes."""

from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from camreader.common.errors import DataError
from camreader.statistics.classification import _share

GROUPS = ("region", "lesion size", "contrast", "sign", "cysts")  # by which errors are counted


SIZES = (0, 10, 20, 30, np.inf)  # mm, the longest lesion on the slice


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
