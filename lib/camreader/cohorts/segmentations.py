"""Truth as masks in space: NIfTI, DICOM SEG and RTSTRUCT, brought to the pixels of one picture.

Each is cut where the picture lies: a pixel is marked where its centre lies in a marked voxel, or
inside a contour. Nothing is interpolated between slices. Which structures mean the finding is told
by their number or name; without, all of them do.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from camreader.cohorts import dicom_image, nifti, parts
from camreader.cohorts.opened import Opened
from camreader.common.errors import DataError

SEG, RTSTRUCT = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.481.3"
LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's directions to DICOM's


@dataclass(frozen=True)
class Grid:
    """Where a picture lies: affine (4, 4) of (column, row, along, 1) to DICOM's mm, or None.

    The third column is one slice thickness. `instance` is the image's own UID, `frame` its frame;
    `reference` the frame of reference, where known.
    """

    size: tuple[int, int]
    affine: np.ndarray | None
    instance: str = ""
    frame: int | None = None
    reference: str = ""


def grid_of(path: str | Path) -> Grid:
    """The grid of an image's pixels: of DICOM as they are stored, of NIfTI as the slice hangs."""
    file, part = parts.split(path)
    if part and part[0] in parts.PLANES:
        values, lies = nifti.open_volume(file).slice(*part)
        return Grid((values.shape[1], values.shape[0]), _FLIP @ lies)
    data = dicom_image.dataset(file)
    found = dicom_image.facts(data, path, part[1] if part else None, typed=False)
    cosines = dicom_image.cosines_of(found, path)
    place = dicom_image.numbers(path, "ImagePositionPatient", found["ImagePositionPatient"], 3)
    size = (int(found["Columns"]), int(found["Rows"]))
    spacing = dicom_image.spacing_of(found, data, path)
    affine: np.ndarray | None = None
    if cosines and place and np.isfinite(spacing):
        row, column = np.reshape(cosines, (2, 3))
        thick = float(dicom_image.element(data, "SliceThickness", path) or 1.0)
        affine = np.eye(4)
        affine[:3] = np.stack(
            [row * spacing, column * spacing, np.cross(row, column) * thick, place], 1
        )
    reference = str(dicom_image.element(data, "FrameOfReferenceUID", path) or "")
    return Grid(
        size, affine, str(found["SOPInstanceUID"] or ""), part[1] if part else None, reference
    )


def is_one(path: str | Path) -> bool:
    """True for NIfTI, and for DICOM that is a SEG or RTSTRUCT."""
    name = Path(path).name.lower()
    return name.endswith(nifti.ENDINGS) or kind_of(path) is not None


def kind_of(path: str | Path) -> str | None:
    """ "SEG" or "RTSTRUCT" for such a DICOM file, else None."""
    try:
        return _KINDS.get(Path(path))
    except DataError:  # no file
        return None


def _kind(path: Path) -> str | None:
    try:
        with open(path, "rb") as handle:
            if handle.read(132)[128:] != b"DICM":
                return None
        uid = str(pydicom.dcmread(path, specific_tags=["SOPClassUID"]).get("SOPClassUID"))
    except Exception:  # no DICOM, whatever the reader calls it
        return None
    return {SEG: "SEG", LABELMAP: "SEG", RTSTRUCT: "RTSTRUCT"}.get(uid)


def read(path: str | Path, image: str | Path, structures: Sequence[str | int] = ()) -> np.ndarray:
    """The mask of one picture as boolean (H, W), on the pixels that `grid_of` describes.

    structures: names or numbers of those that are meant; none: all. DataError where the file is
    broken, names none of them, or cannot be laid upon the picture.
    """
    grid = grid_of(image)
    if Path(path).name.lower().endswith(nifti.ENDINGS):
        return _from_volume(Path(path), grid, structures)
    data = _OPEN.get(Path(path))
    found = _from_contours if data.SOPClassUID == RTSTRUCT else _from_frames
    try:
        return found(data, Path(path), grid, structures)
    except DataError:
        raise
    except Exception as error:  # elements that are absent or of another kind
        raise _wrong(path, type(error).__name__) from None


def _wrong(path: str | Path, found: str, expected: str = "a whole SEG or RTSTRUCT") -> DataError:
    return DataError("Segmentation cannot be read", file=path, found=found, expected=expected)


def _chosen(path: str | Path, known: dict[int, str], structures: Sequence[str | int]) -> list[int]:
    """Numbers of the structures meant, by number or (in any case) name."""
    if not structures:
        return list(known)
    wanted = {str(one).strip().casefold() for one in structures}
    return [n for n, name in known.items() if {str(n), name.strip().casefold()} & wanted]


def _from_volume(path: Path, grid: Grid, structures: Sequence[str | int]) -> np.ndarray:
    """The voxels of a volume in which the picture's pixel centres lie."""
    volume = nifti.open_volume(path)
    if grid.affine is None:
        raise _wrong(path, "an image that does not say where it lies", "DICOM slices or NIfTI")
    inside, index = _nearest(np.linalg.inv(_FLIP @ volume.affine) @ grid.affine, grid, volume.shape)
    if not inside.any():
        raise _wrong(path, "a volume that the picture does not cross", "one of the same scan")
    values = volume.voxels[tuple(np.where(inside, place, 0) for place in index)]
    numbers = sorted(int(n) for n in np.unique(values) if n)
    if structures:
        wanted = _chosen(path, {n: str(n) for n in numbers}, structures)
        return inside & np.isin(values, wanted)
    return inside & (values > 0)


def _nearest(affine: np.ndarray, grid: Grid, shape: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """(whether inside (H, W), indices (3, H, W)) of the voxels nearest to the pixels' centres."""
    width, height = grid.size
    columns, rows = np.meshgrid(np.arange(width), np.arange(height))
    points = np.stack([columns, rows, np.zeros_like(columns), np.ones_like(columns)]).reshape(4, -1)
    index = np.floor((affine @ points)[:3] + 0.5 + 1e-6).astype(int).reshape(3, height, width)
    limits = np.array(shape)[:, None, None]
    return ((index >= 0) & (index < limits)).all(0), index


@dataclass(frozen=True)
class _Frame:
    """One frame of a SEG: its segment, the (image, frame) it was drawn on, and where it lies.

    back: affine (4, 4) of DICOM's mm to its (column, row, along, 1), None where it does not say.
    """

    number: int
    segment: int | None
    sources: tuple[tuple[str, str | None], ...]
    back: np.ndarray | None


@dataclass(frozen=True)
class _Frames:
    """The frames of one SEG, and which of them name an image: read once for all its pictures."""

    every: list[_Frame]
    of_image: dict[str, list[_Frame]]
    of_none: list[_Frame]

    def for_picture(self, grid: Grid) -> list[_Frame]:
        """The frames that may lie on a picture: those drawn on it, and those that do not say."""
        if grid.frame is not None or not grid.instance:
            return self.every
        return self.of_none + self.of_image.get(grid.instance, [])


def _frames_of(path: Path) -> _Frames:
    data = _OPEN.get(path)
    every: list[_Frame] = []
    of_image: dict[str, list[_Frame]] = {}
    of_none: list[_Frame] = []
    for number, groups in enumerate(data.PerFrameFunctionalGroupsSequence):
        named = _item(data, groups, "SegmentIdentificationSequence")
        segment = None if named is None else int(named.ReferencedSegmentNumber)
        frame = _Frame(number, segment, _sources(groups), _back(data, groups))
        every.append(frame)
        for uid in {uid for uid, _ in frame.sources}:
            of_image.setdefault(uid, []).append(frame)
        if not frame.sources:
            of_none.append(frame)
    return _Frames(every, of_image, of_none)


def _sources(groups: pydicom.Dataset) -> tuple[tuple[str, str | None], ...]:
    found = []
    for derived in groups.get("DerivationImageSequence", []):
        for source in derived.get("SourceImageSequence", []):
            frame = source.get("ReferencedFrameNumber")
            told = None if frame is None else str(frame)
            found.append((str(source.ReferencedSOPInstanceUID), told))
    return tuple(found)


def _back(data: pydicom.Dataset, groups: pydicom.Dataset) -> np.ndarray | None:
    """Where a frame lies: DICOM's mm to its pixels, None where it does not say."""
    position = _item(data, groups, "PlanePositionSequence")
    cosines = _item(data, groups, "PlaneOrientationSequence")
    measures = _item(data, groups, "PixelMeasuresSequence")
    if None in (position, cosines, measures):
        return None
    row, column = np.reshape([float(n) for n in cosines.ImageOrientationPatient], (2, 3))
    down, right = (float(n) for n in measures.PixelSpacing)
    thick = float(measures.get("SliceThickness") or 1.0)
    affine = np.eye(4)
    start = [float(n) for n in position.ImagePositionPatient]
    affine[:3] = np.stack([row * right, column * down, np.cross(row, column) * thick, start], 1)
    return np.linalg.inv(affine)


def _from_frames(
    data: pydicom.Dataset, path: Path, grid: Grid, structures: Sequence[str | int]
) -> np.ndarray:
    """Frames of a SEG that lie on the picture, or were drawn on it, joined."""
    known = {int(s.SegmentNumber): str(s.get("SegmentLabel", "")) for s in data.SegmentSequence}
    known.pop(0, None)  # a label map names its background too
    wanted = _chosen(path, known, structures)
    mask = np.zeros(grid.size[::-1], bool)
    labelmap = str(data.SOPClassUID) == LABELMAP or data.get("SegmentationType") == "LABELMAP"
    full = float(data.get("MaximumFractionalValue") or 1)
    half = full / 2 if data.get("SegmentationType") == "FRACTIONAL" else 0
    size = int(data.Columns), int(data.Rows)
    for frame in _FRAMES.get(path).for_picture(grid):
        if not labelmap and frame.segment is None:
            raise _wrong(path, "a frame of no segment")
        if not labelmap and frame.segment not in wanted:
            continue
        place = _place(frame, grid, size)
        if place is None or not _may_meet(place, grid):
            continue
        values = pydicom.pixels.pixel_array(data, index=frame.number)
        if not _is_same(place, grid, size):
            inside, (columns, rows, _) = _nearest(place, grid, (*size, 1))
            if not inside.any():
                continue
            values = values[np.where(inside, rows, 0), np.where(inside, columns, 0)]
        else:
            inside = np.ones(mask.shape, bool)
        mask |= inside & (np.isin(values, wanted) if labelmap else values > half)
    return mask


def _at_corners(place: np.ndarray, grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """(the picture's corners (4, 2), where they lie in the frame (4, 3)); the rest lies between."""
    width, height = grid.size
    corners = np.array([(x, y, 0, 1) for x in (0, width - 1) for y in (0, height - 1)], float)
    return corners[:, :2], (corners @ place.T)[:, :3]


def _may_meet(place: np.ndarray, grid: Grid) -> bool:
    """False where a picture lies wholly before or behind the frame's slice."""
    along = np.floor(_at_corners(place, grid)[1][:, 2] + 0.5 + 1e-6)
    return not ((along < 0).all() or (along > 0).all())


def _is_same(place: np.ndarray, grid: Grid, size: tuple[int, int]) -> bool:
    """True where each pixel of the picture lies in the frame's pixel of the same place."""
    corners, there = _at_corners(place, grid)
    near = np.abs(there[:, :2] - corners).max() < 0.49
    return bool(grid.size == size and near and (np.floor(there[:, 2] + 0.5 + 1e-6) == 0).all())


def _item(data: pydicom.Dataset, groups: pydicom.Dataset, name: str) -> Any:
    """A frame's functional group: its own, else the shared one; None where absent."""
    shared = data.get("SharedFunctionalGroupsSequence")
    for holder in (groups, shared[0] if shared else None):
        if holder is not None and holder.get(name):
            return holder[name].value[0]
    return None


def _place(frame: _Frame, grid: Grid, size: tuple[int, int]) -> np.ndarray | None:
    """Affine of the picture's (column, row) to the frame's, None where it lies on another slice."""
    drawn_on = [
        uid
        for uid, number in frame.sources
        if grid.frame is None or number in (None, str(grid.frame))
    ]
    if grid.affine is None or frame.back is None:
        return np.eye(4) if grid.instance in drawn_on and grid.size == size else None
    if drawn_on and grid.instance and grid.instance not in drawn_on:
        return None
    return frame.back @ grid.affine


def _from_contours(
    data: pydicom.Dataset, path: Path, grid: Grid, structures: Sequence[str | int]
) -> np.ndarray:
    """Closed contours of an RTSTRUCT on the picture, filled; one inside another is a hole.

    A pixel is inside where its centre is (even-odd rule).
    """
    if grid.affine is None:
        raise _wrong(path, "an image that does not say where it lies", "CT, MR or PET slices")
    known = {int(r.ROINumber): str(r.get("ROIName", "")) for r in data.StructureSetROISequence}
    wanted = _chosen(path, known, structures)
    back, mask = np.linalg.inv(grid.affine), np.zeros(grid.size[::-1], bool)
    for roi in data.get("ROIContourSequence", []):
        part = np.zeros(grid.size[::-1], bool)
        for contour in roi.get("ContourSequence", []):
            if int(roi.ReferencedROINumber) in wanted and _on(contour, grid):
                points = np.reshape([float(n) for n in contour.ContourData], (-1, 3))
                flat = back @ np.c_[points, np.ones(len(points))].T
                if np.abs(flat[2]).max() <= 0.5 + 1e-6:
                    part ^= filled(flat[:2].T, grid.size)
        mask |= part
    return mask


def _on(contour: pydicom.Dataset, grid: Grid) -> bool:
    """Whether a contour was drawn on this image, as far as it says."""
    if contour.get("ContourGeometricType", "CLOSED_PLANAR") != "CLOSED_PLANAR":
        return False
    named = [str(i.ReferencedSOPInstanceUID) for i in contour.get("ContourImageSequence", [])]
    return not (named and grid.instance) or grid.instance in named


def filled(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boolean (H, W): pixels whose centres lie inside a polygon of (column, row) points (n, 2)."""
    width, height = size
    inside = np.zeros((height, width), bool)
    columns = np.arange(width)
    ends = np.roll(points, -1, axis=0)
    low, high = np.floor(points[:, 1].min()), np.ceil(points[:, 1].max())
    for row in range(max(0, int(low)), min(height, int(high) + 1)):
        crossed = (points[:, 1] <= row) != (ends[:, 1] <= row)
        (x1, y1), (x2, y2) = points[crossed].T, ends[crossed].T
        where = x1 + (row - y1) * (x2 - x1) / (y2 - y1)
        inside[row] = (where[:, None] > columns).sum(0) % 2 == 1
    return inside


# every slice of a series asks for the same one
_OPEN = Opened("Mask", lambda path: dicom_image.dataset(path, path.read_bytes()), most=4)
_FRAMES = Opened("Mask", _frames_of, most=4)
_KINDS = Opened("Mask", _kind, most=256)


def referred(path: str | Path) -> set[str]:
    """UIDs of the images that a SEG or RTSTRUCT says it was drawn on."""
    found: set[str] = set()

    def note(data: pydicom.Dataset, element: pydicom.DataElement) -> None:
        if element.keyword == "ReferencedSOPInstanceUID":
            found.add(str(element.value))

    walk: Callable = dicom_image.dataset(path).walk
    walk(note)
    return found
