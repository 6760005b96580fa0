"""Values in their own unit as whole steps of 16 bit, in which every slice is kept and copied."""

import math
from pathlib import Path

import numpy as np

from camreader.cohorts.dicom_image import BACKGROUND
from camreader.common.errors import DataError


def step_of(low: float, high: float, whole: bool) -> float:
    """What one stored step is worth, so that values from low to high fit into -1024..32767.

    1 for whole values that fit; else the smallest of 1, 2, 2.5 and 5 times a power of ten that
    does.
    """
    needed = max(high / 32767, low / BACKGROUND)
    if whole and needed <= 1:
        return 1.0
    if needed <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(needed))
    return next(power * k for k in (1, 2, 2.5, 5, 10, 20) if power * k >= needed)


def named(unit: str, step: float) -> str:
    """A unit's name where one stored step is worth `step` of it."""
    return unit if step == 1 else f"\u00d7 {step:g} {unit}"


def stored(own: np.ndarray, path: str | Path, step: float = 1.0) -> np.ndarray:
    """int16 of values in their own unit: rounded to whole steps, nothing below -1024.

    DataError where they do not fit: a background that no header declares, or values of no scanner.
    """
    whole = own if step == 1 and own.dtype.kind in "iu" else np.rint(own / step)
    fits = whole.dtype == np.int16 or (whole.min() >= -32768 and whole.max() <= 32767)
    if not fits:
        raise DataError(
            "Values do not fit an image",
            file=path,
            column="RescaleSlope",
            found=f"values from {whole.min():.0f} to {whole.max():.0f}",
            expected="HU or steps within 16 bit; is the background marked, by PixelPaddingValue?",
        )
    if whole.min() < BACKGROUND:
        whole = np.maximum(whole, BACKGROUND)
    return whole.astype(np.int16, copy=False)
