"""One NIfTI volume: its slices in their own values, hung as radiologists hang them.

A slice is called by its plane and its voxel index, from 0, along the stored axis that lies across
that plane. Files that do not say which side is the patient's left are refused.
"""

import gzip
import math
import threading
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform

from camreader.cohorts import parts
from camreader.cohorts.opened import Opened
from camreader.common.errors import DataError

ENDINGS = (".nii", ".nii.gz")
MOST_BYTES = 1_200_000_000  # of one volume's voxels: more does not fit beside a study
_HEADERS = (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c", b"\x1f\x8b")
_HUNG = (  # plane's axis: code of the axes that run down and to the right in the picture
    ("I", "P"),
    ("I", "L"),
    ("P", "L"),
)


def owns(head: bytes, name: str) -> bool:
    """True for a file that is called as NIfTI is and begins as it, or gzip, does."""
    return name.lower().endswith(ENDINGS) and head[:4].startswith(_HEADERS)


@dataclass(frozen=True)
class Volume:
    """One file: its header's facts, and its voxels as they are stored, once they are asked for.

    affine (4, 4): voxel indices to mm, x to the patient's right, y to the front, z to the head.
    """

    path: Path
    image: Any  # of nibabel
    affine: np.ndarray
    shape: tuple[int, int, int]
    lock: threading.Lock
    held: dict[str, np.ndarray]

    def axis_of(self, plane: str) -> int:
        """The stored axis across a plane."""
        return int(np.flatnonzero(self.ways[:, 0] == parts.PLANES.index(plane))[0])

    @cached_property
    def ways(self) -> np.ndarray:
        """Which way each stored axis runs (3, 2), as nibabel says it."""
        return np.asarray(io_orientation(self.affine))

    @property
    def plane(self) -> str:
        """The plane in which the volume was acquired: across its longest voxel side, else axial."""
        sizes = np.linalg.norm(self.affine[:3, :3], axis=0)
        ways = self.ways[:, 0].astype(int)
        longest = [int(w) for w, size in zip(ways, sizes, strict=True) if size > 0.99 * sizes.max()]
        return parts.PLANES[max(longest)]

    @property
    def voxels(self) -> np.ndarray:
        """Stored voxels (X, Y, Z), before slope and intercept; DataError where they are cut."""
        with self.lock:
            if "voxels" not in self.held:
                try:
                    packed = self.path.name.lower().endswith(".gz")
                    found = _unpacked(self) if packed else self.image.dataobj.get_unscaled()
                except (OSError, EOFError, ValueError, zlib.error, MemoryError) as error:
                    raise bad(self.path, f"voxels: {type(error).__name__}") from None
                self.held["voxels"] = np.asanyarray(found).reshape(self.shape, order="A")
            return self.held["voxels"]

    def slice(self, plane: str, number: int) -> tuple[np.ndarray, np.ndarray]:
        """(values (H, W) hung rightly, affine (4, 4) of their (column, row, 0) to mm)."""
        axis = self.axis_of(plane)
        if not 0 <= number < self.shape[axis]:
            raise DataError(
                "No such slice in the volume",
                file=self.path,
                found=f"{plane} slice {number:,}",
                expected=f"0 to {self.shape[axis] - 1:,}",
            )
        cut: list[Any] = [slice(None)] * 3
        cut[axis] = slice(number, number + 1)
        place = np.eye(4)
        place[axis, 3] = number
        down, right = _HUNG[parts.PLANES.index(plane)]
        code = (right, down, "RAS"[parts.PLANES.index(plane)])
        turn = ornt_transform(self.ways, axcodes2ornt(code))
        picture = apply_orientation(self.voxels[tuple(cut)], turn)[..., 0].T
        moved = nibabel.orientations.inv_ornt_aff(
            turn, [1 if k == axis else n for k, n in enumerate(self.shape)]
        )
        return self._scaled(picture), self.affine @ place @ moved

    def _scaled(self, picture: np.ndarray) -> np.ndarray:
        slope, intercept = self.image.dataobj.slope, self.image.dataobj.inter
        if slope == 1 and intercept == 0:
            return np.ascontiguousarray(picture)
        return np.asarray(picture, np.float64) * slope + intercept


def _unpacked(volume: Volume) -> np.ndarray:
    """Stored voxels of a gzip file, read once and to its end, where its checksum is.

    The reader of volumes stops before it.
    """
    about = volume.image.dataobj
    start = int(about.offset)
    size = start + math.prod(about.shape) * about.dtype.itemsize
    held = bytearray(size)
    with gzip.open(volume.path) as packed:
        place = 0
        while place < size and (count := packed.readinto(memoryview(held)[place:])):
            place += count
        behind = 0
        while chunk := packed.read(2**20):
            behind += len(chunk)
            if size + behind > MOST_BYTES + 2**20:
                raise bad(volume.path, "more data than its header says")
    if place < size:
        raise EOFError
    return np.ndarray(about.shape, about.dtype, held, start, order="F")


# slices are asked for one after the other
_OPEN = Opened("Volume", lambda path: _open(path), most=2)


def open_volume(path: str | Path) -> Volume:
    """A NIfTI file; DataError where it is none, or one whose sides cannot be told."""
    return _OPEN.get(Path(path))


def bad(
    path: Path, found: str, expected: str = "a whole NIfTI file of one grey volume"
) -> DataError:
    return DataError("NIfTI cannot be read", file=path, found=found, expected=expected)


def _open(path: Path) -> Volume:
    try:
        image: Any = nibabel.load(path)
        shape = tuple(int(n) for n in image.shape)
        kind, affine = image.get_data_dtype(), np.asarray(image.affine, float)
        codes = int(image.header["qform_code"]), int(image.header["sform_code"])
        sides = image.get_qform(coded=True)[0], image.get_sform(coded=True)[0]
    except Exception as error:  # the reader raises many kinds
        raise bad(path, type(error).__name__) from None
    shape = shape[:3] if all(n == 1 for n in shape[3:]) else shape
    if len(shape) != 3 or min(shape, default=0) < 1:
        raise bad(path, " x ".join(map(str, shape)) + " voxels", "three dimensions")
    if kind.kind not in "iuf" or kind.names:
        raise bad(path, f"voxels of kind {kind}", "whole or real numbers")
    if np.prod(shape, dtype=float) * kind.itemsize > MOST_BYTES:
        raise bad(path, " x ".join(map(str, shape)) + f" {kind}", f"at most {MOST_BYTES:,} bytes")
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    if not np.isfinite([slope, intercept]).all() or slope == 0:
        raise bad(path, f"slope {slope}, intercept {intercept}", "finite numbers, no slope of 0")
    _sides(path, affine, codes, sides)
    return Volume(path, image, affine, shape, threading.Lock(), {})


def _sides(path: Path, affine: np.ndarray, codes: tuple[int, int], sides: tuple) -> None:
    """DataError where the header does not say which side is the patient's left."""
    if not any(codes):
        raise bad(path, "neither qform nor sform", "a header that says which side is left")
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise bad(path, "an affine that is no map of space")
    if np.isnan(io_orientation(affine)).any():
        raise bad(path, "an affine without three axes")
    if all(codes) and all(side is not None and np.isfinite(side).all() for side in sides):
        ways = [io_orientation(side) for side in sides]
        if np.isnan(ways).any() or not np.array_equal(*ways):
            raise bad(path, "qform and sform disagree on the patient's sides", "one of them right")
