"""Which way a picture lies: turned as radiologists hang it, from DICOM cosines or an affine.

Axial: the patient's left on the picture's right, front above. Coronal: left on the right, head
above. Sagittal: front on the left, head above. Directions are DICOM's: x to the patient's left,
y to the back, z to the head (PS3.3 C.7.6.2.1.1). Only whole turns and mirrors are made: no pixel is
computed anew.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

_HUNG = {  # axis across the picture: (direction to its right, direction down)
    0: ((0, 1, 0), (0, 0, -1)),
    1: ((1, 0, 0), (0, 0, -1)),
    2: ((1, 0, 0), (0, 1, 0)),
}


def across(cosines: ArrayLike) -> int:
    """The axis 0, 1 or 2 (x, y, z) that a picture with these 6 cosines stands across."""
    row, column = np.reshape(np.asarray(cosines, float), (2, 3))
    return int(np.abs(np.cross(row, column)).argmax())


def turn_of(cosines: ArrayLike) -> str:
    """What hangs a picture rightly: "t" transpose first, "r" rows and "c" columns reversed.

    cosines: of ImageOrientationPatient, the directions of a row and of a column.
    """
    return _turn(tuple(np.asarray(cosines, float).ravel().tolist()))


@lru_cache(256)
def _turn(cosines: tuple[float, ...]) -> str:
    """The same, once for all slices of a series."""
    row, column = np.reshape(np.asarray(cosines, float), (2, 3))
    right, down = (np.array(way, float) for way in _HUNG[across(cosines)])
    turn = ""
    if abs(column @ right) > abs(row @ right):
        row, column, turn = column, row, "t"
    return turn + "r" * bool(column @ down < 0) + "c" * bool(row @ right < 0)


def turned(values: np.ndarray, turn: str) -> np.ndarray:
    """A picture (H, W) hung as `turn_of` says."""
    values = values.T if "t" in turn else values
    values = values[::-1] if "r" in turn else values
    return np.ascontiguousarray(values[:, ::-1] if "c" in turn else values)


def turned_boxes(
    boxes: Sequence[Sequence[float]], turn: str, size: tuple[int, int]
) -> list[list[float]]:
    """Boxes, zero-based and inclusive, of a stored picture of `size` (w, h) once it is hung."""
    width, height = size if "t" not in turn else size[::-1]
    found = []
    for x1, y1, x2, y2 in boxes:
        if "t" in turn:
            x1, y1, x2, y2 = y1, x1, y2, x2
        if "r" in turn:
            y1, y2 = height - 1 - y2, height - 1 - y1
        if "c" in turn:
            x1, x2 = width - 1 - x2, width - 1 - x1
        found.append([float(x1), float(y1), float(x2), float(y2)])
    return found
