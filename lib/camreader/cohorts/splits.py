"""Train, validation, test: by slice as in the paper, by patient as it should be, and DeepLesion's.

Slices of one patient look alike. A split by slice puts siblings on both sides, and a network that
remembers patients looks better than it is (Yagis 2021, Scientific Reports 11:22544).
"""

import numpy as np
import pandas as pd

from camreader.common.tables import SPLITS
from camreader.statistics.intervals import wilson

VALIDATION_SHARE = 0.1
PROTOCOLS = {
    "paper (by slice)": "split_image",
    "sound (by patient)": "split_patient",
    "DeepLesion's own": "official_split",
}


def by_image(count, test_share=0.2, seed=0):
    """The paper's split: `count` slices at random, "test" for round(test_share x count) of them."""
    order = np.random.default_rng(seed).permutation(count)
    split = np.full(count, "train", object)
    split[order[: round(test_share * count)]] = "test"
    return split


def patients_refusal(patients):
    """Words why a split by patient is impossible, or None. patients: (n,), may hold missing."""
    patients = pd.Series(patients, dtype="object")
    if patients.isna().any():
        return f"patient unknown for {int(patients.isna().sum()):,} of {len(patients):,} slices"
    found = patients.nunique()
    return f"3 patients needed, {found} found" if found < 3 else None


def by_patient(frame, test_share=0.2, seed=0):
    """Split whole patients into train, validation (10 %) and test; returns an object array (n,).

    frame: patient_id, label, region. Greedy, as scikit-learn's StratifiedGroupKFold but for unequal
    shares: patients in random order, larger ones first, each to the part that misses most of its
    kind of slices. Of up to 50 seeded orders the one nearest to the wanted shares wins. Every part
    receives a patient.
    """
    strata = frame["label"].astype(str) + "/" + frame["region"]
    counts = pd.crosstab(frame["patient_id"], strata)
    labels = pd.crosstab(frame["patient_id"], frame["label"])  # so that rare regions do not rule
    table = np.hstack([labels.to_numpy(float), counts.to_numpy(float)])
    rng = np.random.default_rng(seed)
    tries = int(np.clip(20_000 // len(table), 1, 50))
    shares = np.array([1 - test_share - VALIDATION_SHARE, VALIDATION_SHARE, test_share])
    results = [_assign(table, shares, rng) for _ in range(tries)]
    chosen = min(results, key=lambda result: result[0])[1]
    names = dict(zip(counts.index, np.array(SPLITS, object)[chosen], strict=True))
    return frame["patient_id"].map(names).to_numpy(object)


def _assign(table, shares, rng):
    """(distance to the wanted counts, part 0..2 of each patient) for one random order."""
    target = shares[:, None] * table.sum(axis=0)[None]
    have, members = np.zeros_like(target), np.zeros(3, int)
    chosen = np.zeros(len(table), int)
    order = rng.permutation(len(table))
    order = order[np.argsort(-table[order].sum(axis=1), kind="stable")]
    for position, patient in enumerate(order):
        empty = np.flatnonzero(members == 0)
        free = empty if len(order) - position <= len(empty) else np.arange(3)
        missing = (target[free] - have[free]) / target[free].clip(1e-9)
        part = free[int(np.argmax(missing @ table[patient]))]
        have[part] += table[patient]
        members[part] += 1
        chosen[patient] = part
    return (np.abs(have - target) / target.clip(1)).sum(), chosen


def one_sided(frame, column):
    """Words naming the first split in `column` that lacks a label, or None if all have both."""
    for name in SPLITS:
        labels = set(frame.loc[frame[column] == name, "label"])
        if labels != {0, 1}:
            missing = " or ".join(
                word for value, word in ((1, "tumor"), (0, "no tumor")) if value not in labels
            )
            return f"both labels needed in every part, the {name} part has no {missing} slice"
    return None


def split_table(frame):
    """Slices, patients, tumor and no tumor per protocol and split, one row each."""
    rows = []
    for protocol, column in PROTOCOLS.items():
        present = frame[frame[column].notna()]
        for name in SPLITS:
            part = present[present[column] == name]
            if len(part) == 0 and (name == "validation" or len(present) == 0):
                continue
            rows.append(
                {
                    "protocol": protocol,
                    "split": name,
                    "slices": len(part),
                    "patients": part["patient_id"].nunique(),
                    "tumor": int((part["label"] == 1).sum()),
                    "no_tumor": int((part["label"] == 0).sum()),
                    "lung": int((part["region"] == "lung").sum()),
                    "liver": int((part["region"] == "liver").sum()),
                }
            )
    return pd.DataFrame(rows)


def siblings_table(frame, refusals=None):
    """Test slices that have a sibling of the same patient in training, per split protocol."""
    refusals = refusals or {}
    rows = []
    for protocol, column in PROTOCOLS.items():
        test = frame[frame[column] == "test"]
        trained = frame[frame[column] == "train"]
        known = frame["patient_id"].notna().all()
        patients = set(trained["patient_id"].dropna())
        share = wilson(test["patient_id"].isin(patients).sum(), len(test) if known else 0)
        rows.append(
            {
                "protocol": protocol,
                "test_slices": len(test),
                "with_sibling_in_training": share.k if known else None,
                "share": share.value,
                "low": share.low,
                "high": share.high,
                "note": _note(column, known, len(test), len(trained), refusals),
            }
        )
    return pd.DataFrame(rows)


def _note(column, known, tested, trained, refusals):
    if column == "split_patient" and "sound" in refusals:
        return f"refused: {refusals['sound']}"
    if not known:
        return "patients unknown: siblings cannot be counted"
    if tested == 0:
        return "no slice in this test part"
    return "" if trained else "no slice of this split's training part is in the cohort"
