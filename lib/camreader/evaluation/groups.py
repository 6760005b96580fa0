"""Where errors gather: region, lesion size, contrast, conspicuity, look-alikes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from camreader.statistics.classification import CONSPICUITY, metrics, share_of
from camreader.statistics.intervals import INDEPENDENT
from camreader.training.predictions import size_bands

# by which errors are counted
GROUPS = ("region", "lesion size", "contrast", "conspicuity", "cysts")


def with_groups(tested: pd.DataFrame, cohort: pd.DataFrame | None = None) -> pd.DataFrame:
    """Add the groups by which errors are counted, as text; missing where something is not known.

    Region, lesion size, contrast, cysts and, on the phantom, conspicuity: the level of the tumor
    that shows most plainly. Contrast is cut at the quarters of the cohort's tumor slices, so that
    all protocols share the bands.
    """
    reference = tested if cohort is None else cohort
    groups = {
        "lesion size": size_bands(tested["diameter_mm"]),
        "contrast": quarters(tested["contrast_hu"], reference["contrast_hu"], "{:.0f}–{:.0f} HU"),
        "cysts": tested["cysts"].map(
            lambda count: "with cysts" if count else "without cysts", na_action="ignore"
        ),
    }
    if "level" in tested:
        groups["conspicuity"] = pd.Categorical(tested["level"], CONSPICUITY, ordered=True)
    return tested.assign(**groups)


def quarters(values: pd.Series, reference: pd.Series, form: str) -> pd.Series:
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


def by_group(
    tested: pd.DataFrame, by_patient: bool, columns: Sequence[str] = GROUPS
) -> pd.DataFrame:
    """Accuracy and both kinds of error per value of each column; missing values are left out.

    low, high: interval of the accuracy; found, found_low, found_high: share of the tumor slices
    that were found. Intervals are by slice (Wilson) or by patient (with the design effect), as the
    columns interval and found_interval say; patients, found_patients: how many there are.
    """
    rows = []
    for column in (name for name in columns if name in tested):
        for value, part in tested.groupby(column, observed=True):
            patients = part["patient_id"].to_numpy() if by_patient else INDEPENDENT
            rows.append({"by": column, "group": str(value)} | _group(part, patients))
    return pd.DataFrame(rows)


def _group(part: pd.DataFrame, patients: Sequence | str) -> dict:
    """Counts, accuracy and share of tumors found of one group's test slices."""
    right, tumor = part["correct"].to_numpy(bool), (part["truth"] == 1).to_numpy()
    share = share_of(np.ones(len(part), bool), right, patients)
    found = share_of(tumor, right, patients)
    return {
        "n": share["n"],
        "patients": share["patients"],
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
        "found_patients": found["patients"],
        "found_interval": found["interval"],
        "free slices": int((~tumor).sum()),
        "false alarms": int((~tumor & ~right).sum()),
    }


def measured(tested: pd.DataFrame, by_patient: bool, draws: int = 1000) -> pd.DataFrame:
    """`classification.metrics` of test slices, intervals by patient or by slice."""
    answers = (tested[name] for name in ("truth", "probability", "predicted"))
    patients = tested["patient_id"] if by_patient else INDEPENDENT
    return metrics(*answers, patients=patients, draws=draws)


def over_seeds(
    values: Sequence[float], limits: tuple[float, float] = (-np.inf, np.inf)
) -> dict[str, float]:
    """Mean, SD and 95 % t interval of a metric over the seeds that have it (NaN: not tested).

    The interval is cut to `limits`, the metric's range. The spread is missing for one seed, the
    mean too for none.
    """
    known = np.asarray(values, float)
    known = known[~np.isnan(known)]
    n, mean = len(known), float(np.mean(known)) if len(known) else np.nan
    sd = float(np.std(known, ddof=1)) if n > 1 else np.nan
    half = stats.t.ppf(0.975, n - 1) * sd / np.sqrt(n) if n > 1 else np.nan
    ends = {"low": max(mean - half, limits[0]), "high": min(mean + half, limits[1])}
    return {"seeds": n, "mean": mean, "sd": sd} | ends
