"""The tables that notebooks hand each other: the contract of the house.

Each class is a pandera schema. `check` validates a table and, when it fails, says which file,
row and column broke and what was expected, in words a researcher can act on.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.typing import Series

from camreader.common.errors import DataError

REGIONS = (
    "bone",
    "abdomen",
    "mediastinum",
    "liver",
    "lung",
    "kidney",
    "soft tissue",
    "pelvis",
)  # DeepLesion's Coarse_lesion_type 1..8, in this order
UNKNOWN_REGION = "unknown"
LABEL_SOURCES = (
    "key_slice",
    "box_3d",
    "neighbour",
    "lesion_extent",
    "verified",
    "phantom_truth",
    "folder",
)
SPLITS = ("train", "validation", "test")


class Cohort(pa.DataFrameModel):
    """One row per slice. Boxes are JSON text of zero-based full-resolution [x1, y1, x2, y2]."""

    slice_id: Series[str] = pa.Field(unique=True)
    patient_id: Series[str] = pa.Field(nullable=True)
    study_id: Series[str] = pa.Field(nullable=True)
    series_id: Series[str] = pa.Field(nullable=True)
    slice_index: Series[pd.Int64Dtype] = pa.Field(nullable=True)
    image_path: Series[str]  # relative to the source folder named in the cohort's card
    label: Series[int] = pa.Field(isin=(0, 1))
    label_source: Series[str] = pa.Field(isin=LABEL_SOURCES)
    truth: Series[pd.Int64Dtype] = pa.Field(isin=(0, 1), nullable=True)  # full truth, where known
    region: Series[str] = pa.Field(isin=(*REGIONS, UNKNOWN_REGION))
    boxes: Series[str]
    width: Series[int] = pa.Field(gt=0)
    height: Series[int] = pa.Field(gt=0)
    spacing_mm: Series[float] = pa.Field(gt=0, nullable=True)  # in-plane pixel size
    distance_mm: Series[float] = pa.Field(nullable=True)  # along z, to the nearest key slice
    diameter_mm: Series[float] = pa.Field(nullable=True)  # longest lesion on this slice
    contrast_hu: Series[float] = pa.Field(nullable=True)  # phantom: lesion minus its organ
    cysts: Series[pd.Int64Dtype] = pa.Field(nullable=True)  # phantom: cysts on this slice
    split_image: Series[str] = pa.Field(isin=("train", "test"))
    split_patient: Series[str] = pa.Field(isin=SPLITS, nullable=True)
    official_split: Series[str] = pa.Field(isin=SPLITS, nullable=True)
    # copies and near copies of one image share a name; absent in cohorts of an older version
    duplicate_group: Series[str] | None = pa.Field(nullable=True)


class Predictions(pa.DataFrameModel):
    """One row per slice and trained network."""

    slice_id: Series[str]
    protocol: Series[str]
    run: Series[str]
    seed: Series[int]
    split: Series[str] = pa.Field(isin=SPLITS)
    logit: Series[float]
    probability: Series[float] = pa.Field(ge=0, le=1)
    predicted: Series[int] = pa.Field(isin=(0, 1))


class Heatmaps(pa.DataFrameModel):
    """One row per slice and method; scores are missing where a slice has no lesion."""

    slice_id: Series[str]
    method: Series[str]
    layer: Series[str]
    explained_class: Series[int] = pa.Field(isin=(0, 1))
    explained_score: Series[float]  # the logit the map explains (negated for "no tumor")
    blank: Series[bool]
    hit: Series[float] = pa.Field(nullable=True)
    energy: Series[float] = pa.Field(nullable=True)
    iou_best: Series[float] = pa.Field(nullable=True)
    iou_fixed: Series[float] = pa.Field(nullable=True)


def check(
    frame: pd.DataFrame, schema: type[pa.DataFrameModel], file: str | Path | None = None
) -> pd.DataFrame:
    """Return `frame` coerced to `schema`; raise DataError naming row, column and expectation.

    The row is the line of a CSV, whose header is line 1; in other tables rows count from 1.
    """
    try:
        return schema.to_schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise DataError(
            f"{schema.__name__} table breaks its schema in {len(error.failure_cases)} place(s)",
            file=file,
            row=_row(first["index"], file),
            column=first["column"],
            found=first["failure_case"],
            expected=first["check"],
        ) from None


def _row(index: Any, file: str | Path | None) -> str | None:
    """Where a person finds the row of `index` (None: the whole column is meant)."""
    if pd.isna(index):
        return None
    if str(file).lower().endswith(".csv"):
        return f"line {index + 2}"
    return f"{index + 1} of the table, counted from 1"


def parse_boxes(text: str) -> list[list[float]]:
    """List of [x1, y1, x2, y2] floats from a cohort's `boxes` cell."""
    return json.loads(text)
