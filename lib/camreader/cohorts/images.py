"""A department's own images with labels: PNG, JPEG, TIFF, BMP or PGM of 8 or 16 bit.

Without hu_offset their values are grey values, not HU: nothing in a JPEG says which HU a grey
stands for.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts import image_files, labelled, masks
from camreader.cohorts.folder import Folder, Options
from camreader.common.errors import DataError

BACKGROUND = -1024  # HU of air; lower values are corners that were not scanned


def owns(head: bytes, name: str) -> bool:
    """True for the first bytes and name of an image file."""
    return image_files.is_image(head, name)


def recognise(folder: Folder, options: Options) -> bool:
    """True for any folder: this is the last format asked, and its refusal says what is expected."""
    return True


def read(folder: Folder, options: Options) -> tuple[pd.DataFrame, dict]:
    """(frame with the cohort's columns before the splits, facts) of a labelled image folder.

    File names often hold names of patients, so slices are numbered in the order of labels.csv or,
    without it, of class folder and path. image_path still holds the names; `pixels.bring_in`
    replaces it.
    """
    found = labelled.read(folder, options)
    frame, heads = _headers(folder, found, options)
    frame["slice_id"] = [slice_name(number) for number in range(1, len(frame) + 1)]
    frame["width"], frame["height"] = [h.width for h in heads], [h.height for h in heads]
    frame["depth"] = [head.bits for head in heads]
    add_masks(frame, folder, found, options.structures)
    check_boxes(frame, folder.path / (found.table or ""))
    facts = _greys(frame, folder.path, found.table)
    special = {
        "images stored in colour, read as grey": sum(head.colour for head in heads),
        "images with transparent parts, taken as 0": sum(head.alpha for head in heads),
        "images with an EXIF orientation, read as stored": sum(head.turned for head in heads),
    }
    found.doubts += [f"{count:,} {words}" for words, count in special.items() if count]
    frame["hu_offset"] = frame["hu_offset"].astype(float)  # NaN: greys, not HU
    facts["synthetic"] = sum(head.synthetic for head in heads)
    return complete(frame), facts | facts_of(found, folder, frame)


def _headers(
    folder: Folder, found: labelled.Labelled, options: Options
) -> tuple[pd.DataFrame, list[image_files.Header]]:
    """(rows, headers) of the images; one that cannot be read is skipped where that is allowed."""
    rows, heads = [], []
    for row in found.rows:
        path = folder.path / row["image_path"]
        with labelled.skipping(found, options):
            head = image_files.header(path)
            if options.skip_unreadable:
                image_files.decode(path.read_bytes(), path)
            heads.append(head)
            rows.append(row)
    if not rows:
        raise DataError("No image can be read", file=folder.path, found=dict(found.left_out))
    return pd.DataFrame(rows), heads


def decode(data: bytes, path: str | Path, offset: float | None) -> np.ndarray:
    """int16 (H, W) of an image's bytes: stored value + offset as HU, or greys where offset is NaN.

    Greys of 8 bit stay as they are, of 16 bit are halved to fit.
    """
    if offset is None or np.isnan(offset):
        values = image_files.decode(data, path)
        wide = values.dtype == np.uint16
        return (values >> 1).view(np.int16) if wide else values.astype(np.int16)
    values = image_files.decode(data, path, exact=True)
    if offset == int(offset) and offset >= -32768 and int(values.max()) + offset <= 32767:
        wide = values.dtype == np.uint16  # sums that wrap on the way end right: the last ones fit
        hu = (values.view(np.int16) if wide else values.astype(np.int16)) + np.int16(offset)
        return np.maximum(hu, BACKGROUND, out=hu)
    shifted = values.astype(np.float32) + offset
    return np.clip(shifted, BACKGROUND, 32767).round().astype(np.int16)


def slice_name(number: int) -> str:
    """Name of the slice counted `number`, from 1, and of its copy."""
    return f"own_{number:06d}"


def complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the cohort's columns that own data does not have."""
    absent: dict[str, Any] = {
        "study_id": None,
        "series_id": None,
        "slice_index": pd.NA,
        "spacing_mm": np.nan,
    }
    empty: dict[str, Any] = {
        "label_source": "folder",
        "truth": pd.NA,
        "distance_mm": np.nan,
        "diameter_mm": np.nan,
        "contrast_hu": np.nan,
        "cysts": pd.NA,
    }
    return frame.assign(**{k: v for k, v in absent.items() if k not in frame}, **empty)


def facts_of(found: labelled.Labelled, folder: Folder, frame: pd.DataFrame) -> dict:
    """What every labelled folder's card says: doubts, what was left out and passed over."""
    named = {*frame["image_path"], *(m for group in frame["masks"] for m in group), found.table}
    unread = [name for name in folder.files if name not in named]
    doubts = list(found.doubts)
    if unread:
        kinds = folder.summary(unread)
        doubts.append(f"{len(unread):,} file(s) in the folder are not read: {kinds}")
    return {
        "doubts": doubts,
        "left_out": dict(found.left_out),
        "left_out_by_wish": found.by_wish,
        "passed_over": dict(folder.passed_over),
    }


def _greys(frame: pd.DataFrame, folder: Path, table: str | None) -> dict:
    """Whether the values are HU, and the window that shows their full range."""
    given = frame["hu_offset"].notna()
    if given.any() and not given.all():
        raise DataError(
            "hu_offset is given for some images only",
            file=folder / str(table),
            row=int(frame.loc[~given, "row"].iloc[0]),
            column="hu_offset",
            expected="a value in every row or in none",
        )
    depths = sorted(frame["depth"].unique())
    if given.all():
        return {"kind": "Own images in HU", "hu": True, "window": [50, 400]}
    if len(depths) > 1:
        odd = frame.loc[frame["depth"] == frame["depth"].min(), "image_path"].iloc[0]
        raise DataError(
            "8-bit and 16-bit images are mixed: their greys mean different things",
            file=folder / odd,
            expected="one bit depth, or hu_offset in labels.csv",
        )
    window = [128, 255] if depths[0] == 8 else sixteen_bit_window(folder, frame["image_path"])
    return {
        "kind": f"Own {depths[0]}-bit images (grey values, not HU)",
        "hu": False,
        "window": window,
    }


def add_masks(
    frame: pd.DataFrame,
    folder: Folder,
    found: labelled.Labelled,
    structures: Sequence[str | int] = (),
) -> None:
    """Boxes of the masks where no box is given, and labels where a mask is to tell them.

    DataError for a mask on an image labelled 0, and where a label has no mask to come from.
    """
    told = frame["label"] == labelled.FROM_MASK
    if told.any() and not frame.loc[told, "masks"].map(len).all():
        raise DataError(
            "The label is to come from a mask, and there is none",
            file=folder.path / frame.loc[told & ~frame["masks"].map(bool), "image_path"].iloc[0],
            expected="a mask beside it, or in the column mask",
        )
    if not frame["masks"].map(len).any():
        return
    boxes, labels, empty = [], [], 0
    for row in frame.to_dict("records"):
        size, image = (row["width"], row["height"]), folder.path / row["image_path"]
        parts = [masks.read(folder.path / path, size, image, structures) for path in row["masks"]]
        marked = [box for part in parts for box in masks.boxes(part)]
        if marked and row["label"] == 0:
            raise DataError(
                "A mask marks something on an image labelled as without it",
                file=folder.path / row["masks"][0],
                row=row["row"],
                found=f"label 0 of {row['image_path']}",
                expected="an empty mask, or another label",
            )
        empty += bool(parts) and not marked and row["label"] == 1
        labels.append(int(bool(marked)) if row["label"] == labelled.FROM_MASK else row["label"])
        boxes.append(row["boxes"] or marked)
    frame["boxes"] = pd.Series(boxes, frame.index)
    frame["label"] = labels
    marks = len({path for group in frame["masks"] for path in group})
    found.doubts.append(f"{marks:,} mask(s) are read as truth, not as slices")
    if empty:
        found.doubts.append(
            f"{empty:,} mask(s) are empty although the label says there is a finding"
        )


def check_boxes(frame: pd.DataFrame, table: Path) -> None:
    """DataError for a box that reaches out of its image, by the row of labels.csv it stands in."""
    for row, boxes, *size in frame[["row", "boxes", "width", "height"]].itertuples(index=False):
        for box in boxes:
            if box[2] > size[0] or box[3] > size[1]:
                raise DataError(
                    "A box reaches out of its image",
                    file=table,
                    row=int(row),
                    column="box",
                    found=" ".join(f"{number:g}" for number in box),
                    expected=f"x from 0 to {size[0]}, y from 0 to {size[1]}",
                )


def sixteen_bit_window(folder: Path, paths: pd.Series, count: int = 50) -> list[float]:
    """[centre, width] of the range of up to `count` evenly chosen 16-bit images, halved as read."""
    step = math.ceil(len(paths) / count)
    low, high = 65535, 0
    for path in paths[::step]:
        values = image_files.decode((folder / path).read_bytes(), folder / path)
        low, high = min(low, int(values.min())), max(high, int(values.max()))
    return [(low + high) / 4, max(1, (high - low) / 2)]
