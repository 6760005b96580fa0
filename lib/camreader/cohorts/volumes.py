"""NIfTI in: slices of volumes with labels.csv, or one folder per class.

NIfTI names no unit: with hu_offset the values are HU, else greys. What one volume is, and how its
slices hang, `nifti` decides.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

from camreader.cohorts import images, labelled, parts
from camreader.cohorts.folder import Folder, Options
from camreader.cohorts.nifti import Volume, bad, open_volume, owns
from camreader.cohorts.steps import named, step_of
from camreader.common.errors import DataError

__all__ = ["decode", "owns", "read", "recognise"]


def recognise(folder: Folder, options: Options) -> bool:
    """True where the labelled files are NIfTI."""
    if "NIfTI" not in folder.kinds.values():
        return False
    rows = labelled.read(folder, options).rows
    return all(folder.kinds.get(str(parts.file_of(r["image_path"]))) == "NIfTI" for r in rows)


def read(folder: Folder, options: Options) -> tuple[pd.DataFrame, dict]:
    """(frame with the cohort's columns before the splits, facts) of a folder of volumes."""
    found = labelled.read(folder, options)
    rows: list[dict] = []
    chosen = 0
    for row in found.rows:
        with labelled.skipping(found, options):
            taken = _slices(row, folder)
            chosen += parts.split(row["image_path"])[1] is None and len(taken) == 1
            rows += taken
    if not rows:
        raise DataError("No volume can be read", file=folder.path, found=dict(found.left_out))
    if chosen:
        found.doubts.append(f"{chosen:,} volumes of which no slice is named: one is read of each")
    frame = pd.DataFrame(rows)
    if frame["patient_id"].isna().any():
        frame["patient_id"] = _per_volume(frame)
        found.doubts.append("no patients are named: each volume counts as a patient")
    frame["slice_id"] = [images.slice_name(number) for number in range(1, len(frame) + 1)]
    images.add_masks(frame, folder, found, options.structures)
    images.check_boxes(frame, folder.path / (found.table or ""))
    facts = _values(frame, folder, found.table)
    own = frame.drop(columns=["low", "high", "whole"])
    return images.complete(own), facts | images.facts_of(found, folder, frame)


def _per_volume(frame: pd.DataFrame) -> list[str]:
    files = [str(parts.file_of(path)) for path in frame["image_path"]]
    return [f"P{number + 1:04d}" for number in pd.factorize(pd.Series(files))[0]]


def _slices(row: Mapping[str, Any], folder: Folder) -> list[dict]:
    """The rows of the slices that one labelled row means.

    It may name them. Without: every slice where the mask is to tell the label, the one where the
    mask marks most, or the middle one.
    """
    file, part = parts.split(folder.path / row["image_path"])
    volume = open_volume(file)
    plane = part[0] if part and part[0] != "slice" else row.get("plane") or volume.plane
    count = volume.shape[volume.axis_of(plane)]
    numbers = [part[1]] if part else list(range(count))
    if not part and row["label"] != labelled.FROM_MASK:
        numbers = [_most_marked(row, folder, volume, plane)]
    name = str(parts.file_of(row["image_path"]))
    made = []
    for number in numbers:
        values, affine = volume.slice(plane, number)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise bad(file, f"values that are no numbers in {plane} slice {number:,}")
        sides = np.linalg.norm(affine[:3, :2], axis=0)
        if sides.max() > 1.01 * sides.min():
            raise bad(
                file,
                f"{plane} pixels of {sides[0]:.3g} x {sides[1]:.3g} mm",
                f"square pixels, such as those of the {volume.plane} slices (column plane)",
            )
        facts = {"image_path": parts.named(name, plane, number), "slice_index": number}
        facts |= {"width": values.shape[1], "height": values.shape[0], "spacing_mm": sides[0]}
        facts |= {"low": float(values.min()), "high": float(values.max())}
        facts |= {"whole": bool(np.issubdtype(values.dtype, np.integer))}
        made.append({k: v for k, v in row.items() if k != "plane"} | facts)
    return made


def _most_marked(row: Mapping[str, Any], folder: Folder, volume: Volume, plane: str) -> int:
    """The slice in which the row's masks mark most, the middle one where they mark nothing."""
    axis = volume.axis_of(plane)
    marked = np.zeros(volume.shape[axis])
    for name in row["masks"]:
        if owns(b"\x1f\x8b", name):
            mask = open_volume(folder.path / name)
            turn = ornt_transform(io_orientation(mask.affine), io_orientation(volume.affine))
            voxels = apply_orientation(mask.voxels, turn)
            if voxels.shape == volume.shape:
                others = tuple(k for k in range(3) if k != axis)
                marked += np.count_nonzero(voxels, axis=others)
    return int(marked.argmax()) if marked.any() else volume.shape[axis] // 2


def _values(frame: pd.DataFrame, folder: Folder, table: str | None) -> dict:
    """Unit, window and step of the values."""
    given = frame["hu_offset"].notna()
    if given.any() and not given.all():
        raise DataError(
            "hu_offset is given for some volumes only",
            file=folder.path / str(table),
            row=int(frame.loc[~given, "row"].iloc[0]),
            column="hu_offset",
            expected="a value in every row or in none",
        )
    frame["hu_offset"] = frame["hu_offset"].astype(float)
    frame["step"] = 1.0
    if given.all():
        return {"kind": "Own volumes in HU (NIfTI)", "hu": True, "window": [50, 400]}
    low, high = float(frame["low"].min()), float(frame["high"].max())
    step = frame["step"] = step_of(low, high, bool(frame["whole"].all()))
    window = [(low + high) / 2 / step, max(1.0, (high - low) / step)]
    kind = "Own volumes (NIfTI, grey values, not HU)"
    return {"kind": kind, "hu": False, "unit": named("grey", step), "window": window}


def decode(data: bytes | None, path: str | Path, offset: float | None = None) -> np.ndarray:
    """Values (H, W) of the slice that `path` names, plus the offset where one is given (HU)."""
    file, part = parts.split(path)
    if part is None or part[0] not in parts.PLANES:
        raise DataError("A volume, not a slice of it", file=path, expected="...#axial=40")
    values = open_volume(file).slice(*part)[0]
    if offset is None or np.isnan(offset) or offset == 0:
        return values
    if values.dtype.kind in "iu" and values.itemsize <= 2 and float(offset).is_integer():
        return values.astype(np.int64 if abs(offset) > 2**30 else np.int32) + int(offset)
    return values.astype(np.float64) + offset
