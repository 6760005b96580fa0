"""The slices above and below a case, for readers who scroll: context of its key slice.

What is asked, known and marked stays that of the key slice: in data sets of single annotated
slices nobody knows what the neighbours hold, and the length of a stack must not tell it either.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from camreader.cohorts import deeplesion, dicom, pixels
from camreader.common.errors import DataError
from camreader.phantom.neighbours import Body
from camreader.phantom.tables import STEP_MM


@dataclass(frozen=True)
class Stack:
    """images: int16 HU (slices, H, W). key: place of the case's own slice. step_mm: between
    slices, None where it is not known."""

    images: np.ndarray
    key: int
    step_mm: float | None


def of_cases(
    cases: pd.DataFrame, cohort: pd.DataFrame, source: str | Path, reach: int
) -> list[Stack | None]:
    """Per case its stack of up to `reach` slices to either side; None where it has no neighbour.

    cases, cohort: image_path, series_id, slice_index. Neighbours are numbered files beside the
    case's (DeepLesion), levels of the same patient (phantom; drawn where they are not on disk), or
    slices of the same series in the cohort (DICOM). A stack ends where a number is missing.
    """
    source, steps = Path(source), _steps(Path(source))
    bodies: dict[str, Body] = {}
    found: list[Stack | None] = []
    for row in cases.itertuples():
        path = Path(str(row.image_path))
        if (source / "phantom.json").exists():
            series = path.parent.name
            body = bodies.setdefault(series, Body(source, series))
            found.append(_of_phantom(body, int(path.stem), reach))
            continue
        around = (_files(source, path) if steps else {}) or _rows(cohort, row)
        found.append(_read(source, path, around, reach, steps.get(path.parent.name)))
    return found


def sides(source: str | Path, paths: Sequence[str]) -> str:
    """The patient's sides at the left and right edge of the pictures, "RL" or "LR"; "" where they
    are not known, or not the same on all: plain images say nothing of them."""
    source = Path(source)
    if (source / "phantom.json").exists():
        return "RL"  # drawn as seen from the feet, with the liver on the left of the picture
    found = set()
    for path in paths:
        try:
            found.add(dicom.left_edge(source / path))
        except DataError:
            found.add("")
    return {"R": "RL", "L": "LR"}.get(found.pop(), "") if len(found) == 1 else ""


def _of_phantom(body: Body, index: int, reach: int) -> Stack:
    levels = [k for k in body.levels if abs(k - index) <= reach]
    images = np.stack([body.slice(k)[0] for k in levels])
    return Stack(images, levels.index(index), float(STEP_MM))


def _files(source: Path, path: Path) -> dict[int, str]:
    """{number: path} of the numbered images beside a case's own; {} where it has no number."""
    if not re.fullmatch(r"\d+", path.stem):
        return {}
    beside = (source / path).parent.glob(f"*{path.suffix}")
    return {
        int(found.stem): str(path.with_name(found.name)) for found in beside if found.stem.isdigit()
    }


def _rows(cohort: pd.DataFrame, row: Any) -> dict[int, str]:
    """{number: path} of the slices of a case's series that are in the cohort."""
    if pd.isna(row.series_id) or not row.series_id:
        return {}
    own = cohort[(cohort["series_id"] == row.series_id) & cohort["slice_index"].notna()]
    numbers = own["slice_index"].astype(int)
    if numbers.duplicated().any():
        return {}
    return dict(zip(numbers, own["image_path"].astype(str), strict=True))


def _read(
    source: Path, path: Path, around: dict[int, str], reach: int, step: float | None
) -> Stack | None:
    """The unbroken run of slices round a case, of its size; None where it stands alone."""
    own = [number for number, name in around.items() if name == str(path)]
    if not own:
        return None
    first = last = own[0]
    while first - 1 in around and own[0] - (first - 1) <= reach:
        first -= 1
    while last + 1 in around and (last + 1) - own[0] <= reach:
        last += 1
    names = [around[number] for number in range(first, last + 1)]
    if len(names) < 2:
        return None
    images = [pixels.read_hu(source / name) for name in names]
    if len({image.shape for image in images}) > 1:
        raise DataError("Slices of one series differ in size", file=source / path.parent)
    step = step if step else _dicom_step(source, names)
    return Stack(np.stack(images).astype(np.int16), own[0] - first, step)


def _steps(source: Path) -> dict[str, float]:
    """{series: mm between its slices} by DL_info.csv; {} where there is none."""
    table = source / "DL_info.csv"
    if not table.exists():
        return {}
    info = deeplesion.read_info(table)
    return dict(zip(info["series_id"], info["spacing_z"].astype(float), strict=True))


def _dicom_step(source: Path, names: Sequence[str]) -> float | None:
    """The distance of the first two slices by their headers; None for other files."""
    try:
        heads = [dicom.header(source / name) for name in names[:2]]
    except DataError:
        return None
    places = [head.get("z") for head in heads]
    first, second = (np.nan if z is None else float(z) for z in places)
    step = abs(second - first)
    return step if step > 0 else None
