"""Windows: HU (or greys) as brightness between 0 and 1."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from camreader.common.errors import DataError

WINDOWS = {  # centre, width in HU
    "soft tissue": (50, 400),
    "lung": (-600, 1500),
    "liver": (60, 160),
    "bone": (400, 1800),
}


def window(hu: ArrayLike, centre: float, width: float) -> np.ndarray:
    """HU (any shape) as float32 in 0..1, 0 at centre - width/2 and 1 at centre + width/2."""
    low = np.float32(centre - width / 2)
    scaled = (np.asarray(hu, np.float32) - low) / np.float32(width)
    return np.clip(scaled, 0, 1, out=scaled if scaled.ndim else None)


def unit_of(card: Mapping) -> str:
    """What a cohort's values are: "HU", another unit, or "grey" where the images do not say."""
    return card.get("unit", "HU" if card.get("hu", True) else "grey")


def given_window(text: str) -> tuple[float, float]:
    """(centre, width) of a window written as two numbers, such as "60 160"."""
    try:
        centre, width = map(float, text.replace(",", " ").replace("/", " ").split())
    except ValueError:
        width = 0.0
    if not width > 0:
        known = f"{', '.join(WINDOWS)}, or centre and width, such as 60 160"
        raise DataError("WINDOW is not understood", found=text, expected=known)
    return centre, width


def window_for(card: Mapping, name: str) -> tuple[float, float]:
    """(centre, width) of the window called `name`; greys, which are not HU, have their own one.

    name: a key of WINDOWS, or a window's two numbers, which are taken for greys as well.
    """
    if name not in WINDOWS:
        return given_window(name)
    return WINDOWS[name] if unit_of(card) == "HU" else tuple(card["window"])


def for_region(card: Mapping, region: str) -> tuple[str, tuple[float, float]]:
    """(name, (centre, width)) of the window in which slices of a body region are shown.

    A figure, the viewer and a reader see a liver slice alike: in its region's own window where
    there is one, else as soft tissue. Greys have no region's window.
    """
    if unit_of(card) != "HU":
        unit = unit_of(card)
        name = "grey values" if unit.endswith("grey") else f"values in {unit}"
        return name, tuple(card["window"])
    name = region if region in WINDOWS else "soft tissue"
    return name, WINDOWS[name]


def presets(
    unit: str, window: Sequence[float], own: Mapping[str, Sequence[float]] | None = None
) -> dict[str, list[float]]:
    """{name: [centre, width]} a viewer offers: the windows of CT, else the cohort's `own` ones."""
    offered = WINDOWS if unit == "HU" else own or {"full range": window}
    return {name: list(ends) for name, ends in offered.items()}


def model_input(rows: np.ndarray, centre: float, width: float) -> np.ndarray:
    """HU rows (N, S, S) as the network's input: float32 (N, 1, S, S) in 0..1."""
    return window(rows, centre, width)[:, None]
