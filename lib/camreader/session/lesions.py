"""Where the lesions of a case are: what its sealed truth keeps for the marks of its readers."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from camreader.common.errors import DataError
from camreader.common.tables import parse_boxes

MASKS = "Masks_png"  # of the phantom: numbered pixels beside each slice


def of_cases(cases: pd.DataFrame, source: str | Path) -> list[list[dict[str, Any]]]:
    """Per case its lesions, {"centre": [x, y, slice], "parts": [{"slice", "box", "outline"}]}.

    cases: DataFrame[truth, boxes, image_path]. Coordinates are zero-based source pixels, boxes
    inclusive [x1, y1, x2, y2], outlines polygons [[x, y], ...] through the outermost pixels of the
    exact mask, where the source has one. Slices count from the case's first; a single slice is 0.
    A case without the finding has no lesion, whatever boxes its label came with.
    """
    found = []
    for row in cases.itertuples():
        exact = _exact(Path(source), str(row.image_path)) if row.truth == 1 else None
        parts = _of_boxes(parse_boxes(row.boxes)) if row.truth == 1 else []
        found.append(parts if exact is None else exact)
    return found


def _of_boxes(boxes: list[list[float]]) -> list[dict[str, Any]]:
    return [
        {"centre": [(x1 + x2) / 2, (y1 + y2) / 2, 0], "parts": [{"slice": 0, "box": box}]}
        for box in boxes
        for x1, y1, x2, y2 in [box]
    ]


def _exact(source: Path, image_path: str) -> list[dict[str, Any]] | None:
    """Lesions of the slice's numbered mask; None where the source has none."""
    folder, parts = source / MASKS, Path(image_path).parts
    if not folder.is_dir() or parts[0] != "Images_png":
        return None
    path = folder.joinpath(*parts[1:])
    if not path.exists():
        return None
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if labels is None or labels.ndim != 2:
        raise DataError("Lesion mask cannot be read", file=path, expected="an 8-bit grey PNG")
    return [of_mask(labels == number) for number in np.unique(labels[labels > 0])]


def of_mask(mask: np.ndarray, slice_: int = 0) -> dict[str, Any]:
    """The lesion of a boolean mask (H, W); one part with its outline for each piece of it."""
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    y, x = np.nonzero(mask)
    parts = []
    for outline in outlines:
        points = outline[:, 0].astype(int)
        low, high = points.min(0), points.max(0)
        box = [float(value) for value in (*low, *high)]
        parts.append({"slice": slice_, "box": box, "outline": points.tolist()})
    return {
        "centre": [round(float(x.mean()), 2), round(float(y.mean()), 2), slice_],
        "parts": parts,
    }
