"""Tumors and cysts of the phantom: how many, how large, and their shape in three dimensions.

Tune difficulty with the constants below (sizes), in `looks` (contrast, edge) and in `sites`
(places).

Tested in tests/phantom/test_write.py, with the files that hold them.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from camreader.phantom.anatomy import Patient
from camreader.phantom.looks import Look, cyst_look, kind_of, look
from camreader.phantom.sites import RANGES, place

SHARES = {  # of patients, by the region of their measured lesion
    "lung": 0.46,
    "liver": 0.34,
    "soft tissue": 0.07,
    "abdomen": 0.04,
    "mediastinum": 0.04,
    "pelvis": 0.02,
    "kidney": 0.02,
    "bone": 0.01,
}
DIAMETER_MM, DIAMETER_SPREAD = 23.5, 0.25  # log-normal, median and spread
DIAMETER_RANGE = (18.0, 65.0)  # mm; the smallest of real ones would be lost at 128 pixels
LARGEST_MM = {"kidney": 50, "mediastinum": 40, "bone": 24, "soft tissue": 45}
CYSTS = {"liver": 0.15, "kidney": 0.3}  # chance of one to three cysts
OTHERS = (0.08, 0.12, 0.16, 0.18, 0.22, 0.24)  # chance of 0, 1, 2, .. further tumors near the first
OTHERS_SAME_REGION = 0.85
OTHERS_MM = 35.0  # how far along z they are spread
ANNOTATED_SHARE = 0.12  # of the further tumors are measured too
TEXTURE_MM, TEXTURE_WAVES = (5.0, 18.0), 12  # wavelengths and number of its plane waves
SLAB_MM = 1.7  # a slice is the mean of three levels so far apart
SOFTER = (2 / np.arange(2, 7)) ** 1.5  # finer bumps of the outline are lower


@dataclass
class Lesion:
    """One tumor or cyst: an ellipsoid with a bumpy surface. Lengths in mm."""

    number: int
    kind: str
    region: str
    annotated: bool
    centre: np.ndarray
    radii: np.ndarray
    look: Look
    angle: float
    bumps: np.ndarray  # (5, 3): amplitude, phase, drift with z
    waves: np.ndarray  # (n, 4): wave vector in rad/mm and phase; none in a cyst
    branches: np.ndarray  # (n, 5): direction x, y, z, length beyond the surface, width

    def meets(self, z: float) -> bool:
        """Whether the level z can cut the lesion."""
        return abs(z - self.centre[2]) <= self.radii[2] * 1.4 + 2

    def coverage(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Share 0..1 of each point (arrays x, y in mm) that is lesion, in a slab round z."""
        slab = [self.depth(x, y, z + step) for step in (-SLAB_MM, 0, SLAB_MM)]
        return np.mean([np.clip(depth / self.look.edge_mm + 0.5, 0, 1) for depth in slab], axis=0)

    def depth(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """How deep each point lies under the surface, mm; negative outside."""
        flat, bump, w = self._polar(x, y, z)
        return (1 - np.sqrt(flat * flat + w**4) / bump) * self.radii[:2].mean()

    def beyond(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Distance of each point from the middle of the cut, 1 on its outline."""
        flat, bump, w = self._polar(x, y, z)
        return flat / np.sqrt(np.maximum(bump * bump - w**4, 0.05))

    def _polar(
        self, x: np.ndarray, y: np.ndarray, z: float
    ) -> tuple[np.ndarray, np.ndarray, float]:
        """In units of the radii: distance in the slice, height of the surface, distance along z."""
        (x0, y0, z0), (a, b, height) = self.centre.tolist(), self.radii.tolist()
        c, s = math.cos(self.angle), math.sin(self.angle)  # plain floats keep float32 points
        dx, dy = x - x0, y - y0
        u, v = (c * dx + s * dy) / a, (c * dy - s * dx) / b
        w = (float(z) - z0) / height
        theta, bump = np.arctan2(v, u), np.ones_like(u)
        for order, (amplitude, phase, drift) in enumerate(self.bumps.tolist(), 2):
            bump = bump + amplitude * np.cos(order * theta + (phase + drift * w))
        return np.sqrt(u * u + v * v), bump, w

    def tissue(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """HU of the lesion's own tissue at each point: rim, core, texture."""
        look, texture = self.look, self.texture(x, y, z)
        depth = self.depth(x, y, z) + look.soft_mm / 4 * texture  # a core's border is uneven
        inner = np.clip((depth - look.rim_mm) / look.soft_mm + 0.5, 0, 1)
        return look.rim_hu + (look.core_hu - look.rim_hu) * inner + look.texture_hu * texture

    def texture(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray | float:
        """Smooth field of unit variance: a sum of plane waves, so that slices fit each other."""
        if not len(self.waves):
            return 0.0
        total = 0
        for kx, ky, kz, phase in self.waves.tolist():
            total = total + np.cos(kx * x + ky * y + (kz * float(z) + phase))
        return math.sqrt(2 / len(self.waves)) * total


def new_lesion(
    rng: np.random.Generator,
    p: Patient,
    number: int,
    kind: str,
    region: str,
    z: float,
    annotated: bool,
    look_kind: str | None = None,
) -> Lesion | None:
    """A lesion of `region` at level z; None where the patient has no room for one."""
    low, high = DIAMETER_RANGE
    diameter = np.clip(DIAMETER_MM * np.exp(rng.normal(0, DIAMETER_SPREAD)), low, high)
    diameter = min(diameter, LARGEST_MM.get(region, high))
    at = place(rng, p, region, z, diameter / 2)
    while at is None:
        diameter *= 0.85
        if diameter < low:
            return None
        at = place(rng, p, region, z, diameter / 2)
    cyst = kind == "cyst"
    flat = rng.uniform(0.9, 1) if cyst else rng.uniform(0.6, 1)
    radii = diameter / 2 * np.array([1, flat, rng.uniform(0.8, 1.1)])
    seen = (
        cyst_look(rng, p)
        if cyst
        else look(rng, p, region, diameter / 2, look_kind or kind_of(rng, region))
    )
    bumps = np.stack(
        [rng.normal(0, seen.rough, 5) * SOFTER, rng.uniform(0, 6.3, 5), rng.normal(0, 1, 5)], 1
    )
    centre = np.array([*at, z + rng.uniform(-1.5, 1.5)])
    turn = float(rng.uniform(0, np.pi))
    waves = texture_waves(rng, 0 if cyst else TEXTURE_WAVES)
    branches = new_branches(rng, seen, centre, diameter / 2)
    return Lesion(
        number, kind, region, annotated, centre, radii, seen, turn, bumps, waves, branches
    )


def texture_waves(rng: np.random.Generator, count: int) -> np.ndarray:
    """Wave vectors (rad/mm) of random direction and wavelength, and phases: (count, 4)."""
    vectors = rng.normal(size=(count, 3))
    lengths = 2 * np.pi / rng.uniform(*TEXTURE_MM, count)
    vectors *= (lengths / np.linalg.norm(vectors, axis=1))[:, None]
    return np.column_stack([vectors, rng.uniform(0, 2 * np.pi, count)])


def new_branches(
    rng: np.random.Generator, seen: Look, centre: np.ndarray, radius: float
) -> np.ndarray:
    """Vessels that lead into a lung nodule, from the hilum, and its spicules: (n, 5)."""
    hilum = np.array([30 * np.sign(centre[0]), 6, 108]) - centre
    rows = []
    for _ in range(seen.vessels):
        towards = hilum / np.linalg.norm(hilum) * rng.choice([1, 1, -0.6]) + rng.normal(0, 0.45, 3)
        towards /= np.linalg.norm(towards)
        rows.append([*towards, rng.uniform(15, 40), rng.uniform(1.8, 3.4)])
    for _ in range(seen.spicules):
        towards = rng.normal(0, (1, 1, 0.35), 3)
        towards /= np.linalg.norm(towards)
        rows.append([*towards, rng.uniform(0.25, 0.8) * radius, rng.uniform(0.7, 1.3)])
    return np.array(rows).reshape(-1, 5)


def new_lesions(rng: np.random.Generator, p: Patient, region: str, z: float) -> list[Lesion]:
    """All tumors and cysts near the level z of the patient's measured lesion, which is first."""
    plans = [("tumor", region, z, True)]
    for _ in range(rng.choice(len(OTHERS), p=OTHERS)):
        level = z + rng.uniform(-OTHERS_MM, OTHERS_MM)
        fitting = [name for name, (low, high) in RANGES.items() if low <= level <= high]
        same = region in fitting and rng.random() < OTHERS_SAME_REGION
        where = region if same else _elsewhere(rng, fitting)
        plans.append(("tumor", where, level, rng.random() < ANNOTATED_SHARE))
    for organ, chance in CYSTS.items():
        for _ in range(int(rng.integers(1, 4)) if rng.random() < chance else 0):
            level = rng.uniform(*RANGES[organ])
            if abs(level - z) < 50:
                plans.append(("cyst", organ, level, False))
    found: list[Lesion] = []
    kinds: dict[str, str] = {}
    for kind, where, level, annotated in plans:
        look_kind = kinds.setdefault(where, kind_of(rng, where))
        lesion = new_lesion(rng, p, len(found) + 1, kind, where, level, annotated, look_kind)
        if lesion is not None and not any(_touch(lesion, other) for other in found):
            found.append(lesion)
        elif not found:
            return []  # no room for the measured one
    return found


def _elsewhere(rng: np.random.Generator, fitting: Sequence[str]) -> str:
    """One of the regions that a level fits, by their shares."""
    shares = np.array([SHARES[name] for name in fitting])
    return str(rng.choice(fitting, p=shares / shares.sum())) if fitting else "soft tissue"


def _touch(one: Lesion, other: Lesion) -> bool:
    gap = (one.centre - other.centre) / (one.radii.max() + other.radii.max())
    return bool(np.linalg.norm(gap) < 1.25)
