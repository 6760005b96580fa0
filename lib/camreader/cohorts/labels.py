"""Where a "no tumor" label may come from, and how often each rule hides a lesion.

DeepLesion marks lesions on key slices only and holds no lesion-free scan, so a "no tumor" slice is
always a neighbour of a key slice. The rules here differ in how they pick the neighbour; wherever
full truth is known, `contamination` counts how often the pick was wrong.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from camreader.statistics.intervals import clustered

RULES = ("verified", "neighbour", "lesion_extent")
RULE_WORDS = {
    "verified": "annotated lesion-free slice by slice",
    "neighbour": "at least {:g} mm from every key slice of its series",
    "lesion_extent": "farther from every key slice than ceil(long diameter / z spacing) slices",
    "folder": "as labelled by the owner of the folder",
}
# Share of "negatives" that contain a lesion in the 1,000 fully annotated sub-volumes of
# DeepLesion's validation and test sets (release viggin/DeepLesion_manual_test_set), by distance.
REAL_SHARE_BY_MM = {0: 0.59, 10: 0.49, 20: 0.41, 25: 0.37, 29: 0.31}
REAL_SHARE_LESION_EXTENT = 0.38
REAL_SOURCE = "measured on the 1,000 fully annotated sub-volumes of DeepLesion (Yan et al. 2020)"
RULE_COLUMNS = (
    *("rule", "distance_mm", "meaning", "slices", "with_truth", "hidden", "share", "low", "high"),
    *("interval", "real_deeplesion_share"),
)


def describe(rule: str, distance_mm: float) -> str:
    """The rule in words."""
    return RULE_WORDS[rule].format(distance_mm)


def slice_distances(index: ArrayLike, keys: ArrayLike) -> np.ndarray:
    """Distance of each slice to the nearest key slice, in slices; NaN where there is no key."""
    index, keys = np.asarray(index, float), np.asarray(keys, float)
    if keys.size == 0:
        return np.full(index.shape, np.nan)
    return np.abs(index[:, None] - keys[None]).min(axis=1)


def outside_lesion(
    index: ArrayLike, keys: ArrayLike, diameters_mm: ArrayLike, spacing_z: float
) -> np.ndarray:
    """True where |slice - key| > ceil(long diameter / z spacing) for every key lesion, (n,)."""
    index, keys = np.asarray(index, float), np.asarray(keys, float)
    if keys.size == 0:
        return np.zeros(index.shape, bool)
    reach = np.ceil(np.asarray(diameters_mm, float) / spacing_z)
    return (np.abs(index[:, None] - keys[None]) > reach[None]).all(axis=1)


def negatives(slices: pd.DataFrame, rule: str, distance_mm: float = 10.0) -> np.ndarray:
    """Boolean mask (n,) of the slices that `rule` calls "no tumor".

    slices: frame with key (bool), truth (0/1/missing), distance_mm (to the nearest key slice) and
    outside_lesion (bool). Slices of a series without any key slice are called by truth only.
    """
    if rule == "verified":
        return (slices["truth"] == 0).fillna(False).to_numpy(bool)
    not_key = ~slices["key"].to_numpy(bool)
    if rule == "neighbour":
        return not_key & (slices["distance_mm"] >= distance_mm).to_numpy(bool)
    if rule == "lesion_extent":
        return not_key & slices["outside_lesion"].to_numpy(bool)
    raise ValueError(f"unknown rule {rule!r}; one of {RULES}")


def hidden_share(truth: ArrayLike, patients: Sequence | pd.Series) -> dict:
    """Share of slices whose truth is 1, with a 95 % interval, as a dict of plain numbers.

    truth (n,) 0/1 without missing values; patients (n,) names: slices of one patient resemble
    each other (see `intervals.clustered`). One patient has no interval.
    """
    truth = np.asarray(truth, int)
    share, method = clustered(truth == 1, patients)
    empty = share.n == 0
    known = not np.isnan(share.low)
    return {
        "share": None if empty else share.value,
        "low": share.low if known else None,
        "high": share.high if known else None,
        "n": share.n,
        "patients": len(set(patients)),
        "interval": f"{method} by patient",
    }


def real_share(rule: str, distance_mm: float = 10.0) -> float:
    """The share of hidden lesions expected in real DeepLesion; between distances interpolated."""
    if rule == "verified":
        return 0.0
    if rule == "lesion_extent":
        return REAL_SHARE_LESION_EXTENT
    return float(np.interp(distance_mm, list(REAL_SHARE_BY_MM), list(REAL_SHARE_BY_MM.values())))


def contamination(
    chosen: pd.DataFrame, rule: str, distance_mm: float = 10.0, seed: int = 0
) -> dict:
    """What the cohort's card says of its negatives: {share, low, high, n, interval, source}.

    chosen: frame of the cohort's negatives with truth and patient_id. Measured where every one of
    them has a known truth; otherwise the share expected from real DeepLesion, without interval.
    """
    known = chosen["truth"].notna()
    if rule == "folder":
        return _said(None, "the folder's labels are taken as they are; nothing here can check them")
    if rule == "verified":
        return _said(0.0, "every negative is known to be free of annotated lesions", len(chosen))
    if len(chosen) and known.all():
        share = hidden_share(chosen["truth"], chosen["patient_id"])
        return {**share, "source": "counted against the full truth of this cohort"}
    return _said(real_share(rule, distance_mm), REAL_SOURCE)


def _said(share: Any, source: str, n: int | None = None) -> dict:
    bound = share if share == 0 else None
    return {
        "share": share,
        "low": bound,
        "high": bound,
        "n": n,
        "interval": "none",
        "source": source,
    }


def rule_table(
    slices: pd.DataFrame | None, distances: Sequence[float] = (10, 20, 25, 29), seed: int = 0
) -> pd.DataFrame:
    """One row per negative rule: slices it yields, how many have a known truth, hidden share.

    slices: all slices of a DeepLesion folder; None (own data, labelled by its owner) gives no row.
    """
    if slices is None:
        return pd.DataFrame(columns=RULE_COLUMNS)
    rules = [("neighbour", 0.0)] + [("neighbour", float(mm)) for mm in distances]
    rules += [("lesion_extent", 0.0), ("verified", 0.0)]
    rows = []
    for rule, distance in rules:
        picked = slices[negatives(slices, rule, distance)]
        known = picked[picked["truth"].notna()]
        share = hidden_share(known["truth"], known["patient_id"])
        words = "any slice that is not a key slice"
        if rule != "neighbour" or distance:
            words = describe(rule, distance)
        rows.append(
            {
                "rule": rule,
                "distance_mm": distance if rule == "neighbour" else np.nan,
                "meaning": words,
                "slices": len(picked),
                "with_truth": len(known),
                "hidden": int(known["truth"].sum()),
                "share": share["share"],
                "low": share["low"] if rule != "verified" else np.nan,
                "high": share["high"] if rule != "verified" else np.nan,
                "interval": _interval_words(rule, share),
                "real_deeplesion_share": real_share(rule, distance),
            }
        )
    return pd.DataFrame(rows, columns=RULE_COLUMNS)


def _interval_words(rule: str, share: Mapping) -> str:
    if rule == "verified":
        return "none: free of lesions by definition"
    return share["interval"] if share["n"] else "no truth known"
