"""A department's own images: a folder with labels.csv, or one folder per class.

labels.csv: image,label and optionally patient,region,box,hu_offset. Images are PNG (8 or 16 bit)
or JPEG. Without hu_offset their values are grey values, not HU: nothing in a JPEG says which HU
a grey stands for.
"""

import math
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from camreader.cohorts.rows import Cell, read_rows
from camreader.common.errors import DataError
from camreader.common.tables import REGIONS, UNKNOWN_REGION

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
POSITIVE = ("1", "tumor", "tumour", "lesion", "yes", "positive", "abnormal", "has tumor")
NEGATIVE = ("0", "no tumor", "no tumour", "no lesion", "no", "negative", "normal", "free")
KINDS = (*IMAGE_SUFFIXES, ".bmp", ".csv", ".dcm", ".gif", ".json", ".md", ".nii", ".gz", ".pdf")
KINDS += (".tif", ".tiff", ".txt", ".xlsx", ".zip")
OPTIONAL = ("patient", "region", "box", "hu_offset")
DEPTHS = {"L": 8, "P": 8, "1": 8, "RGB": 8, "RGBA": 8, "LA": 8, "CMYK": 8, "YCbCr": 8}


def label_of(word):
    """1 or 0 for a label in words ("tumor", "No_Tumor", "1", ...), None if it is neither."""
    plain = re.sub(r"[\s_-]+", " ", str(word)).strip().lower()
    if plain in POSITIVE:
        return 1
    return 0 if plain in NEGATIVE else None


def read(folder):
    """(frame with the cohort's columns before the splits, facts) of a labelled image folder.

    File names often hold names of patients, so slices are numbered in the order of labels.csv or,
    without it, of class folder and path. image_path still holds the names; `pixels.bring_in`
    replaces it.
    """
    folder = Path(folder)
    has_table = (folder / "labels.csv").exists()
    rows = read_labels(folder) if has_table else class_folders(folder)
    if not rows:
        raise DataError("No labelled image found", file=folder, expected=EXPECTED)
    frame = pd.DataFrame(rows)
    frame["slice_id"] = [slice_name(number) for number in range(1, len(frame) + 1)]
    headers = [image_header(folder / path) for path in frame["image_path"]]
    frame[["width", "height", "depth"]] = headers
    check_boxes(frame, folder / "labels.csv")
    given = frame["hu_offset"].notna()
    facts = _greys(frame, given, folder) | {"doubts": unread(folder, frame["image_path"])}
    frame["hu_offset"] = frame["hu_offset"].astype(float)  # NaN: greys, not HU
    return complete(frame), facts


EXPECTED = (
    "Images_png/ with DL_info.csv (DeepLesion), or labels.csv (image,label), or one folder "
    "per class (tumor, no_tumor)"
)


def slice_name(number):
    """Name of the slice counted `number`, from 1, and of its copy."""
    return f"own_{number:06d}"


def complete(frame):
    """Add the cohort's columns that own data does not have."""
    absent = {"study_id": None, "series_id": None, "slice_index": pd.NA, "spacing_mm": np.nan}
    empty = {
        "label_source": "folder",
        "truth": pd.NA,
        "distance_mm": np.nan,
        "diameter_mm": np.nan,
        "contrast_hu": np.nan,
        "cysts": pd.NA,
        "official_split": None,
    }
    return frame.assign(**{k: v for k, v in absent.items() if k not in frame}, **empty)


def _greys(frame, given, folder):
    """Whether the values are HU, and the window that shows their full range."""
    if given.any() and not given.all():
        row = int(frame.loc[~given, "row"].iloc[0])
        raise DataError(
            "hu_offset is given for some images only",
            file=folder / "labels.csv",
            row=row,
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


def unread(folder, read):
    """[words] on the folder's files that are not among the paths `read`: how many of which kind.

    Only common endings are named: what follows a dot may be part of a patient's name.
    """
    folder, read = Path(folder), {*read, "labels.csv"}
    found = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    seen = (path for path in found if not any(part.startswith(".") for part in path.parts))
    left = [path for path in seen if path.as_posix() not in read]
    ends = (path.suffix.lower() for path in left)
    kinds = Counter(end if end in KINDS else "of another kind" for end in ends)
    words = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
    return [f"{len(left):,} file(s) in the folder are not read: {words}"] if left else []


def check_boxes(frame, table):
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


def sixteen_bit_window(folder, paths, count=50):
    """[centre, width] of the range of up to `count` evenly chosen 16-bit images, halved as read."""
    step = math.ceil(len(paths) / count)
    low, high = 65535, 0
    for path in paths[::step]:
        try:
            with Image.open(folder / path) as image:
                lowest, highest = image.getextrema()
        except (OSError, ValueError, SyntaxError) as error:
            raise DataError(f"PNG cannot be decoded: {error}", file=folder / path) from None
        low, high = min(low, lowest), max(high, highest)
    return [(low + high) / 4, max(1, (high - low) / 2)]


def image_header(path):
    """(width, height, bits per pixel) from an image's header; DataError if it is no image."""
    try:
        with Image.open(path) as image:
            kind, size, mode = image.format, image.size, image.mode
    except FileNotFoundError:
        raise DataError("Image not found", file=path) from None
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"Not a readable image: {error}", file=path) from None
    depth = 16 if mode.startswith("I") else DEPTHS.get(mode)
    if kind not in ("PNG", "JPEG") or depth is None:
        raise DataError(
            "Image of a kind that is not read",
            file=path,
            found=f"{kind} {mode}",
            expected="PNG (8 or 16 bit) or JPEG",
        )
    return *size, depth


def read_labels(folder):
    """Rows of labels.csv as dicts; every cell checked, every image present."""
    table = Path(folder) / "labels.csv"
    rows, seen = [], {}
    for number, cells in read_rows(table, ("image", "label"), "labels.csv"):
        cell = Cell(table, number, {name: "" for name in OPTIONAL} | cells)
        rows.append(labelled_row(cell, folder))
        path = rows[-1]["image_path"]
        if seen.setdefault(path, number) != number:
            raise cell.wrong("image", f"each image once; row {seen[path]} has it too")
    _all_or_none(rows, table)
    return rows


def labelled_row(cell, folder):
    """One row of labels.csv as a dict."""
    label = label_of(cell.cells["label"])
    if label is None:
        raise cell.wrong("label", "1 or 0, or tumor / no tumor")
    path = Path(cell.cells["image"].strip())
    inside = not path.is_absolute() and ".." not in path.parts and str(path) != "."
    if not inside or not (Path(folder) / path).is_file():
        raise cell.wrong("image", "a file inside the folder of labels.csv")
    region = cell.cells["region"].strip().lower() or UNKNOWN_REGION
    if region not in (*REGIONS, UNKNOWN_REGION):
        raise cell.wrong("region", "one of " + ", ".join(REGIONS))
    boxes, offset = _boxes(cell), cell.cells["hu_offset"].strip()
    if boxes and not label:
        raise cell.wrong("box", "no box where the label is 'no tumor'")
    return {
        "row": cell.row,
        "patient_id": cell.cells["patient"].strip() or None,
        "image_path": path.as_posix(),
        "label": label,
        "region": region,
        "boxes": boxes,
        "hu_offset": cell.numbers("hu_offset", 1, -70000, 70000)[0] if offset else None,
    }


def _boxes(cell):
    """Boxes "x1 y1 x2 y2; ..." in zero-based pixels of the image."""
    boxes = []
    for text in filter(str.strip, cell.cells["box"].split(";")):
        part = Cell(cell.path, cell.row, {"box": ",".join(text.replace(",", " ").split())})
        box = list(part.numbers("box", 4, 0, 65535))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise cell.wrong("box", "x1 y1 x2 y2 with x1 < x2 and y1 < y2; several joined by ';'")
        boxes.append(box)
    return boxes


def _all_or_none(rows, table):
    """Patients must be known for all slices or for none, or siblings cannot be kept together."""
    blank = [row["row"] for row in rows if row["patient_id"] is None]
    if blank and len(blank) < len(rows):
        raise DataError(
            "Patient is given for some images only",
            file=table,
            row=blank[0],
            column="patient",
            expected="a patient in every row or in none",
        )


def is_image(path):
    """True for a file called .png, .jpg or .jpeg; not for the hidden ones that a Mac adds."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def class_folders(folder, wanted=is_image):
    """Rows from one sub-folder per class, whose name says the label; `wanted` picks the files."""
    rows = []
    parts = (p for p in Path(folder).iterdir() if p.is_dir() and not p.name.startswith("."))
    for part in sorted(parts):
        images = sorted(path for path in part.rglob("*") if wanted(path))
        if not images:
            continue
        label = label_of(part.name)
        if label is None:
            raise DataError(
                "A folder's name does not say the label",
                file=part,
                found=part.name,
                expected="a name such as tumor or no_tumor; or a labels.csv beside the folders",
            )
        for path in images:
            rows.append(
                {
                    "row": None,
                    "patient_id": None,
                    "image_path": path.relative_to(folder).as_posix(),
                    "label": label,
                    "region": UNKNOWN_REGION,
                    "boxes": [],
                    "hu_offset": None,
                }
            )
    return rows


def read_jpeg(path):
    """Grey values of a JPEG, uint8 (H, W); colours become grey. DataError where it is broken."""
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L"))
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"JPEG cannot be decoded: {error}", file=path) from None
