"""The phantom's tables: DeepLesion's own columns, and the truth that the real files lack.

Tested in tests/phantom/test_write.py, with the images they tell of.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.spatial import ConvexHull
from scipy.spatial.distance import cdist

from camreader.cohorts import annotations
from camreader.cohorts.deeplesion import BOX_MARGIN, COLUMNS
from camreader.common.storage import write_table
from camreader.common.tables import REGIONS
from camreader.phantom.paint import how_it_shows

if TYPE_CHECKING:
    from camreader.phantom.anatomy import Patient
    from camreader.phantom.lesions import Lesion
    from camreader.phantom.write import Plan, Scene

STEP_MM = 5  # slice grid
LESION_COLUMNS = (*annotations.LESION_COLUMNS, "look", "inner_sd_hu", "conspicuity", "level")


def lesion_row(
    plan: "Plan",
    index: int,
    lesion: "Lesion",
    mask: np.ndarray,
    ids: np.ndarray,
    image: np.ndarray,
    taken: np.ndarray,
    scene: "Scene",
) -> dict[str, Any] | None:
    """A lesion's row on one slice, with its measured diameters in pixels; None where unseen."""
    if lesion.kind == "tumor":
        mask = ids == lesion.number
    if mask.sum() * scene.pixel_mm**2 < 8:
        ids[mask] = 0
        return None
    long_axis, short_axis = diameters(mask)
    y, x = np.nonzero(mask)
    lengths = [float(np.hypot(*(axis[1] - axis[0]))) for axis in (long_axis, short_axis)]
    return {
        "series": plan.series,
        "slice": index,
        "lesion_id": lesion.number,
        "kind": lesion.kind,
        "region": lesion.region,
        "x1": int(x.min()),
        "y1": int(y.min()),
        "x2": int(x.max()),
        "y2": int(y.max()),
        "diameter_mm": round(lengths[0] * scene.pixel_mm, 2),
        "area_px": int(mask.sum()),
        "look": lesion.look.kind,
        **how_it_shows(image, mask, taken, scene.pixel_mm, scene.sd),
        "axes": [long_axis.tolist(), short_axis.tolist()],
        "lengths": lengths,
    }


def diameters(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """RECIST diameters of a mask: two (2, 2) arrays of x, y ends, the longest line and the
    longest one across it (Eisenhauer 2009, Eur J Cancer 45:228)."""
    points = np.argwhere(mask)[:, ::-1].astype(float)
    hull = points[ConvexHull(points, qhull_options="QJ").vertices]
    i, j = np.unravel_index(np.argmax(cdist(hull, hull)), (len(hull), len(hull)))
    long_axis = hull[[i, j]]
    along = (long_axis[1] - long_axis[0]) / np.hypot(*(long_axis[1] - long_axis[0]))
    across = np.array([-along[1], along[0]])
    s, t = points @ along, points @ across
    bins = np.rint(s).astype(int)
    width = {b: np.ptp(t[bins == b]) for b in np.unique(bins)}
    best = np.flatnonzero(bins == max(width, key=width.__getitem__))
    return long_axis, points[[best[np.argmin(t[best])], best[np.argmax(t[best])]]]


def record(
    plan: "Plan",
    rng: np.random.Generator,
    scene: "Scene",
    patient: "Patient",
    lesions: "list[Lesion]",
    found: list[dict[str, Any]],
    indices: list[int],
) -> dict[str, Any]:
    """All table rows of one patient, ready for JSON."""
    keys = {}
    for lesion in lesions:
        mine = [row for row in found if row["lesion_id"] == lesion.number]
        if lesion.annotated and mine:
            keys[lesion.number] = max(mine, key=lambda row: row["area_px"])["slice"]
    for row in found:
        row["annotated"] = int(row["lesion_id"] in keys)
        row["key"] = int(keys.get(row["lesion_id"]) == row["slice"])
    slices = []
    for index in indices:
        boxes = [r for r in found if r["slice"] == index and r["kind"] == "tumor"]
        text = ";".join("{x1} {y1} {x2} {y2}".format(**box) for box in boxes)
        slices.append([plan.series, index, int(bool(boxes)), len(boxes), text])
    age = "" if rng.random() < 0.02 else int(np.clip(rng.normal(60, 14), 18, 90))
    ranges = [(key - 6, key + 6) for key in keys.values()]
    span = min(a for a, _ in ranges), max(b for _, b in ranges)
    about = {"scene": scene, "sex": patient.sex, "age": age, "span": span, "top": plan.size}
    return {
        "info": [_info(plan, row, about) for row in found if row["key"]],
        "slices": slices,
        "lesions": [[row[name] for name in LESION_COLUMNS] for row in found],
        "tumor_slices": sum(row[2] for row in slices),
        "noise_sd": scene.sd,
    }


def _text(*values: float) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _info(plan: "Plan", row: dict[str, Any], about: dict[str, Any]) -> list[Any]:
    """One row of DL_info.csv, coordinates counted from 1 as DeepLesion does."""
    ends = np.array(row["axes"]).reshape(4, 2) + 1
    low, high = ends.min(0) - BOX_MARGIN, ends.max(0) + BOX_MARGIN
    middle = np.clip((low + high) / 2 / plan.size, 0, 1)
    depth = np.clip((row["slice"] - 8) / 130, 0, 1)
    region = REGIONS.index(row["region"]) + 1 if plan.split != 1 else -1
    pixel = about["scene"].pixel_mm
    window = "-1500, 500" if row["region"] == "lung" else "-175, 275"
    return [
        f"{plan.series}_{row['slice']:03d}.png", plan.number, 1, 1, row["slice"],
        _text(*ends.ravel()), _text(*low, *high), _text(*row["lengths"]),
        _text(*middle, depth), region, 0, _text(*about["span"]), _text(pixel, pixel, STEP_MM),
        _text(plan.size, plan.size), window, about["sex"], about["age"], plan.split,
    ]  # fmt: skip


def write_tables(folder: Path, records: list[dict[str, Any]]) -> None:
    for name, key, columns in (
        ("lesion_truth.csv", "lesions", LESION_COLUMNS),
        ("slice_truth.csv", "slices", annotations.SLICE_COLUMNS),
        ("DL_info.csv", "info", COLUMNS),
    ):
        rows = [row for record in records for row in record[key]]
        write_table(pd.DataFrame(rows, columns=columns), folder / name)
