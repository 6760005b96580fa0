"""One picture of a file that holds many: a frame of a loop, a slice of a volume, as a path.

`loop.dcm#frame=12` is frame 12, counted from 1 as DICOM counts; `head.nii.gz#axial=40` the slice
with voxel index 40, counted from 0 along the stored axis across that plane, as nibabel counts.
"""

import os
import re
from pathlib import Path

from camreader.common.rows import Cell

PLANES = ("sagittal", "coronal", "axial")  # the axis (x, y, z) that a slice stands across
_PART = re.compile(
    r"(?P<file>.+)#(?P<what>frame|slice|sagittal|coronal|axial)=(?P<number>[0-9]{1,9})"
)
MOST = 100_000  # frames or slices one row of a table may name


def split(path: str | Path) -> tuple[Path, tuple[str, int] | None]:
    """(file, ("frame", 12)), or (file, None) for a path that names the whole file."""
    text = os.fspath(path)
    found = _PART.fullmatch(text) if "#" in text else None
    if found is None:
        return Path(path), None
    return Path(found["file"]), (found["what"], int(found["number"]))


def file_of(path: str | Path) -> Path:
    """The file that a path, or a part's path, lies in."""
    return split(path)[0]


def named(path: str, what: str, number: int) -> str:
    """The path of one frame or slice of a file."""
    return f"{path}#{what}={number}"


def numbers(cell: Cell, column: str) -> list[int]:
    """Whole numbers of a cell such as "12" or "3; 10-14"; DataError naming the cell."""
    found: list[int] = []
    for text in filter(str.strip, re.split("[;,]", cell.text(column))):
        match = re.fullmatch(r"\s*([0-9]{1,7})(?:\s*[-\u2013:]\s*([0-9]{1,7}))?\s*", text)
        ends = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if ends[1] < ends[0] or ends[1] - ends[0] >= MOST:
            raise cell.wrong(column, "numbers and ranges joined by ';', such as 3; 10-14")
        found += range(ends[0], ends[1] + 1)
    return list(dict.fromkeys(found))
