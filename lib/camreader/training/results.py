"""Results without their network: a folder of probabilities and heat-maps from any program.

    predictions.csv     image, probability, and if wanted class (the answer) and map (a file)
    maps/               one map per image, named as the image is: .png, .npy, .nii, .nii.gz, .dcm
    maps.npy            instead: all maps (n, h, w), in the order of predictions.csv

A map is a single channel of the size of its image, or of the study's own image size. What is above
0 is heat; each map is divided by its maximum. Nothing in these files can run code.
"""

import functools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from camreader.cohorts import cohort, image_files, pixels
from camreader.cohorts.classes import Classes
from camreader.cohorts.folder import Folder
from camreader.common.errors import DataError
from camreader.common.rows import Cell, read_rows
from camreader.common.storage import PNG_BEGINS, atomic_path
from camreader.common.study import Study
from camreader.common.text import counted
from camreader.training.description import Description

TABLE, STACK, FOLDER, KEPT = "predictions.csv", "maps.npy", "maps", "maps.npy"
ENDINGS = (".png", ".npy", ".nii", ".nii.gz", ".dcm")
SYNONYMS = {
    "image": ("file", "filename", "file_name", "slice", "slice_id", "image_path"),
    "probability": ("prob", "score", "p"),
    "class": ("predicted", "prediction", "answer", "label"),
    "map": ("heatmap", "heat_map", "map_path"),
}
SURE = 1e-6  # probabilities of 0 and 1 have no finite logit


def check_folder(folder: str | Path) -> None:
    """DataError where the table or the maps of a folder of results cannot be what is needed."""
    cells = list(_table(folder))
    _probabilities(cells)
    _files(Path(folder), cells)


def take(study: Study, own: Description, frame: pd.DataFrame, where: Path) -> pd.DataFrame:
    """slice_id, logit, probability and predicted of every slice of a cohort, in its order.

    Writes the maps (n, S, S) float16 to `where`/maps.npy. Slices that the table does not name must
    not be tested: they are those outside the test part of a split that came with the data, and
    get a probability of a half. DataError names the row, or what is missing.
    """
    folder, cells = Path(own.target), list(_table(own.target))
    probabilities, files = _probabilities(cells), _files(folder, cells)
    rows = _matched(cells, frame, _names(study, own))
    _all_there(study, frame, rows)
    answers = pd.DataFrame({"slice_id": frame["slice_id"], "probability": 0.5})
    answers.loc[rows, "probability"] = probabilities
    sure = answers["probability"].clip(SURE, 1 - SURE)
    answers["logit"] = np.log(sure / (1 - sure))
    answers["predicted"] = (answers["probability"] >= 0.5).astype(int)
    if "class" in cells[0].cells:
        answers.loc[rows, "predicted"] = _answers(cells, study.card)
    with atomic_path(where / KEPT) as temporary:
        shape = np.load(study.pixels, mmap_mode="r").shape
        maps = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
        for row, cell, found in zip(rows, cells, files, strict=True):
            maps[row] = fitted(found(), frame.iloc[row], shape[1], cell)
        maps.flush()
    return answers


def _table(folder: str | Path) -> list[Cell]:
    table = read_rows(
        Path(folder) / TABLE, ("image", "probability"), TABLE, ("class", "map"), SYNONYMS
    )
    return list(table.cells())


def _probabilities(cells: list[Cell]) -> list[float]:
    return [cell.numbers("probability", 1, 0, 1)[0] for cell in cells]


def _answers(cells: list[Cell], card: Mapping) -> list[int]:
    """0 or 1 per row of the column `class`; a class of the data is what CLASSES maps it to."""
    words = Classes(card.get("finding", "tumor"), card.get("classes"))
    plain, found = Classes(card.get("finding", "tumor")), []
    for cell in cells:
        label = words.label(cell.cells["class"])
        label = plain.label(cell.cells["class"]) if label is None else label
        if label not in (0, 1):
            raise cell.wrong("class", words.expected())
        found.append(int(label))
    return found


def _names(study: Study, own: Description) -> dict[str, str]:
    """{path in the folder that 01 read: slice_id}; empty where that folder is not named."""
    return cohort.slice_names(own.source, study.card) if own.source else {}


def _matched(cells: list[Cell], frame: pd.DataFrame, names: Mapping[str, str]) -> list[int]:
    """Row of the cohort that each row of the table is about."""
    places = {slice_id: row for row, slice_id in enumerate(frame["slice_id"])}
    known = dict(places)
    for row, path in enumerate(frame["image_path"]):
        known.setdefault(path, row)
        known.setdefault(path.partition("/")[2], row)
    known |= {path: places[slice_id] for path, slice_id in names.items() if slice_id in places}
    found: dict[int, int] = {}
    for cell in cells:
        name = cell.text("image").replace("\\", "/")
        stem = PurePosixPath(name).stem if "/" not in name else ""
        place = known.get(name, known.get(stem))
        if place is None:
            expected = "a slice_id such as " + frame["slice_id"].iloc[0]
            raise cell.wrong(
                "image", expected + (", or a path in the source folder" if names else "")
            )
        if place in found:
            raise cell.wrong("image", f"each image once; row {found[place]} has it too")
        found[place] = cell.row
    return list(found)


def _all_there(study: Study, frame: pd.DataFrame, rows: list[int]) -> None:
    """DataError where a slice that is tested has no result."""
    tested = np.ones(len(frame), bool)
    if study.card.get("own_split"):
        tested = (frame["official_split"] == "test").to_numpy()
    tested[rows] = False
    if tested.any():
        raise DataError(
            f"{TABLE} lacks {counted(int(tested.sum()), 'slice')} of {len(frame)}",
            found=f"no row for {frame['slice_id'][tested].iloc[0]}",
            expected="a row for each, or left-out slices would choose the result",
        )


def _files(folder: Path, cells: list[Cell]) -> list:
    """A function per row that reads its map; DataError where their number is not that of rows."""
    if (folder / STACK).is_file():
        return _stack(folder / STACK, len(cells))
    names = Folder(folder / FOLDER).files if (folder / FOLDER).is_dir() else []
    there = {f"{FOLDER}/{name}": folder / FOLDER / name for name in names}
    by_stem: dict[str, Path] = {}
    for name, path in there.items():
        ending = next((end for end in ENDINGS if name.lower().endswith(end)), "")
        if ending:
            by_stem[name[: -len(ending)].removeprefix(f"{FOLDER}/")] = path
    found: list[Path | None] = []
    for cell in cells:
        named, image = cell.text("map"), cell.text("image").replace("\\", "/")
        inside = [there[n] for n in (named, f"{FOLDER}/{named}") if named and n in there]
        bare = str(PurePosixPath(image).with_suffix("")) if PurePosixPath(image).suffix else image
        alike = by_stem.get(bare, by_stem.get(PurePosixPath(bare).name))
        found.append(inside[0] if inside else None if named else alike)
    if None in found:
        missing = [cell for cell, path in zip(cells, found, strict=True) if path is None]
        raise DataError(
            f"{TABLE} names {counted(len(cells), 'image')}, but {len(missing)} of them have no map",
            row=missing[0].row,
            found=f"{len(by_stem)} maps in {FOLDER}/",
            expected=f"{FOLDER}/{PurePosixPath(missing[0].text('image')).stem} with "
            f"{', '.join(ENDINGS)}; or all in {STACK}",
        )
    return [functools.partial(read_map, path) for path in found if path is not None]


def _stack(path: Path, count: int) -> list:
    try:
        stack = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"Maps cannot be read: {error}", file=path.name) from None
    if stack.ndim != 3 or len(stack) != count:
        raise DataError(
            f"{TABLE} names {counted(count, 'image')}, but {STACK} holds another number of maps",
            found=stack.shape,
            expected=f"({count}, height, width)",
        )
    return [lambda row=row: np.asarray(stack[row], np.float32) for row in range(count)]


def read_map(path: Path) -> np.ndarray:
    """One map, float32 (h, w), of a PNG, npy, NIfTI or DICOM file; DataError for another."""
    name = path.name.lower()
    try:
        if name.endswith(".npy"):
            values = np.load(path, allow_pickle=False)
        elif name.endswith((".nii", ".nii.gz")):
            values = _nifti(path)
        elif name.endswith(".dcm"):
            values = _dicom(path)
        else:
            values = _png(path)
    except DataError:
        raise
    except Exception as error:  # each library has its own errors for a damaged file
        raise DataError(f"Map cannot be read: {error}", file=path.name) from None
    values = np.squeeze(np.asarray(values))
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        words = "A map has one channel"
        raise DataError(words, file=path.name, found=values.shape, expected="(height, width)")
    return values.astype(np.float32)


def _png(path: Path) -> np.ndarray:
    data = path.read_bytes()
    if not data.startswith(PNG_BEGINS):
        raise DataError("Map cannot be read: no image, or damaged", file=path.name)
    values = image_files.decode_png(data, path.name)
    if values.ndim == 3:
        colours = values[..., : 1 if values.shape[2] == 2 else 3]  # two: grey with alpha
        if not (colours == values[..., :1]).all():
            words = "A map is in colour: a picture of heat, not heat"
            raise DataError(words, file=path.name, expected="one channel, brighter where hotter")
        values = values[..., 0]
    return values


def _nifti(path: Path) -> np.ndarray:
    """Values (rows, columns) of a NIfTI file, whose first axis is the column."""
    try:
        import nibabel
    except ImportError:
        words = "Maps in NIfTI need the package nibabel, which is not installed"
        raise DataError(words, file=path.name, expected="pip install nibabel") from None
    return np.squeeze(np.asanyarray(nibabel.load(path).dataobj)).T  # type: ignore[attr-defined]


def _dicom(path: Path) -> np.ndarray:
    import pydicom

    data = pydicom.dcmread(path)
    slope, intercept = (
        float(data.get(k, d)) for k, d in (("RescaleSlope", 1), ("RescaleIntercept", 0))
    )
    return data.pixel_array.astype(np.float32) * slope + intercept


def fitted(values: np.ndarray, case: pd.Series, size: int, cell: Cell) -> np.ndarray:
    """A map (h, w) as the study keeps it: (size, size), its positive part over its maximum.

    case: the cohort's row, with width and height of the image, which may have been padded to a
    square; the map then is. DataError for another size, or values that are not finite.
    """
    full, shape = (int(case["height"]), int(case["width"])), values.shape
    padded = full[0] == full[1] == max(shape)
    if shape != (size, size) and shape != full and not padded:
        raise DataError(
            "A map has another size than its image",
            file=TABLE,
            row=cell.row,
            found=f"{shape[0]} x {shape[1]}",
            expected=f"{full[0]} x {full[1]} as the image, or {size} x {size}",
        )
    if not np.isfinite(values).all():
        words = "A map has values that are not finite"
        raise DataError(words, file=TABLE, row=cell.row)
    if shape != (size, size):
        values = pixels.shrink(pixels.squared(values, 0)[0], size)
    heat = np.maximum(values, 0)
    return heat / heat.max() if heat.max() > 0 else heat


def maps_of(where: str | Path) -> np.ndarray:
    """The maps that a run's folder keeps, float16 (n, S, S), in the order of the cohort."""
    return np.load(Path(where) / KEPT, mmap_mode="r", allow_pickle=False)
