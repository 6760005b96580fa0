"""Slice-level truth: the 3-D release (read without executing it), slice_truth and lesion_truth."""

import io
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts.deeplesion import series_of
from camreader.common.errors import DataError
from camreader.common.rows import Cell, plain_number, read_rows
from camreader.common.tables import REGIONS, UNKNOWN_REGION

RELEASE = "DeepLesion_manual_1K_test_release.pkl"
SLICE_COLUMNS = ("series", "slice", "has_lesion_full_annotation", "n_boxes", "boxes_x1y1x2y2")
LESION_COLUMNS = (
    *("series", "slice", "lesion_id", "kind", "region", "annotated", "key"),
    *("x1", "y1", "x2", "y2", "diameter_mm", "contrast_hu", "area_px"),
)
_VOLUME_NAME = re.compile(r"(\d{6}_\d{2}_\d{2})_(\d{3})-(\d{3})")
_NUMBERS = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"}


class _Type:
    """Stands in for numpy.dtype: keeps the code and the byte order, nothing else."""

    def __init__(self, code: str, *_: Any) -> None:
        if code not in _NUMBERS:
            raise pickle.UnpicklingError(f"array of {code!r}; only plain numbers are read")
        self.code, self.order = code, "<"

    def __setstate__(self, state: tuple) -> None:
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")
        self.order = state[1]


class _Array:
    """Stands in for numpy.ndarray: takes the pickled state and checks it before numpy sees it."""

    values = None

    def __setstate__(self, state: tuple) -> None:
        _version, shape, kind, fortran, data = state
        if not isinstance(kind, _Type) or not isinstance(data, bytes):
            raise pickle.UnpicklingError("array without plain numbers in it")
        kind = np.dtype(kind.order + kind.code)
        if any(size < 0 for size in shape) or np.prod(shape) * kind.itemsize != len(data):
            raise pickle.UnpicklingError(f"shape {shape} does not fit {len(data)} bytes")
        self.values = np.frombuffer(data, kind).reshape(shape, order="F" if fortran else "C")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


class _ArraysOnly(pickle.Unpickler):
    """Never imports anything: four names are answered with the stand-ins above, others refused."""

    def find_class(self, module: str, name: Any) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only arrays are read")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("persistent reference")


def _check_memo(data: bytes) -> None:
    """Refuse memo numbers beyond the file's size: a few bytes would claim gigabytes of memory."""
    for code, value, _place in pickletools.genops(data):
        if code.name in ("PUT", "LONG_BINPUT") and (value or 0) > len(data):
            raise pickle.UnpicklingError(f"memo number {value}")


def read_release(path: str | Path) -> dict[tuple[str, int, int], np.ndarray]:
    """The 3-D release as {(series, first, last): float array (boxes, 6) of x1,y1,z1,x2,y2,z2}.

    z is a slice index, inclusive. Nothing in the pickle is executed. Source: Yan et al. 2020, IEEE
    TMI, github.com/viggin/DeepLesion_manual_test_set. DataError where it is anything else.
    """
    try:
        data = Path(path).read_bytes()
        _check_memo(data)
        content = _ArraysOnly(io.BytesIO(data)).load()
    except FileNotFoundError:
        raise DataError("3-D annotation release not found", file=path) from None
    except Exception as error:  # a corrupted pickle can raise nearly anything
        raise DataError(f"3-D annotation release refused: {error}", file=path) from None
    volumes = {}
    for part in _expect(content, dict, path).values():
        for name, array in _expect(part, dict, path).items():
            volumes[_volume(name, path)] = _boxes_3d(array, name, path)
    return volumes


def _expect(value: Any, kind: type, path: str | Path) -> Any:
    if not isinstance(value, kind):
        raise DataError(
            "3-D annotation release has another shape",
            file=path,
            found=type(value).__name__,
            expected="dict val/test -> dict sub-volume -> array",
        )
    return value


def _volume(name: Any, path: str | Path) -> tuple[str, int, int]:
    match = _VOLUME_NAME.fullmatch(name) if isinstance(name, str) else None
    if match is None:
        raise DataError(
            "Bad sub-volume name", file=path, found=repr(name), expected="000001_01_01_103-115"
        )
    return match[1], int(match[2]), int(match[3])


def _boxes_3d(array: Any, name: Any, path: str | Path) -> np.ndarray:
    values = _expect(array, _Array, path).values
    if values is None or values.ndim != 2 or values.shape[1] != 6 or not np.isfinite(values).all():
        raise DataError("Bad boxes", file=path, row=name, expected="finite array (boxes, 6)")
    return values.astype(float)


def release_truth(volumes: dict) -> pd.DataFrame:
    """One row per annotated slice: series_id, slice_index, truth (0/1), boxes (list of x1y1x2y2).

    Within an annotated sub-volume every lesion is boxed, so a slice outside all boxes is free.
    """
    rows: dict[tuple[str, int], list] = {}
    for (series, first, last), boxes in volumes.items():
        for index in range(first, last + 1):
            here = boxes[(boxes[:, 2] <= index) & (index <= boxes[:, 5])]
            rows.setdefault((series, index), []).extend(here[:, [0, 1, 3, 4]].tolist())
    records = [(*key, int(bool(boxes)), boxes) for key, boxes in rows.items()]
    return pd.DataFrame(records, columns=["series_id", "slice_index", "truth", "boxes"])


def read_slice_truth(path: str | Path) -> pd.DataFrame:
    """slice_truth.csv as series_id, slice_index, truth (0, 1, missing), boxes, row (line)."""
    records = {}
    for cell in read_rows(path, SLICE_COLUMNS, "slice_truth.csv").cells():
        key = (series_of(cell, "series"), cell.integer("slice", 0, 9999))
        if key in records:
            raise cell.wrong("slice", "each slice once")
        truth = cell.one_of("has_lesion_full_annotation", ("0", "1", ""))
        records[key] = (int(truth) if truth else pd.NA, _boxes_2d(cell, truth), cell.row)
    rows = [(*key, *value) for key, value in records.items()]
    frame = pd.DataFrame(rows, columns=["series_id", "slice_index", "truth", "boxes", "row"])
    return frame.astype({"truth": "Int64"})


def _boxes_2d(cell: Cell, truth: str) -> list[list[float]]:
    """Boxes of a slice; the count must agree with n_boxes and the truth, blank boxes may."""
    text = cell.cells["boxes_x1y1x2y2"].strip()
    count = cell.cells["n_boxes"].strip()
    expected = "n_boxes boxes 'x1 y1 x2 y2', separated by ';', only where there is a lesion"
    try:
        boxes = [[plain_number(n) for n in box.split()] for box in text.split(";")] if text else []
    except ValueError:
        raise cell.wrong("boxes_x1y1x2y2", expected) from None
    if any(len(b) != 4 or b[0] >= b[2] or b[1] >= b[3] for b in boxes):
        raise cell.wrong("boxes_x1y1x2y2", expected)
    if (boxes and str(len(boxes)) != count) or (truth == "0" and (boxes or count != "0")):
        raise cell.wrong("n_boxes", expected)
    if truth == "1" and (not count.isdigit() or int(count) < 1):
        raise cell.wrong("n_boxes", "at least 1 where the slice has a lesion")
    return boxes


def read_lesion_truth(path: str | Path) -> pd.DataFrame:
    """lesion_truth.csv (phantom): one row per lesion or cyst and slice, typed columns."""
    rows = []
    for cell in read_rows(path, LESION_COLUMNS, "lesion_truth.csv").cells():
        rows.append(
            {
                "series_id": series_of(cell, "series"),
                "slice_index": cell.integer("slice", 0, 9999),
                "kind": cell.one_of("kind", ("tumor", "cyst")),
                "region": cell.one_of("region", (*REGIONS, UNKNOWN_REGION)),
                "diameter_mm": cell.numbers("diameter_mm", 1, 0, 1000)[0],
                "contrast_hu": cell.numbers("contrast_hu", 1, -4000, 4000)[0],
            }
        )
    columns = ["series_id", "slice_index", "kind", "region", "diameter_mm", "contrast_hu"]
    return pd.DataFrame(rows, columns=columns)
