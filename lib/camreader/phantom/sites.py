"""Where in a patient of the phantom tumors and cysts may grow.

Tested in tests/phantom/test_write.py, with the lesions placed there.
"""

from collections.abc import Callable, Iterable

import numpy as np

from camreader.phantom.abdomen import dome, liver
from camreader.phantom.anatomy import Patient
from camreader.phantom.chest import lung

RANGES = {  # mm down from the lung tips: where each region's lesions may sit
    "lung": (45, 235),
    "liver": (222, 335),
    "abdomen": (290, 440),
    "mediastinum": (45, 190),
    "pelvis": (470, 585),
    "soft tissue": (40, 560),
    "kidney": (300, 375),
    "bone": (40, 430),
}


def contains(outline: np.ndarray, x: float, y: float) -> bool:
    """Whether the polygon (n, 2) holds the point: even-odd rule."""
    if len(outline) < 3:
        return False
    x0, y0 = outline.T
    x1, y1 = np.roll(outline, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
    return bool((crosses & left).sum() % 2)


def in_organ(p: Patient, region: str, x: float, y: float, z: float) -> bool:
    """Whether a point of the patient is in lung or liver; True for regions without an outline."""
    if region == "lung":
        side = 1 if x > 0 else -1
        return contains(lung(p, z, side), x, y) and not contains(dome(p, z, side), x, y)
    if region == "liver":
        return any(contains(lobe, x, y) for lobe in liver(p, z))
    return True


def place(
    rng: np.random.Generator, p: Patient, region: str, z: float, radius: float
) -> np.ndarray | None:
    """A centre (x, y) for a lesion of `region` at level z, or None where none fits."""
    for _ in range(60):
        x, y = PLACES[region](rng, p, z)
        reach = 0.75 * radius
        around = [(x, y), (x - reach, y), (x + reach, y), (x, y - reach), (x, y + reach)]
        if all(in_organ(p, region, *point, z) for point in around):
            return np.array([x, y])
    return None


def _side(rng: np.random.Generator) -> int:
    return 1 if rng.random() < 0.5 else -1


def _lung(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    return _side(rng) * rng.uniform(38, 130) * p.width, rng.uniform(-80, 80)


def _liver(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    return rng.uniform(-135, 50) * p.width, rng.uniform(-85, 70)


def _mediastinum(rng: np.random.Generator, p: Patient, z: float) -> np.ndarray:
    stations = [(-20, -12), (-24, 4), (22, -6), (-4, -52), (6, 24), (-42, 14), (44, 16), (12, -48)]
    return np.array(stations[rng.integers(len(stations))]) + rng.normal(0, 4, 2)


def _abdomen(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    if rng.random() < 0.5:  # beside the great vessels
        return rng.choice([-34, -6, 26]) + rng.normal(0, 4), rng.uniform(2, 26)
    return rng.uniform(-70, 70), rng.uniform(-58, -5)


def _pelvis(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    if rng.random() < 0.5:  # along the iliac vessels
        return _side(rng) * rng.uniform(48, 72), rng.uniform(-15, 30)
    return rng.uniform(-45, 45), rng.uniform(-45, 40)


def _soft_tissue(rng: np.random.Generator, p: Patient, z: float) -> np.ndarray:
    outline = p.wall(z, -rng.uniform(-8, 0.8 * p.fat_mm))
    return outline[rng.integers(len(outline))]


def _kidney(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    turn, side = rng.uniform(0, 2 * np.pi), _side(rng)
    return side * 62 * p.width + 17 * np.cos(turn), 42 + 20 * np.sin(turn)


def _bone(rng: np.random.Generator, p: Patient, z: float) -> tuple[float, float]:
    return rng.uniform(-11, 11), 58 + (p.depth - 1) * 90 + rng.uniform(-8, 8)


PLACES: dict[str, Callable[[np.random.Generator, Patient, float], Iterable[float]]] = {
    "lung": _lung,
    "liver": _liver,
    "mediastinum": _mediastinum,
    "abdomen": _abdomen,
    "pelvis": _pelvis,
    "soft tissue": _soft_tissue,
    "kidney": _kidney,
    "bone": _bone,
}
