"""Marks: where on a slice a reader sees something, how sure, and whether a lesion is there.

Coordinates are source pixels of the original slice, counted from 0 at the centre of its first
pixel, as those of boxes are; millimetres are pixels times spacing. A mark is accepted where it lies
inside a lesion's outline (its box, where no outline is known) on the slice it was placed on, or,
if the design says so, within a distance of the lesion's centre.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from camreader.common.errors import DataError
from camreader.session.log import Refused

MODES = {
    "": "no marks",
    "free_response": "any number of suspicious places",
    "lroc": "the one most suspicious place, in every case",
}
LEVELS = 5  # steps of a mark's own confidence
WORDS = ("unsure", "", "fairly", "", "certain")  # of these steps, as of the case's confidence
MOST = 40  # marks of an answer
EDGE = 0.5  # pixels: a lesion reaches to the edges of its outermost pixels
LONGEST_MS = 366 * 86_400_000
FIELDS = {"x", "y", "slice", "confidence", "milliseconds"}


def check_mode(mode: str, within_mm: float) -> None:
    """Raise DataError for a mode or a rule of acceptance that there is not."""
    if mode not in MODES:
        raise DataError(
            "Unknown kind of marks", found=mode, expected=", ".join(filter(None, MODES))
        )
    if not 0 <= within_mm < 1000:
        words = "Marks are accepted within a distance in mm, or 0: inside the lesion"
        raise DataError(words, found=within_mm)


def check_marks(given: Any, mode: str, geometry: Mapping[str, Any]) -> None:
    """Refused, in words, unless `given` are the marks of an answer under `mode`.

    geometry: {"shape": (slices, rows, columns), "spacing_mm": number or None}.
    """
    if not mode:
        if given is not None:
            raise Refused("This study asks for no marks")
        return
    if not isinstance(given, list) or len(given) > MOST:
        raise Refused(f"Marks are a list of at most {MOST}")
    if mode == "lroc" and len(given) != 1:
        raise Refused("Mark the one most suspicious place")
    for mark in given:
        _check_mark(mark, geometry)


def _check_mark(mark: Any, geometry: Mapping[str, Any]) -> None:
    spacing = geometry["spacing_mm"]
    wanted = FIELDS | ({"x_mm", "y_mm"} if spacing else set())
    if not isinstance(mark, dict) or set(mark) != wanted:
        raise Refused(f"A mark has {', '.join(sorted(wanted))}")
    if not all(_is_number(mark[name]) for name in wanted):
        raise Refused("A mark consists of numbers")
    slices, rows, columns = geometry["shape"]
    inside = -EDGE <= mark["x"] <= columns - EDGE and -EDGE <= mark["y"] <= rows - EDGE
    if not (inside and mark["slice"] in range(slices)):
        raise Refused("A mark lies on its slice")
    if mark["confidence"] not in range(1, LEVELS + 1):
        raise Refused(f"Every mark needs a confidence from 1 to {LEVELS}")
    if not 0 <= mark["milliseconds"] <= LONGEST_MS:
        raise Refused("A mark is placed while its case is open")
    for name in ("x", "y") if spacing else ():
        if abs(mark[f"{name}_mm"] - mark[name] * spacing) > 0.01:
            raise Refused("A mark's millimetres are its pixels times the spacing")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def rule_in_words(within_mm: float) -> str:
    """How marks are accepted, as a protocol and a page say it."""
    if within_mm:
        return f"within {within_mm:g} mm of a lesion's centre"
    return "inside a lesion's outline, or its box where no outline is known"


def on_page(mode: str) -> dict[str, Any] | None:
    """What the page needs to know of the marks it may place; None where there are none."""
    return {"mode": mode, "levels": LEVELS, "words": WORDS, "most": MOST} if mode else None


def lesion_of(
    mark: Mapping[str, Any],
    lesions: Sequence[Mapping[str, Any]],
    within_mm: float = 0.0,
    spacing_mm: float | None = None,
    step_mm: float | None = None,
) -> int:
    """Number (from 1) of the lesion that a mark is accepted at, 0 for none; the nearest of several.

    lesions: {"centre": [x, y, slice], "parts": [{"slice", "box", "outline"}]}. spacing_mm: of the
    pixels, step_mm: between slices. DataError where a distance in mm is asked of pixels whose
    size is not known.
    """
    if within_mm and not spacing_mm and lesions:
        words = "Marks cannot be accepted by a distance in mm: the size of a pixel is not known"
        raise DataError(words, expected="MARKS_WITHIN_MM: 0")
    distances = [_distance(mark, lesion, spacing_mm or 1.0, step_mm) for lesion in lesions]
    if within_mm:
        hits = [distance <= within_mm for distance in distances]
    else:
        hits = [_inside(mark, lesion) for lesion in lesions]
    found = [k for k, hit in enumerate(hits) if hit]
    return 1 + min(found, key=lambda k: distances[k]) if found else 0


def _distance(
    mark: Mapping[str, Any], lesion: Mapping[str, Any], spacing: float, step: float | None
) -> float:
    """To the lesion's centre; another slice is out of reach where their distance is not known."""
    x, y, k = lesion["centre"]
    slices = abs(mark["slice"] - k)
    depth = slices * step if step else (math.inf if slices > EDGE else 0.0)
    return math.hypot((mark["x"] - x) * spacing, (mark["y"] - y) * spacing, depth)


def _inside(mark: Mapping[str, Any], lesion: Mapping[str, Any]) -> bool:
    parts = [part for part in lesion["parts"] if part["slice"] == mark["slice"]]
    return any(
        _in_polygon(mark["x"], mark["y"], np.array(part["outline"], float))
        if part.get("outline")
        else _in_box(mark["x"], mark["y"], part["box"])
        for part in parts
    )


def _in_box(x: float, y: float, box: Sequence[float]) -> bool:
    x1, y1, x2, y2 = box
    return bool(x1 - EDGE <= x <= x2 + EDGE and y1 - EDGE <= y <= y2 + EDGE)


def _in_polygon(x: float, y: float, points: np.ndarray) -> bool:
    """Whether a point lies in a polygon (n, 2) through pixel centres, or within EDGE of it."""
    ends = np.roll(points, -1, axis=0)
    along, to = ends - points, np.array([x, y]) - points
    length = np.maximum((along**2).sum(1), 1e-12)
    nearest = np.clip((along * to).sum(1) / length, 0, 1)[:, None] * along
    if np.hypot(*(to - nearest).T).min() <= EDGE:
        return True
    crosses = (points[:, 1] > y) != (ends[:, 1] > y)
    rise = np.where(crosses, along[:, 1], 1)
    return bool((crosses & (to[:, 0] < to[:, 1] * along[:, 0] / rise)).sum() % 2)
