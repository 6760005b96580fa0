"""Do heat-maps point at the lesion? Scores per slice, and per method with patient-level intervals.

A blank map is a miss in every score; a slice without a lesion has no score (NaN). The regions are
boxes (DeepLesion) or exact masks (phantom), in the pixels of the heat-map.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt

from camreader.common.errors import DataError
from camreader.statistics.intervals import clustered, clustered_mean

THRESHOLDS = np.round(np.arange(0.05, 1.0, 0.05), 2)
FIXED = 0.5
SCORES = ("hit", "hit_near", "energy", "iou_fixed", "iou_best")


def exact_masks(cohort: pd.DataFrame, source: str | Path, size: int) -> np.ndarray | None:
    """Boolean (N, size, size) from the phantom's Masks_png: pixels at least half lesion.

    A lesion too small for any such pixel keeps the pixels it fills most. None where the source
    has no masks (real data).
    """
    folder = Path(source) / "Masks_png"
    if not folder.is_dir():
        return None
    masks = np.zeros((len(cohort), size, size), bool)
    for mask, path in zip(masks, cohort["image_path"], strict=True):
        mask[:] = _read_mask(folder / Path(path).relative_to("Images_png"), size)
    return masks


def score(maps: np.ndarray, masks: np.ndarray, tolerance: float | None = None) -> pd.DataFrame:
    """Scores of maps (N, S, S) in 0..1 against lesion masks (N, S, S), one row per slice.

    hit        the maximum lies on the lesion (pointing game; of tied maxima, the share that does)
    hit_near   the same within `tolerance` pixels (by default 1/16 of the map's side)
    energy     share of the map's sum on the lesion (Wang et al. 2020, Score-CAM, section 4.2)
    iou_fixed  intersection over union of the map above 0.5 with the lesion
    iou_best   the same above the method's best threshold: the one of 0.05, 0.10, ... 0.95 with
               the largest mean (Choe et al. 2020, CVPR); column `threshold` names it. It is
               chosen on the same slices and so favours every method a little.
    """
    maps, masks = np.asarray(maps, np.float32), np.asarray(masks, bool)
    if maps.shape != masks.shape or maps.ndim != 3:
        raise DataError("Maps and masks differ in shape", found=maps.shape, expected=masks.shape)
    tolerance = maps.shape[-1] // 16 if tolerance is None else tolerance
    blank = ~(maps > 0).any((1, 2))
    columns = {
        "hit": _pointing(maps, masks),
        "hit_near": _pointing(maps, _grown(masks, tolerance)),
        "energy": _ratio((maps * masks).sum((1, 2)), maps.sum((1, 2))),
    }
    ious = np.stack([iou(maps >= level, masks) for level in THRESHOLDS], 1)
    frame = pd.DataFrame(columns | {"iou_fixed": iou(maps >= FIXED, masks)})
    lesion = masks.any((1, 2))
    best = int(ious[lesion].mean(0).argmax()) if lesion.any() else 0
    frame["iou_best"], frame["threshold"] = ious[:, best], THRESHOLDS[best]
    frame.loc[blank, list(SCORES)] = 0.0
    frame.loc[~lesion, list(SCORES)] = np.nan
    return frame.assign(blank=blank)


def iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Intersection over union of boolean (N, S, S) regions; 0 where both are empty."""
    return _ratio((found & truth).sum((1, 2)), (found | truth).sum((1, 2)))


def summarise(
    frame: pd.DataFrame, scores: Sequence[str] = SCORES, methods: Iterable[str] | None = None
) -> pd.DataFrame:
    """Mean of every score per method with its 95 % interval, patients being the units.

    `frame` has one row per slice and method with `method`, `patient_id` and the scores; slices
    without a score are left out. One row per method, in order of appearance or of `methods`;
    its `note` says why an interval, or everything, is missing.
    """
    measured = frame.dropna(subset=[scores[0]])
    names = frame["method"].unique() if methods is None else methods
    rows = [
        {"method": name, **_means(measured[measured["method"] == name], scores)} for name in names
    ]
    return pd.DataFrame(rows)


def compare(frame: pd.DataFrame, reference: str = "gradcam", score: str = "hit") -> pd.DataFrame:
    """Each method minus `reference` on the slices both have: difference, low, high, by patient."""
    wide = frame.dropna(subset=[score]).pivot(index="slice_id", columns="method", values=score)
    patients = frame.drop_duplicates("slice_id").set_index("slice_id")["patient_id"]
    rows = []
    for method in frame["method"].unique():
        if method == reference or not {method, reference} <= set(wide):
            continue
        pairs = (wide[method] - wide[reference]).dropna()
        groups = patients.loc[pairs.index].fillna("unknown").to_numpy()
        values = pairs.to_numpy()
        low, high = patient_interval(values, groups)
        low = low if values.any() else -high  # never different so far: either could be better
        rows.append({"method": method, "difference": values.mean(), "low": low, "high": high})
    return pd.DataFrame(rows, columns=["method", "difference", "low", "high"])


def _means(rows: pd.DataFrame, scores: Sequence[str]) -> dict[str, Any]:
    """One summary row: n, patients, every score with its interval, and what is missing."""
    groups = rows["patient_id"].fillna("unknown").to_numpy()
    patients = len(set(groups))
    out: dict[str, Any] = {"n": len(rows), "patients": patients}
    if "blank" in rows:
        out["blank"] = int(rows["blank"].sum())
    for name in scores:
        column = rows[name].to_numpy(float)
        low, high = patient_interval(column, groups)
        mean = float(column.mean()) if len(column) else float("nan")
        out |= {name: mean, f"{name}_low": low, f"{name}_high": high}
    missing = {
        0: "no test slice has a lesion whose place is known",
        1: "no interval: 2 patients needed, 1 found",
    }
    return out | {"note": missing.get(patients, "")}


def patient_interval(values: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """95 % interval of the mean of `values` (n,) in -1..1, patients (`groups`) being the units.

    Shares (every value 0 or 1): Wilson's with the design effect; else a t interval of patients
    (see `intervals`). Where every value is 0, every one 1 or every one -1 nothing varies; there it
    is Wilson's interval for that share of patients (negative for -1). (NaN, NaN) below two
    patients.
    """
    values = np.asarray(values, float)
    if len(set(groups)) < 2:
        return float("nan"), float("nan")
    if set(values) <= {0.0, 1.0}:
        share = clustered(values == 1, groups)[0]
        return share.low, share.high
    if set(values) == {-1.0}:
        share = clustered(values == -1, groups)[0]
        return -share.high, -share.low
    limits = (-1.0 if values.min() < 0 else 0.0, 1.0)
    return clustered_mean(values, groups, limits)


def _pointing(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Share of each map's maxima that lie on the mask."""
    top = maps == maps.max((1, 2), keepdims=True)
    return (top & masks).sum((1, 2)) / top.sum((1, 2))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.zeros(len(above)), where=below > 0)


def _grown(masks: np.ndarray, tolerance: float) -> np.ndarray:
    """Masks grown by `tolerance` pixels on every side (Euclidean)."""
    grown = [distance_transform_edt(~m) <= tolerance if m.any() else m for m in masks]
    return np.array(grown, bool).reshape(masks.shape)


def _read_mask(path: Path, size: int) -> np.ndarray:
    """One exact mask (size, size); empty where the slice has none on disk."""
    if not path.exists():
        return np.zeros((size, size), bool)
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2:
        raise DataError("Lesion mask cannot be read", file=path, expected="an 8-bit grey PNG")
    share = cv2.resize((labels > 0).astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)
    return (share >= min(0.5, share.max())) & (share > 0)
