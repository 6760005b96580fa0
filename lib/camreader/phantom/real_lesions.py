"""Real lesions to show and measure beside the phantom's, from a folder of DeepLesion.

Tested in tests/phantom/test_realism.py, on the sample that it reads.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from camreader.cohorts.annotations import read_slice_truth
from camreader.cohorts.deeplesion import BOX_MARGIN, read_info
from camreader.common.tables import UNKNOWN_REGION


def read_lesions(folder: str | Path | None) -> pd.DataFrame:
    """Lesions of a DeepLesion folder whose image is there, measured ones first, a row each.

    Columns: path, region, x1, y1, x2, y2 (zero-based pixels, without DeepLesion's margin),
    spacing_mm. Lesions that only slice_truth.csv boxes come after those of DL_info.csv: one row per
    box, on the middle one of its slices. No row where there is no folder.
    """
    columns = ["path", "region", "x1", "y1", "x2", "y2", "spacing_mm"]
    if not folder:
        return pd.DataFrame(columns=columns)
    info, found = read_info(Path(folder) / "DL_info.csv"), []
    for row in info.itertuples():
        found.append((row.series_id, row.slice_index, row.region, row.x1, row.y1, row.x2, row.y2))
    found += _boxed_only(folder, found)
    spacing = info.drop_duplicates("series_id").set_index("series_id")["spacing_mm"]
    rows = []
    for series, index, region, *box in found:
        path = Path(folder) / "Images_png" / series / f"{index:03d}.png"
        if path.exists() and series in spacing:
            inner = np.array(box) + BOX_MARGIN * np.array([1, 1, -1, -1])
            rows.append((path, region, *inner, spacing[series]))
    return pd.DataFrame(rows, columns=columns)


def _boxed_only(folder: Path | str, known: list[tuple]) -> list[tuple]:
    """(series, slice, region, box) of the boxes of slice_truth.csv that touch no known lesion."""
    path = Path(folder) / "slice_truth.csv"
    stacks: dict[tuple, list[int]] = {}
    if not path.exists():
        return []
    for row in read_slice_truth(path).itertuples():
        for box in row.boxes:
            stacks.setdefault((row.series_id, *box), []).append(row.slice_index)
    middles = [(k[0], sorted(v)[len(v) // 2], UNKNOWN_REGION, *k[1:]) for k, v in stacks.items()]
    return [
        one for one in middles if not any(one[0] == k[0] and _meet(one[3:], k[3:]) for k in known)
    ]


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(max(one[i], other[i]) < min(one[i + 2], other[i + 2]) for i in (0, 1))
