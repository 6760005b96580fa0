"""Train, validation, test: by slice as in the paper, by patient as it should be, and DeepLesion's.

Slices of one patient look alike. A split by slice puts siblings on both sides, and a network that
remembers patients looks better than it is (Yagis 2021, Scientific Reports 11:22544).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from camreader.common.tables import SPLITS
from camreader.statistics.intervals import wilson

VALIDATION_SHARE = 0.1
NAMES = {1: "tumor", 0: "no tumor"}
PROTOCOLS = {
    "paper (by slice)": "split_image",
    "sound (by patient)": "split_patient",
    "DeepLesion's own": "official_split",
}


def protocols(frame: pd.DataFrame) -> dict[str, str]:
    """{split in words: its column}; in a department's own folder the third is that folder's."""
    own = (frame["label_source"] == "folder").all() if "label_source" in frame else False
    return {
        n.replace("DeepLesion's", "the folder's") if own else n: c for n, c in PROTOCOLS.items()
    }


def by_image(
    count: int,
    test_share: float = 0.2,
    seed: int | Sequence[int] = 0,
    groups: Sequence | pd.Series | None = None,
) -> np.ndarray:
    """The paper's split: `count` slices at random, "test" for about test_share x count of them.

    groups: (count,), names of groups of copies, missing for single slices; a group stays on one
    side. Without groups exactly round(test_share x count) slices are "test".
    """
    rng, split = np.random.default_rng(seed), np.full(count, "train", object)
    wanted = round(test_share * count)
    if groups is None or not pd.notna(np.asarray(groups, object)).any():
        split[rng.permutation(count)[:wanted]] = "test"
        return split
    name = pd.Series(np.asarray(groups, object))
    unit = name.where(name.notna(), np.arange(count).astype(str).astype(object))
    parts = pd.factorize(unit)[0]
    sizes, room, chosen = np.bincount(parts), wanted, []
    for part in rng.permutation(len(sizes)):
        if sizes[part] <= room:
            chosen.append(part)
            room -= sizes[part]
    split[np.isin(parts, chosen)] = "test"
    return split


def patients_refusal(patients: Sequence | pd.Series) -> str | None:
    """Words why a split by patient is impossible, or None. patients: (n,), may hold missing."""
    named = pd.Series(patients, dtype="object")
    if named.isna().any():
        return f"patient unknown for {int(named.isna().sum()):,} of {len(named):,} slices"
    found = named.nunique()
    return f"3 patients needed, {found} found" if found < 3 else None


def by_patient(frame: pd.DataFrame, test_share: float = 0.2, seed: int = 0) -> np.ndarray:
    """Split whole patients into train, validation (10 %) and test; returns an object array (n,).

    frame: patient_id, label, region, and duplicate_group where copies were sought: patients that
    share a copy stay together. Greedy, as scikit-learn's StratifiedGroupKFold but for unequal
    shares: patients in random order, larger ones first, each to the part that misses most of its
    kind of slices. Of up to 50 seeded orders the one nearest to the wanted shares wins. Every part
    receives a patient.
    """
    unit = _joined(frame)
    strata = frame["label"].astype(str) + "/" + frame["region"]
    counts = pd.crosstab(unit, strata)
    labels = pd.crosstab(unit, frame["label"])  # so that rare regions do not rule
    table = np.hstack([labels.to_numpy(float), counts.to_numpy(float)])
    rng = np.random.default_rng(seed)
    tries = int(np.clip(20_000 // len(table), 1, 50))
    shares = np.array([1 - test_share - VALIDATION_SHARE, VALIDATION_SHARE, test_share])
    results = [_assign(table, shares, rng) for _ in range(tries)]
    chosen = min(results, key=lambda result: result[0])[1]
    names = dict(zip(counts.index, np.array(SPLITS, object)[chosen], strict=True))
    return unit.map(names).to_numpy(object)


def _joined(frame: pd.DataFrame) -> pd.Series:
    """Each row's patient; patients who share a copy under the name of the first of them."""
    patient = frame["patient_id"]
    if "duplicate_group" not in frame or frame["duplicate_group"].isna().all():
        return patient
    code, names = pd.factorize(patient)
    group, _ = pd.factorize(frame["duplicate_group"])
    rows = group >= 0
    size = len(names)
    graph = coo_array(
        (np.ones(rows.sum()), (code[rows], size + group[rows])), shape=(size + group.max() + 1,) * 2
    )
    part = connected_components(graph, directed=False)[1][:size]
    first = {p: names[k] for k, p in reversed(list(enumerate(part)))}
    return patient.map({name: first[p] for name, p in zip(names, part, strict=True)})


def with_validation(frame: pd.DataFrame, seed: int = 0) -> np.ndarray | None:
    """official_split with validation patients taken from its training part where it has none.

    None where training has too few patients for that. Returns an object array (n,).
    """
    split = frame["official_split"].to_numpy(object).copy()
    if (split == "validation").any():
        return split
    trained = frame[split == "train"]
    if trained["patient_id"].nunique() < 3:
        return None
    inner = by_patient(trained, VALIDATION_SHARE, seed)
    split[split == "train"] = np.where(inner == "test", "validation", "train")
    return split


def own_refusal(frame: pd.DataFrame) -> str | None:
    """Words why the data set's own split is not one by patient, or None."""
    sides = frame.groupby("patient_id")["official_split"].nunique()
    if (sides > 1).any():
        return f"{int((sides > 1).sum()):,} patients are on both sides of the data set's own split"
    return None


def _assign(
    table: np.ndarray, shares: np.ndarray, rng: np.random.Generator
) -> tuple[float, np.ndarray]:
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


def one_sided(
    frame: pd.DataFrame, column: str, names: Mapping[int, str] = MappingProxyType(NAMES)
) -> str | None:
    """Words naming the first split in `column` that lacks a label, or None if all have both."""
    for name in SPLITS:
        labels = set(frame.loc[frame[column] == name, "label"])
        if labels != {0, 1}:
            missing = " or ".join(names[value] for value in (1, 0) if value not in labels)
            return f"both labels needed in every part, the {name} part has no {missing} slice"
    return None


def split_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Slices, patients, tumor and no tumor per protocol and split, one row each."""
    rows = []
    for protocol, column in protocols(frame).items():
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


def siblings_table(frame: pd.DataFrame, refusals: Mapping[str, str] | None = None) -> pd.DataFrame:
    """Test slices that have a sibling of the same patient in training, per split protocol."""
    refusals = refusals or {}
    rows = []
    for protocol, column in protocols(frame).items():
        test = frame[frame[column] == "test"]
        trained = frame[frame[column] == "train"]
        known = bool(frame["patient_id"].notna().all())
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


def _note(column: str, known: bool, tested: int, trained: int, refusals: Mapping[str, str]) -> str:
    if column == "split_patient" and "sound" in refusals:
        return f"refused: {refusals['sound']}"
    if not known:
        return "patients unknown: siblings cannot be counted"
    if tested == 0:
        return "no slice in this test part"
    return "" if trained else "no slice of this split's training part is in the cohort"
