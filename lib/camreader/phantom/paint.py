"""Lesions painted into a drawn slice: what makes way for them, their exact masks, how they show.

Tested in tests/phantom/test_write.py, with the files that hold them.
"""

import math

import cv2
import numpy as np
from scipy.ndimage import binary_erosion, binary_opening, distance_transform_edt

from camreader.phantom.abdomen import liver
from camreader.phantom.anatomy import Patient
from camreader.phantom.chest import lung
from camreader.phantom.lesions import Lesion
from camreader.phantom.scanner import Canvas

SMALLEST_AREA_MM2 = 200.0  # a smaller cut is not drawn ...
WHOLE_SHARE = 0.6  # ... nor one of which less is lesion through the slice's whole thickness,
ROOM_SHARE = 0.65  # ... or has room
PUSHED = 1.9  # tissue makes way up to so many radii from the middle
STIFF_HU, STIFF_MM = 420, 8.0  # bone keeps its shape, and so does what is close to it
HAZE_MM = 6.0
ALLOWED_HU = {  # what a lesion may replace; vessels full of contrast, bone and gas stay
    "mediastinum": (-250, 105),
    "abdomen": (-250, 125),
    "pelvis": (-250, 125),
    "soft tissue": (-250, 125),
    "kidney": (-250, 320),
    "bone": (75, 700),
}
LEVELS = {"subtle": 2.0, "moderate": 5.0, "plain": math.inf}  # conspicuity is below so much
MOST_HU, ALIKE_HU, NEAR_MM, LARGE_MM = 200.0, 25.0, 30.0, 40.0


def paint(
    image: np.ndarray,
    canvas: Canvas,
    p: Patient,
    z: float,
    lesion: Lesion,
    taken: np.ndarray | None = None,
) -> np.ndarray:
    """Paint `lesion` into drawn HU (size, size), in place; returns its mask on this slice.

    The mask (bool, size x size) holds the pixels that are at least half lesion; empty where the
    slice meets too little of it (SMALLEST_AREA_MM2 and below), and then nothing is painted.
    taken: pixels of lesions that are painted already and stay where they are.
    """
    empty = np.zeros(image.shape, bool)
    part = _part(canvas, lesion)
    if not lesion.meets(z) or image[part].size < 9:
        return empty
    x, y = (place.astype(np.float32) for place in canvas.places(*part))
    share = lesion.coverage(x, y, z)
    cut = (share >= 0.5).sum()
    thin = (share >= 0.95).sum() < WHOLE_SHARE * cut
    if thin or cut * canvas.pixel_mm**2 < SMALLEST_AREA_MM2:
        return empty
    outline = lesion.beyond(x, y, z)
    fixed = (image[part] > STIFF_HU) | (taken is not None and taken[part])
    piece = make_way(image[part], canvas, lesion, part, outline, fixed)
    share = share * _room(piece, canvas, p, z, lesion.region, part)
    half = canvas.size / 2
    row, column = np.ogrid[part]
    share[np.hypot(row + 0.5 - half, column + 0.5 - half) > half] = 0  # the scanner's circle
    mask = share >= 0.5
    if mask.sum() < max(ROOM_SHARE * cut, SMALLEST_AREA_MM2 / canvas.pixel_mm**2):
        return empty
    _surround(piece, lesion, p, (x, y, z))
    image[part] = piece + (lesion.tissue(x, y, z) - piece) * share
    empty[part] = mask
    return empty


def _part(canvas: Canvas, lesion: Lesion) -> tuple[slice, slice]:
    """The rows and columns (two slices) of the canvas that the lesion can reach."""
    branches = lesion.branches[:, 3].max() if len(lesion.branches) else 0
    reach = max(1.25 * PUSHED * lesion.radii[:2].max(), 1.4 * lesion.radii.max() + branches) + 3
    middle = (lesion.centre[:2] @ canvas.turn - canvas.corner) / canvas.pixel_mm
    first, last = middle - reach / canvas.pixel_mm, middle + reach / canvas.pixel_mm + 1
    (x0, y0), (x1, y1) = np.clip([first, last], 0, canvas.size).astype(int)
    return slice(y0, y1), slice(x0, x1)


def make_way(
    piece: np.ndarray,
    canvas: Canvas,
    lesion: Lesion,
    part: tuple,
    outline: np.ndarray,
    fixed: np.ndarray,
) -> np.ndarray:
    """The tissue of `piece` (HU) pushed outwards: what lay inside the lesion is now round it.

    outline: distance of each pixel from the middle of the cut, 1 on the lesion's surface. Between
    1 and PUSHED tissue is squeezed; what is `fixed` (bool, bone and other lesions) stays.
    """
    if not lesion.look.push:
        return piece.copy()
    start = 1 - lesion.look.push
    whence = start + (outline - 1) * (PUSHED - start) / (PUSHED - 1)
    pull = np.where(outline < 1, start, whence / np.maximum(outline, 1))
    pull = np.where(outline > PUSHED, 1, pull)
    if fixed.any():
        free = distance_transform_edt(~fixed) * canvas.pixel_mm / STIFF_MM
        pull = 1 - (1 - pull) * np.clip(free - 0.2, 0, 1)
    middle = (lesion.centre[:2] @ canvas.turn - canvas.corner) / canvas.pixel_mm - 0.5
    middle -= part[1].start, part[0].start
    rows, columns = np.indices(piece.shape, np.float32)
    across = (middle[0] + (columns - middle[0]) * pull).astype(np.float32)
    down = (middle[1] + (rows - middle[1]) * pull).astype(np.float32)
    return cv2.remap(piece, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _room(
    piece: np.ndarray, canvas: Canvas, p: Patient, z: float, region: str, part: tuple[slice, slice]
) -> np.ndarray:
    """Where in `part` of the slice a lesion of `region` may grow: bool."""
    if region == "lung":
        inside = canvas.mask([lung(p, z, -1), lung(p, z, 1)])
        solid = binary_opening(piece > -400, iterations=max(1, round(3 / canvas.pixel_mm)))
        return inside[part] & ~solid
    if region == "liver":
        return canvas.mask(liver(p, z))[part] & (piece > -40)
    low, high = ALLOWED_HU[region]
    return (piece > low) & (piece < high)


def _surround(
    piece: np.ndarray, lesion: Lesion, p: Patient, places: tuple[np.ndarray, np.ndarray, float]
) -> None:
    """Draw, in place, what goes with a lesion: vessels and spicules in lung, haze in fat."""
    x, y, z = places
    if lesion.look.haze_hu:
        near = np.clip(1 + lesion.depth(x, y, z) / HAZE_MM, 0, 1)
        piece += lesion.look.haze_hu * near * (0.6 + 0.4 * lesion.texture(x, y, z)) * (piece < -60)
    for number, (dx, dy, dz, length, width) in enumerate(lesion.branches.tolist()):
        vessel = number < lesion.look.vessels
        whole = length + lesion.radii[:2].mean()
        px, py = x - lesion.centre[0], y - lesion.centre[1]
        pz = float(z - lesion.centre[2])
        along = np.clip(px * dx + py * dy + pz * dz, 0, whole)
        off = np.hypot(px - along * dx, py - along * dy)
        off = np.hypot(off, np.maximum(np.abs(pz - along * dz) - 1.5, 0))
        radius = width / 2 * (1 if vessel else 1.4 - along / whole)
        share = np.clip((radius - off) / 0.8 + 0.5, 0, 1) * (piece < -250)
        hu = p.hu["heart"] - 60 if vessel else lesion.look.rim_hu - 260
        piece += (hu - piece) * share * (0.8 if vessel else 0.6)


def how_it_shows(
    image: np.ndarray, mask: np.ndarray, taken: np.ndarray, pixel_mm: float, noise_sd: float
) -> dict:
    """What a reader can see of a lesion on one slice, before noise, as a dict.

    image: drawn HU (size, size); mask: the lesion's pixels; taken: those of all lesions, which are
    left out of its surroundings. contrast_hu: mean less the median of the ring 2-6 mm round it;
    inner_sd_hu: SD of its tissue, 2 mm inside its outline; conspicuity and its level: see
    `conspicuity`.
    """
    reach = round(NEAR_MM / pixel_mm) + 2
    y, x = np.nonzero(mask)
    rows = slice(max(0, y.min() - reach), y.max() + reach + 1)
    columns = slice(max(0, x.min() - reach), x.max() + reach + 1)
    image, mask, free = image[rows, columns], mask[rows, columns], ~taken[rows, columns]
    away = distance_transform_edt(~mask) * pixel_mm
    wide = max(6, 1.5 * pixel_mm)  # coarse pixels: the ring is one of them wide
    if not (free & (away > 2) & (away < wide)).any():
        free = ~mask
    ring, near = (image[(away > 2) & (away < far) & free] for far in (wide, NEAR_MM))
    inner = binary_erosion(mask, iterations=max(1, round(2 / pixel_mm)))
    tissue = image[inner if inner.any() else mask]
    facts = {"inner_sd_hu": round(float(tissue.std()), 1)}
    mean, diameter = float(image[mask].mean()), math.sqrt(4 / math.pi * mask.sum()) * pixel_mm
    value = conspicuity(ring - mean, near - mean, diameter, noise_sd)
    level = next(name for name, limit in LEVELS.items() if value < limit)
    contrast = round(mean - float(np.median(ring)), 1)
    return facts | {"contrast_hu": contrast, "conspicuity": round(value, 2), "level": level}


def conspicuity(ring: np.ndarray, near: np.ndarray, diameter_mm: float, noise_sd: float) -> float:
    """How plainly a lesion shows, about 0 to 30: contrast to noise, times size, less look-alikes.

    ring, near: HU less the lesion's mean, of the pixels 2-6 mm and 2-NEAR_MM from it. Contrast is
    the mean step across its border, at most MOST_HU; what counts is contrast to noise times size
    (Rose 1948, J Opt Soc Am 38:196). Tissue of its own density near by hides it (Kundel and Revesz
    1976, AJR 126:1233, conspicuity: contrast over the complexity of what surrounds a lesion).
    """
    step = float(np.minimum(np.abs(ring), MOST_HU).mean())
    alike = float(np.exp(-((near / ALIKE_HU) ** 2) / 2).mean())
    return step / noise_sd * min(diameter_mm, LARGE_MM) / 20 * (1 - alike)
