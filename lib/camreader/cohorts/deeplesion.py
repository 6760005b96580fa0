"""DL_info.csv, DeepLesion's own table of lesions, checked row by row.

Source: Yan et al. 2018, J Med Imaging 5:036501, and the data set's FAQ. Coordinates in DL_info.csv
are 1-based and leave here zero-based; a bounding box is the RECIST end points' minimum and maximum
with 5 pixels around.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.rows import Cell, read_rows
from camreader.common.tables import REGIONS, SPLITS, UNKNOWN_REGION

COLUMNS = (
    *("File_name", "Patient_index", "Study_index", "Series_ID", "Key_slice_index"),
    *("Measurement_coordinates", "Bounding_boxes", "Lesion_diameters_Pixel_"),
    *("Normalized_lesion_location", "Coarse_lesion_type", "Possibly_noisy", "Slice_range"),
    *("Spacing_mm_px_", "Image_size", "DICOM_windows", "Patient_gender", "Patient_age"),
    "Train_Val_Test",
)
OFFICIAL_SPLITS = dict(zip((1, 2, 3), SPLITS, strict=True))
BOX_MARGIN, TOLERANCE = 5.0, 0.02  # pixels; the file rounds to 6 digits
SERIES_NAME = re.compile(r"\d{6}_\d{2}_\d{2}")


class DataWarning(UserWarning):
    """Something in the input contradicts itself and was kept; the words say what and where."""


def series_of(cell: Cell, column: str) -> str:
    """The cell as a series name such as 000001_01_01; DataError where it is none."""
    if not SERIES_NAME.fullmatch(cell.cells[column]):
        raise cell.wrong(column, "a series such as 000001_01_01")
    return cell.cells[column]


def read_info(path: str | Path) -> pd.DataFrame:
    """DL_info.csv as one row per lesion, zero-based boxes, lengths in mm.

    Columns: row (line in the file), patient_id, study_id, series_id, slice_index, x1, y1, x2, y2,
    diameter_mm, region, first, last, spacing_mm, spacing_z, width, height, official_split, noisy.
    A row that cannot be read is a DataError; one that contradicts itself a DataWarning, and its
    line is in `frame.attrs["doubts"]`.
    """
    doubts, rows = [], []
    table = read_rows(path, COLUMNS, "DL_info.csv")
    for cell in table.cells():
        row, doubt = _lesion(cell)
        rows.append(row)
        doubts += [f"row {cell.row}, {text}" for text in doubt]
    if not rows:
        raise DataError("DL_info.csv has no rows", file=path)
    frame = pd.DataFrame(rows)
    doubts += _series_doubts(frame)
    if table.unread:
        doubts.append(f"columns that are not read: {', '.join(table.unread)}")
    if doubts:
        first = "; ".join(doubts[:5])
        warnings.warn(f"{path}: {len(doubts)} contradiction(s): {first}", DataWarning, stacklevel=2)
    frame.attrs["doubts"] = doubts
    return frame


def _lesion(cell: Cell) -> tuple[dict, list[str]]:
    """One lesion of DL_info.csv as (dict, list of contradictions in words)."""
    size = [int(n) for n in cell.numbers("Image_size", 2, 16, 8192)]
    spacing = cell.numbers("Spacing_mm_px_", 3, 0.05, 50)
    box = cell.numbers("Bounding_boxes", 4, -BOX_MARGIN, max(size) + BOX_MARGIN + 1)
    first, last = (int(n) for n in cell.numbers("Slice_range", 2, 0, 9999))
    if box[0] >= box[2] or box[1] >= box[3]:
        raise cell.wrong("Bounding_boxes", "x1 < x2 and y1 < y2")
    row = {"row": cell.row, **_names(cell)}
    if not first <= row["slice_index"] <= last:
        raise cell.wrong("Slice_range", f"a range around the key slice {row['slice_index']}")
    points = cell.numbers("Measurement_coordinates", 8, -BOX_MARGIN, max(size) + BOX_MARGIN + 1)
    diameters = cell.numbers("Lesion_diameters_Pixel_", 2, 0, max(size) * 1.5)
    kind = cell.integer("Coarse_lesion_type", -1, len(REGIONS))
    if kind == 0:
        raise cell.wrong("Coarse_lesion_type", "-1 or 1 to 8")
    _check_unused(cell)
    row |= dict(zip(("x1", "y1", "x2", "y2"), (n - 1 for n in box), strict=True))
    row |= {
        "diameter_mm": max(diameters) * spacing[0],
        "region": UNKNOWN_REGION if kind == -1 else REGIONS[kind - 1],
        "first": first,
        "last": last,
        "spacing_mm": spacing[0],
        "spacing_z": spacing[2],
        "width": size[0],
        "height": size[1],
        "official_split": OFFICIAL_SPLITS[cell.integer("Train_Val_Test", 1, 3)],
        "noisy": cell.integer("Possibly_noisy", 0, 1),
    }
    return row, _geometry_doubts(box, points, diameters, spacing, size)


def _names(cell: Cell) -> dict:
    """Patient, study, series and slice; the file name must say the same as the four columns."""
    patient = cell.integer("Patient_index", 1, 999999)
    study = cell.integer("Study_index", 1, 99)
    series = cell.integer("Series_ID", 1, 99)
    index = cell.integer("Key_slice_index", 0, 9999)
    name = f"{patient:06d}_{study:02d}_{series:02d}"
    if cell.cells["File_name"] != f"{name}_{index:03d}.png":
        raise cell.wrong("File_name", f"{name}_{index:03d}.png, as the index columns say")
    return {
        "patient_id": name[:6],
        "study_id": name[:9],
        "series_id": name,
        "slice_index": index,
    }


def _check_unused(cell: Cell) -> None:
    """Columns this study does not use, still checked: a shifted row shows itself here."""
    cell.numbers("Normalized_lesion_location", 3, -1, 2)
    cell.numbers("DICOM_windows", 2, -20000, 20000)
    cell.one_of("Patient_gender", ("M", "F", "", "O", "NaN", "nan"))
    if cell.cells["Patient_age"].strip().lower() not in ("", "nan"):
        cell.numbers("Patient_age", 1, 0, 120)


def _geometry_doubts(
    box: Sequence[float],
    points: Sequence[float],
    diameters: Sequence[float],
    spacing: Sequence[float],
    size: Sequence[int],
) -> list[str]:
    """What in a row contradicts itself: box against RECIST points, diameters, pixel size."""
    doubts = []
    corners = np.reshape(points, (4, 2))
    wanted = np.r_[corners.min(0) - BOX_MARGIN, corners.max(0) + BOX_MARGIN]
    inside = np.clip(wanted, 1, [*size, *size])  # boxes at the border may be cut there
    apart = np.minimum(abs(wanted - box), abs(inside - box)).max()
    if apart > TOLERANCE:
        doubts.append(f"Bounding_boxes: {apart:.3g} px off the measurement's end points")
    lengths = np.hypot(*(corners[[0, 2]] - corners[[1, 3]]).T)
    if abs(lengths - diameters).max() > TOLERANCE:
        doubts.append("Lesion_diameters_Pixel_: not the distance of the end points")
    if spacing[0] != spacing[1]:
        doubts.append(f"Spacing_mm_px_: pixels of {spacing[0]} x {spacing[1]} mm")
    return doubts


def _series_doubts(frame: pd.DataFrame) -> list[str]:
    """Rows of one series must agree on its geometry, rows of one patient on the official split."""
    doubts = []
    groups = {"series_id": ("spacing_mm", "spacing_z", "width", "height"), "patient_id": ()}
    groups["patient_id"] = ("official_split",)
    for group, columns in groups.items():
        for column in columns:
            kinds = frame.groupby(group)[column].transform("nunique")
            doubts += [
                f"row {row}, {column}: other rows of {name} say otherwise"
                for row, name in frame.loc[kinds > 1, ["row", group]].itertuples(index=False)
            ]
    return doubts
