"""A folder that its owner labelled: a table (labels.csv), or one folder per class at any depth.

What comes out is one row per slice, whatever the format of its file: label, patient, region, boxes,
masks and the data set's own split, and by reason what was left out.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from camreader.cohorts import masks, parts
from camreader.cohorts.classes import LEFT_OUT, Classes, split_of
from camreader.cohorts.folder import MAY_BE_SLICES, OTHER_IMAGES, Folder, Options
from camreader.common.errors import DataError
from camreader.common.rows import Cell, Table, is_shortened, plain_name, read_rows, western_words
from camreader.common.tables import REGIONS, UNKNOWN_REGION

OPTIONAL = (
    *("patient", "region", "box", "hu_offset", "mask", "split", "frame", "slice", "plane"),
    "clinical_text",
)
LONGEST_TEXT = 500  # signs of a clinical text: what a request for the scan says, no report
SYNONYMS = {
    "image": ("file", "filename", "file_name", "path", "image_path", "image_name", "img"),
    "label": ("class", "diagnosis", "target"),
    "patient": ("patients", "patient_id", "patientid", "subject", "subject_id"),
    "region": ("regions", "body_region"),
    "box": ("boxes", "bbox", "bboxes", "bounding_box", "bounding_boxes"),
    "hu_offset": ("offset", "huoffset"),
    "mask": ("masks", "mask_path", "segmentation"),
    "split": ("splits", "subset", "partition"),
    "frame": ("frames", "frame_number"),
    "slice": ("slices", "slice_index", "slice_number"),
    "plane": ("view",),
    "clinical_text": (),  # under no other name: a history of theirs may tell the finding
}
EXPECTED = (
    "Images_png/ with DL_info.csv (DeepLesion), or labels.csv (image,label), or one folder "
    "per class (tumor, no_tumor)"
)
MASKED = ("images", "NIfTI")  # formats whose masks are files of the same format
NOT_NAMED = "image that the table does not name"
BESIDE = "image beside the class folders"
NO_IMAGE = "mask without an image"
OTHER = "image of a format that is not read"
UNREADABLE = "unreadable"
TABLES = (".csv", ".tsv", ".xlsx")
FROM_MASK = -1  # in place of a label: a slice has the finding where its mask marks something


@dataclass
class Labelled:
    """Rows of a labelled folder (dicts), the table they stand in if any, and what was noticed."""

    rows: list[dict]
    table: str | None = None  # name of the table, None for class folders
    left_out: Counter = field(default_factory=Counter)
    by_wish: int = 0  # slices of classes that CLASSES leaves out
    unnamed: list[str] = field(default_factory=list)  # files of the kind that the table leaves out
    doubts: list[str] = field(default_factory=list)


def read(folder: Folder, options: Options) -> Labelled:
    """Rows of a labelled folder; DataError where nothing is labelled, or a label is unclear."""
    if folder.labelled is not None:  # read before, to tell the folder's format
        return folder.labelled
    classes = Classes(options.finding, options.classes)
    name = _table_name(folder, options) or _only_table(folder, options)
    found = _from_table(folder, name, classes, options) if name else _from_folders(folder, classes)
    if not found.rows:
        raise DataError(
            "No labelled image found",
            file=folder.path,
            found=_what_is_there(folder, options),
            expected=EXPECTED,
        )
    _patients(found, folder, options)
    _own_split(found)
    for reason in MAY_BE_SLICES:
        if folder.passed_over[reason]:
            found.left_out[reason] += folder.passed_over[reason]
    others = [f for f in folder.files if f.lower().endswith(OTHER_IMAGES)]
    if others:
        found.left_out[f"{OTHER} ({folder.summary(others)})"] += len(others)
    folder.labelled = found
    return found


@contextmanager
def skipping(found: Labelled, options: Options) -> Iterator[None]:
    """Run what reads one image; where it is refused and may be skipped, count why, else raise."""
    try:
        yield
    except DataError as error:
        if not options.skip_unreadable:
            raise
        words = str(error).split(" (file:")[0].split(" (")[0]
        column = error.places.get("column")
        found.left_out[f"{UNREADABLE}: {words}{f', {column}' if column else ''}"] += 1


def _table_name(folder: Folder, options: Options) -> str | None:
    """Name of the table of labels at the top of the folder, in whatever case it is written."""
    top = [name for name in folder.files if "/" not in name]
    wanted = options.labels_file
    if wanted in top:
        return wanted
    alike = [
        name for name in top if name.casefold() in (wanted.casefold(), f"{wanted}.txt".casefold())
    ]
    if len(alike) > 1:
        raise DataError("Two tables of labels", file=folder.path, found=" and ".join(alike))
    if not alike and wanted != Options.labels_file:
        raise DataError(
            "Table of labels not found", file=folder.path / wanted, found=", ".join(top)[:200]
        )
    return alike[0] if alike else None


def _only_table(folder: Folder, options: Options) -> str | None:
    """Name of the one table that has the columns image and label; None where there is no such
    table or several, or where the names of folders say the labels.
    """
    classes = Classes(options.finding, options.classes)
    if any(classes.label(part) is not None for f in folder.kinds for part in f.split("/")[:-1]):
        return None
    fitting = []
    for name in _tables(folder):
        with suppress(DataError):  # a table of something else
            needed = ("image", options.label_column)
            fitting += [name] if read_rows(folder.path / name, needed, name, (), SYNONYMS) else []
    return fitting[0] if len(fitting) == 1 else None


def _tables(folder: Folder) -> list[str]:
    """Names of the tables at the top of the folder."""
    return [name for name in folder.files if "/" not in name and name.lower().endswith(TABLES)]


def _what_is_there(folder: Folder, options: Options) -> str:
    """What a folder without labels holds, in words that lead on."""
    words = [folder.summary()]
    kinds = Counter(folder.kinds.values())
    words += [f"by content {count:,} {kind}" for kind, count in kinds.items()]
    if tables := _tables(folder):
        words.append(f"tables {', '.join(tables[:3])} (LABELS names the table to read)")
    if folder.passed_over:
        words.append(
            "passed over: " + ", ".join(f"{n:,} {why}" for why, n in folder.passed_over.items())
        )
    return "; ".join(words)


def _from_table(folder: Folder, name: str, classes: Classes, options: Options) -> Labelled:
    """Rows of the table; every cell checked, every image present."""
    needed = ("image", options.label_column)
    table = read_rows(folder.path / name, needed, name, OPTIONAL, SYNONYMS)
    found, where = Labelled([], name), _Lookup(folder)
    seen: dict[str, int] = {}
    named_masks: set[str] = set()
    for cell in table.cells():
        for row in _rows(cell, where, classes, options.label_column):
            if seen.setdefault(row["image_path"], cell.row) != cell.row:
                first = seen[row["image_path"]]
                raise cell.wrong("image", f"each image once; row {first} has it too")
            named_masks.update(row["masks"])
            if row["label"] == LEFT_OUT:
                found.by_wish += 1
            else:
                found.rows.append(row)
    _all_or_none(found.rows, table)
    files = {str(parts.file_of(path)) for path in seen}
    kinds = {folder.kinds.get(path) for path in files}  # another kind beside is no slice left out
    pictures = [f for f, kind in folder.kinds.items() if f not in named_masks and kind in kinds]
    _, pairs, alone = masks.told([f for f in pictures if folder.kinds[f] in MASKED])
    if not named_masks:
        for row in found.rows:
            row["masks"] = row["masks"] or pairs.get(row["image_path"], [])
    mask_files = {*(m for group in pairs.values() for m in group), *alone} - set(seen)
    _no_mask_as_slice(seen, pairs, table)
    missed = [f for f in pictures if f not in files and f not in mask_files]
    if missed:
        found.left_out[NOT_NAMED] += len(missed)
        found.unnamed = missed
    found.doubts += _told(table, name, options)
    return found


def _no_mask_as_slice(seen: dict[str, int], pairs: dict[str, list[str]], table: Table) -> None:
    for path, number in seen.items():
        if any(path in group for group in pairs.values()):
            raise DataError(
                "A mask of another image is named as a slice",
                file=table.path,
                row=number,
                column="image",
                found=path,
                expected="images only; a mask goes into the column 'mask'",
            )


class _Lookup:
    """Finds a table's path among the files: as typed, else by Unicode form, slashes and case."""

    def __init__(self, folder: Folder) -> None:
        self.folder, self.files = folder, set(folder.files)
        self.alike: dict[str, list[str]] = {}
        for name in folder.files:
            self.alike.setdefault(self._key(name), []).append(name)

    @staticmethod
    def _key(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()

    def __call__(self, cell: Cell, column: str, typed: str) -> str:
        """The file that `typed` means; DataError by row where it means none, or two."""
        path = PurePosixPath(typed)
        if str(path) in self.files:
            return str(path)
        path = PurePosixPath(typed.replace("\\", "/"))
        inside = not path.is_absolute() and ".." not in path.parts and str(path) != "."
        found = self.alike.get(self._key(str(path)), []) if inside else []
        if len(found) == 1:
            return found[0]
        hint = ""
        elsewhere = [
            f for f in self.folder.files if self._key(f).endswith(self._key("/" + path.name))
        ]
        if elsewhere:
            hint = f"; a file of that name is {elsewhere[0]}"
        raise cell.wrong(column, f"a file inside the folder of {self.folder.path.name}{hint}")


def _row(cell: Cell, where: Callable, classes: Classes, column: str) -> dict:
    """One row of the table as a dict."""
    cell.cells = {name: "" for name in OPTIONAL} | dict(cell.cells)
    label = classes.label(cell.cells[column])
    if label is None and cell.text(column).casefold() in ("mask", "from mask"):
        label = FROM_MASK
    if label is None:
        raise cell.wrong(column, classes.expected())
    path = where(cell, "image", cell.cells["image"])
    region = cell.text("region").lower() or UNKNOWN_REGION
    if region not in (*REGIONS, UNKNOWN_REGION):
        raise cell.wrong("region", "one of " + ", ".join(REGIONS))
    boxes, offset = _boxes(cell), cell.text("hu_offset")
    if boxes and label == 0:
        raise cell.wrong("box", "no box where the label is 'no tumor'")
    split = split_of(cell.text("split"))
    if split is None and cell.text("split"):
        raise cell.wrong("split", "train, validation or test")
    text = " ".join(cell.text("clinical_text").split())
    if len(text) > LONGEST_TEXT:
        raise cell.wrong("clinical_text", f"at most {LONGEST_TEXT} characters")
    return {
        "row": cell.row,
        "patient_id": _patient(cell),
        "clinical_text": text,
        "image_path": path,
        "label": label,
        "class_name": cell.text(column),
        "region": region,
        "boxes": boxes,
        "masks": [
            where(cell, "mask", t.strip()) for t in cell.text("mask").split(";") if t.strip()
        ],
        "hu_offset": cell.numbers("hu_offset", 1, -70000, 70000)[0] if offset else None,
        "official_split": split,
    }


def _told(table: Table, name: str, options: Options) -> list[str]:
    """What the owner should know of how the table of labels was found and read."""
    told = []
    if name.casefold().removesuffix(".txt") != options.labels_file.casefold():
        told.append(f"labels from {name}, the only table with an image and a label")
    if table.western:
        told.append(western_words(table.path, table.western))
    if table.taken:
        told.append(f"columns of {name} under other names: {', '.join(table.taken)}")
    if table.unread:
        told.append(f"columns of {name} that are not read: {', '.join(table.unread)}")
    return told


def _rows(cell: Cell, where: Callable, classes: Classes, column: str) -> list[dict]:
    """The rows that one row of the table stands for: one for each frame or slice it names."""
    row = _row(cell, where, classes, column)
    frames, slices = parts.numbers(cell, "frame"), parts.numbers(cell, "slice")
    plane = cell.text("plane").casefold()
    if plane and plane not in parts.PLANES:
        raise cell.wrong("plane", " or ".join(parts.PLANES))
    row["plane"] = plane or None
    name = row["image_path"]
    named = [("frame", number) for number in frames] or [(plane or "slice", n) for n in slices]
    if not named:
        return [row]
    return [row | {"image_path": parts.named(name, *one)} for one in named]


def _boxes(cell: Cell) -> list[list[float]]:
    """Boxes "x1 y1 x2 y2; ..." in zero-based pixels of the image."""
    boxes = []
    for text in filter(str.strip, re.sub(r"[\[\]()]", " ", cell.text("box")).split(";")):
        part = Cell(cell.path, cell.row, {"box": ",".join(text.replace(",", " ").split())})
        box = list(part.numbers("box", 4, 0, 65535))
        if box[0] >= box[2] or box[1] >= box[3]:
            raise cell.wrong("box", "x1 y1 x2 y2 with x1 < x2 and y1 < y2; several joined by ';'")
        boxes.append(box)
    return boxes


def _all_or_none(rows: list[dict], table: Table) -> None:
    """Patients and splits must be known for all slices or for none."""
    for key, column in (("patient_id", "patient"), ("official_split", "split")):
        blank = [row["row"] for row in rows if row[key] is None]
        if blank and len(blank) < len(rows):
            raise DataError(
                f"{column.capitalize()} is given for some images only",
                file=table.path,
                row=blank[0],
                column=column,
                expected=f"a {column} in every row or in none",
            )


def _from_folders(folder: Folder, classes: Classes) -> Labelled:
    """Rows from the names of the folders a slice lies in: class, train or test, at any depth."""
    found = Labelled([])
    pictures = [name for name, kind in folder.kinds.items() if kind in MASKED]
    _, pairs, alone = masks.told(pictures)
    taken = {*(m for group in pairs.values() for m in group), *alone}
    if alone:
        found.left_out[NO_IMAGE] += len(alone)
    unclear: Counter = Counter()
    for name in folder.kinds:
        parts = PurePosixPath(name).parts[:-1]
        if name in taken:
            continue
        label, split = _said(parts, classes, folder)
        word = next((part for part in parts if classes.label(part) == label), None)
        if label == LEFT_OUT:
            found.by_wish += 1
        elif label is None and any(split_of(part) is None for part in parts):
            unclear["/".join(parts)] += 1
        elif label is None:
            found.left_out[BESIDE] += 1
        else:
            found.rows.append(
                {
                    "row": None,
                    "patient_id": None,
                    "image_path": name,
                    "label": label,
                    "class_name": word,
                    "region": UNKNOWN_REGION,
                    "boxes": [],
                    "masks": pairs.get(name, []),
                    "hu_offset": None,
                    "official_split": split,
                }
            )
    if unclear and (found.rows or not _no_hint(unclear)):
        raise DataError(
            "A folder's name does not say the label",
            file=folder.path / next(iter(unclear)),
            found=", ".join(f"{name} ({count:,})" for name, count in list(unclear.items())[:8]),
            expected=classes.expected() + "; or a labels.csv beside the folders",
        )
    return found


def _no_hint(unclear: Counter) -> bool:
    """True where no folder looks like a class: there is one of them only."""
    return len(unclear) < 2


def _said(parts: tuple, classes: Classes, folder: Folder) -> tuple[int | str | None, str | None]:
    """(label, split) that folder names say, the outermost first; DataError where two disagree."""
    split = next(filter(None, map(split_of, parts)), None)
    labels = [(part, classes.label(part)) for part in parts]
    labels = [(part, label) for part, label in labels if label is not None]
    if not labels:
        return None, split
    part, label = labels[0]
    for other, contrary in labels[1:]:
        if contrary != label and not other.strip().isdigit():
            raise DataError(
                "Two folders of one way say different labels",
                file=folder.path / "/".join(parts),
                found=f"{part} and {other}",
                expected="one class on the way to a file",
            )
    return label, split


def _patient(cell: Cell) -> str | None:
    """The patient as it is compared; DataError for a long number that has lost its digits."""
    name = plain_name(cell.text("patient"))
    if is_shortened(name):
        raise cell.wrong("patient", "the whole number, which a spreadsheet has shortened")
    return name or None


def _patients(found: Labelled, folder: Folder, options: Options) -> None:
    """Patients from the pattern over file names, as running numbers: names are not to travel on."""
    if options.patient_pattern:
        try:
            pattern = re.compile(options.patient_pattern)
        except re.error as error:
            raise DataError(f"PATIENT_PATTERN: {error}", found=options.patient_pattern) from None
        if pattern.groups != 1:
            raise DataError(
                "PATIENT_PATTERN needs one group",
                found=options.patient_pattern,
                expected=r"such as (P\d+)_ or ^([^_]+)_",
            )
        if found.rows and found.rows[0]["patient_id"] is None:
            _match(found, folder, pattern)
    names = {row["patient_id"] for row in found.rows if row["patient_id"]}
    groups: dict[str, set[str]] = {}
    for name in names:
        groups.setdefault(re.sub(r"^0+(?=\d)|\.0+$", "", name.casefold()), set()).add(name)
    for group in groups.values():
        if len(group) > 1:
            words = ", ".join(sorted(group)[:4])
            found.doubts.append(f"patients that differ only in writing count as different: {words}")


def _match(found: Labelled, folder: Folder, pattern: re.Pattern) -> None:
    numbers: dict[str, str] = {}
    for row in found.rows:
        match = pattern.search(row["image_path"])
        if match is None or not match[1]:
            raise DataError(
                "PATIENT_PATTERN does not fit a file's name",
                file=folder.path / row["image_path"],
                found=pattern.pattern,
                expected="a pattern that finds the patient in every path",
            )
        row["patient_id"] = numbers.setdefault(match[1], f"P{len(numbers) + 1:04d}")


def _own_split(found: Labelled) -> None:
    """Keep the data set's own split where every slice has one and both sides are there."""
    sides = Counter(row["official_split"] for row in found.rows)
    if set(sides) == {None}:
        return
    if None in sides or not {"train", "test"} <= set(sides):
        counts = ", ".join(f"{name or 'neither'}: {count:,}" for name, count in sides.items())
        found.doubts.append(f"the folder's own split is not used, it is not whole ({counts})")
        for row in found.rows:
            row["official_split"] = None
