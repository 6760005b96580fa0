"""Masks beside images: which file is a mask of which image, and the boxes of what they mark.

A mask is an image file, or a segmentation in space (`segmentations`).

A mask is told by its name, `x_mask.png`, `x_mask_1.png`, `x_seg.png`, `x_gt.png` beside `x.png`,
or by its folder, `masks/x.png` beside `x.png` or `images/x.png`. It is never a slice.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pandas as pd

from camreader.cohorts import image_files, segmentations
from camreader.common.errors import DataError
from camreader.common.tables import parse_boxes

_NAME = re.compile(
    r"(?P<stem>.+?)[ _\-.]+(mask|masks|seg|segm|segmentation|gt|groundtruth|roi)([ _\-]?\d+)?", re.I
)
_FOLDER = re.compile(
    r"([a-z]+[ _\-])?(mask|seg|segmentation|segmentations|ground[ _\-]?truth|gt)s?", re.I
)
_IMAGES = ("images", "image", "imgs", "img", "")
SMALLEST = 4  # pixels; smaller specks are taken for noise of a compressed or reduced mask
FEW = 10  # distinct values of a map of numbered parts; more are greys, cut at half


def told(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]], list[str]]:
    """(images, {image: its masks}, masks without an image) of the image files `names`."""
    stems: dict[str, list[str]] = {}
    for name in names:
        stems.setdefault(_stem(name), []).append(name)
    images: list[str] = []
    pairs: dict[str, list[str]] = {}
    alone: list[str] = []
    for name in names:
        wanted = _partners(name)
        if wanted is None:
            images.append(name)
            continue
        partner = next((s for stem in wanted for s in stems.get(stem, []) if s != name), None)
        if partner is None:
            alone.append(name)
        else:
            pairs.setdefault(partner, []).append(name)
    return images, pairs, alone


def _bare(name: str) -> PurePosixPath:
    """A path without its ending; .nii.gz is one ending."""
    path = PurePosixPath(name)
    return (
        path.with_suffix("").with_suffix("")
        if name.lower().endswith(".nii.gz")
        else (path.with_suffix(""))
    )


def _stem(name: str) -> str:
    return str(_bare(name)).casefold()


def _partners(name: str) -> list[str] | None:
    """Stems of the images a file may be the mask of, None where nothing says it is a mask."""
    path = PurePosixPath(name)
    stem = _bare(name).name
    named = _NAME.fullmatch(stem)
    stems = [named["stem"], stem] if named else [stem]
    place = next((k for k, part in enumerate(path.parts[:-1]) if _FOLDER.fullmatch(part)), None)
    if place is None:
        return [_stem(str(path.with_name(f"{stems[0]}.x")))] if named else None
    before, after = path.parts[:place], path.parts[place + 1 : -1]
    ways = [(*before, *((images,) if images else ()), *after) for images in _IMAGES]
    return [_stem("/".join((*way, f"{stem}.x"))) for way in ways for stem in stems]


def read(
    path: str | Path,
    size: tuple[int, int],
    image: str | Path = "",
    structures: Sequence[str | int] = (),
) -> np.ndarray:
    """A mask as boolean (H, W); DataError where it is no mask or not of the image's (w, h).

    image: the picture that it is laid upon, needed for NIfTI, SEG and RTSTRUCT. structures: the
    numbers (or names) in it that are meant; none: all.
    """
    if segmentations.is_one(path):
        return segmentations.read(path, image, structures)
    try:
        values = image_files.decode(Path(path).read_bytes(), path)
    except OSError as error:
        raise DataError(f"Mask cannot be read: {error.strerror}", file=path) from None
    if values.shape[::-1] != tuple(size):
        raise DataError(
            "Mask has another size than its image",
            file=path,
            found=f"{values.shape[1]} x {values.shape[0]}",
            expected=f"{size[0]} x {size[1]}",
        )
    top, levels = int(values.max()), np.unique(values)
    if structures and len(levels) <= FEW:
        wanted = [int(n) for n in structures if str(n).strip().isdigit()]
        return np.isin(values, wanted)
    if len(levels) <= FEW and (levels[levels > 0] > 0.1 * top).all():
        return values > 0  # black and white, or a map of numbered parts
    between = np.mean((values > 0.15 * top) & (values < 0.85 * top))
    if between > 0.1:
        raise DataError(
            "A file called a mask holds greys of an image",
            file=path,
            found=f"{100 * between:.0f} % of its pixels lie between black and white",
            expected="0 outside the finding; another name, if it is a slice",
        )
    return values > top / 2


def boxes(mask: np.ndarray) -> list[list[float]]:
    """Zero-based, inclusive [x1, y1, x2, y2] of every connected part of a boolean (H, W) mask."""
    count, _, parts, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return [
        [float(x), float(y), float(x + w - 1), float(y + h - 1)]
        for x, y, w, h, area in parts[1:count].tolist()
        if area >= SMALLEST
    ]


def box_masks(cohort: pd.DataFrame, size: int) -> np.ndarray:
    """Boolean (N, size, size): the pixels of each slice that its boxes touch.

    `boxes` are zero-based, inclusive, at full resolution (`width` x `height`).
    """
    masks = np.zeros((len(cohort), size, size), bool)
    rows = zip(cohort["boxes"], cohort["width"], cohort["height"], strict=True)
    for mask, (text, width, height) in zip(masks, rows, strict=True):
        for x1, y1, x2, y2 in parse_boxes(text):
            left, right = np.array([x1, x2 + 1]) * size / width
            top, bottom = np.array([y1, y2 + 1]) * size / height
            rows_in = slice(max(0, int(top)), int(np.ceil(bottom)))
            mask[rows_in, max(0, int(left)) : int(np.ceil(right))] = True
    return masks
