"""A heat-map over a slice: the one blend of the figures and of the DICOM files.

The viewer does the same in the browser (viewer/static/viewer_pixels.js), where opacity and
threshold are the reader's own.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from camreader.common.errors import DataError
from camreader.common.style import HEAT

OPACITY = 0.65  # of the hottest pixel; elsewhere in proportion, so that anatomy stays visible
THRESHOLD = 0.1  # colder than this: the slice alone


def blend(grey: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) of a slice (H, W) in 0..1 under a map (h, w) in 0..1, enlarged to it."""
    if np.ndim(grey) != 2 or np.ndim(heat) != 2:
        raise DataError("A slice and a map are 2-D", found=(np.shape(grey), np.shape(heat)))
    large = enlarged(heat, grey.shape)
    alpha = (OPACITY * large * (large >= THRESHOLD))[..., None]
    return (plain(grey) * (1 - alpha) + colours(large) * alpha).round().astype(np.uint8)


def layer(heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The same map alone, RGBA uint8 (H, W, 4), to be laid over a slice of `size` (H, W)."""
    large = enlarged(heat, size)
    alpha = 255 * OPACITY * large * (large >= THRESHOLD)
    return np.dstack([colours(large), alpha.round().astype(np.uint8)])


def enlarged(heat: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """A map (h, w) at the size (H, W) of its slice."""
    height, width = size
    return cv2.resize(np.asarray(heat, np.float32), (width, height), interpolation=cv2.INTER_LINEAR)


def plain(grey: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) of a slice (H, W) in 0..1."""
    return np.repeat((255 * np.clip(grey, 0, 1)).round().astype(np.uint8)[..., None], 3, 2)


def colours(heat: np.ndarray) -> np.ndarray:
    """RGB uint8 (..., 3) of heat (...) in 0..1."""
    return (colormaps[HEAT](np.asarray(heat))[..., :3] * 255).round().astype(np.uint8)
