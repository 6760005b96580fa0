"""Tumors and cysts of the phantom: where they grow, how well they show, and their exact masks.

Tune difficulty with the constants below: sizes, contrasts, edges.

Tested in tests/phantom/test_write.py, with the files that hold them.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import binary_opening, distance_transform_edt

from camreader.phantom.abdomen import liver
from camreader.phantom.anatomy import Patient
from camreader.phantom.chest import lung
from camreader.phantom.scanner import Canvas
from camreader.phantom.sites import RANGES, place

SHARES = {  # of patients, by the region of their measured lesion
    "lung": 0.27,
    "liver": 0.26,
    "abdomen": 0.13,
    "mediastinum": 0.13,
    "pelvis": 0.08,
    "soft tissue": 0.06,
    "kidney": 0.05,
    "bone": 0.02,
}
DIAMETER_MM, DIAMETER_SPREAD = 27.0, 0.4  # log-normal, median and spread; larger than real
DIAMETER_RANGE = (16.0, 75.0)  # mm
LARGEST_MM = {"kidney": 45, "mediastinum": 45, "bone": 26, "soft tissue": 50}
# A tumor enhances at its rim and has died inside: the one sign that no normal tissue shows.
RIM_MM = 2.8
RIM_STEP, CORE_STEP = 34.0, -102.0  # HU against the organ: liver, kidney
RIM_HU, CORE_HU = 135.0, 12.0  # elsewhere: lung, nodes, soft tissue
BONE_RIM_HU = 650.0
# ... and is mottled: living and dead tissue side by side. Stronger than in most real tumors, so
# that a small network can learn the task from the paper's number of slices within minutes.
MOTTLE_HU, MOTTLE_MM, MOTTLE_WAVES = 155.0, (7.0, 11.0), 18  # SD, wavelengths, plane waves in all
LOWEST_HU = 4.0  # dead tissue is watery, not fat
PLAIN_STEP, PLAIN_HU = -20.0, 60.0  # what rim and core fade into where the sign is faint
CONSPICUITY, CONSPICUITY_SPREAD = 1.0, 0.3  # log-normal factor on the sign's strength
CONSPICUITY_RANGE = (0.4, 1.6)
WITHOUT_AGENT = 0.8  # the sign's strength where no contrast agent was given
EDGE_MM = (0.8, 2.0)  # width of a tumor's edge; a cyst's is CYST_EDGE_MM
CYST_EDGE_MM, CYST_HU = 0.7, (0, 15)
CYST_RIM_SHARE, CYST_RIM_STEP = 0.2, 25.0  # some cysts have a faint rim
CYSTS = {"liver": 0.45, "kidney": 0.55}  # chance of one to three cysts
OTHERS = (0.10, 0.14, 0.17, 0.18, 0.20, 0.21)  # chance of 0, 1, 2, .. further tumors near the first
OTHERS_SAME_REGION = 0.75
OTHERS_MM = 45.0  # how far along z they are spread
ANNOTATED_SHARE = 0.12  # of the further tumors are measured too
SMALLEST_AREA_MM2 = 190.0  # a smaller cut is not drawn


SOFTER = 2 / np.arange(2, 7)  # finer bumps of the outline are lower


@dataclass
class Lesion:
    """One tumor or cyst: an ellipsoid with a bumpy surface. Lengths in mm."""

    number: int
    kind: str
    region: str
    annotated: bool
    centre: np.ndarray
    radii: np.ndarray
    rim_hu: float
    core_hu: float
    strength: float  # of the sign, 1 = as the constants say
    edge_mm: float
    angle: float
    bumps: np.ndarray  # (5, 3): amplitude, phase, drift with z
    waves: np.ndarray  # (n, 4): wave vector in rad/mm and phase; none in a cyst

    def coverage(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Share 0..1 of each point (arrays x, y in mm) that is lesion, in a slab round z."""
        slab = [self._inside(x, y, z + step)[0] for step in (-1.7, 0, 1.7)]
        return np.mean(slab, axis=0)

    def _inside(self, x: np.ndarray, y: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
        """Share of each point that is lesion, and its depth below the surface in mm."""
        turn, (x0, y0, z0), (a, b, height) = (
            float(self.angle),
            self.centre.tolist(),
            self.radii.tolist(),
        )
        c, s = math.cos(turn), math.sin(turn)  # plain floats keep float32 points float32
        dx, dy = x - x0, y - y0
        u, v = (c * dx + s * dy) / a, (c * dy - s * dx) / b
        w = (float(z) - z0) / height
        theta, bump = np.arctan2(v, u), 1
        for order, (amplitude, phase, drift) in enumerate(self.bumps.tolist(), 2):
            bump = bump + amplitude * np.cos(order * theta + (phase + drift * w))
        depth = (1 - np.sqrt(u * u + v * v + w**4) / bump) * ((a + b) / 2)
        return np.clip(depth / self.edge_mm + 0.5, 0, 1), depth

    def tissue(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """HU of the lesion's own tissue at each point: rim, then core."""
        inner = np.clip((self._inside(x, y, z)[1] - RIM_MM) / 0.8 + 0.5, 0, 1)
        return self.rim_hu + (self.core_hu - self.rim_hu) * inner + self._mottle(x, y, z)

    def _mottle(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray | float:
        """Deviation in HU at each point: a sum of plane waves, so that slices fit each other."""
        if not len(self.waves):
            return 0.0
        total = 0
        for kx, ky, kz, phase in self.waves.tolist():
            total = total + np.cos(kx * x + ky * y + (kz * float(z) + phase))
        return MOTTLE_HU * self.strength * math.sqrt(2 / MOTTLE_WAVES) * total


def tumor_hu(rng: np.random.Generator, p: Patient, region: str) -> tuple[float, float, float]:
    """HU of a tumor's rim and core in `region`, and the strength of the sign."""
    strength = CONSPICUITY * np.exp(rng.normal(0, CONSPICUITY_SPREAD))
    strength = float(np.clip(strength * (1 if p.phase else WITHOUT_AGENT), *CONSPICUITY_RANGE))
    if region in ("liver", "kidney"):
        organ = p.hu["liver" if region == "liver" else "cortex"]
        rim, core, plain = organ + RIM_STEP, organ + CORE_STEP, organ + PLAIN_STEP * strength
    else:
        rim, core, plain = RIM_HU, CORE_HU, PLAIN_HU
    if region == "bone":
        rim = BONE_RIM_HU
    rim, core = (plain + strength * (hu - plain) + rng.normal(0, 4) for hu in (rim, core))
    return float(rim), float(max(core, LOWEST_HU)), strength


def cyst_hu(rng: np.random.Generator, p: Patient) -> tuple[float, float, float]:
    """HU of a cyst's wall and water; a few walls show."""
    water = rng.uniform(*CYST_HU)
    shows = rng.random() < CYST_RIM_SHARE
    return (p.hu["liver"] + CYST_RIM_STEP if shows else water), water, float("nan")


def new_lesion(
    rng: np.random.Generator,
    p: Patient,
    number: int,
    kind: str,
    region: str,
    z: float,
    annotated: bool,
) -> Lesion | None:
    """A lesion of `region` at level z; None where the patient has no room for one."""
    low, high = DIAMETER_RANGE
    diameter = np.clip(DIAMETER_MM * np.exp(rng.normal(0, DIAMETER_SPREAD)), low, high)
    diameter = min(diameter, LARGEST_MM.get(region, high))
    for _ in range(3):
        at = place(rng, p, region, z, diameter / 2)
        if at is not None:
            break
        diameter *= 0.6
    else:
        return None
    cyst = kind == "cyst"
    flat = rng.uniform(0.9, 1) if cyst else rng.uniform(0.62, 1)
    radii = diameter / 2 * np.array([1, flat, rng.uniform(0.8, 1.1)])
    rough = 0.012 if cyst else rng.uniform(0.02, 0.07)
    bumps = np.stack(
        [rng.normal(0, rough, 5) * SOFTER, rng.uniform(0, 6.3, 5), rng.normal(0, 1, 5)], 1
    )
    hu = cyst_hu(rng, p) if cyst else tumor_hu(rng, p, region)
    edge = CYST_EDGE_MM if cyst else rng.uniform(*EDGE_MM)
    centre = np.array([*at, z + rng.uniform(-1.5, 1.5)])
    turn = rng.uniform(0, np.pi)
    waves = mottle_waves(rng, 0 if cyst else MOTTLE_WAVES)
    return Lesion(number, kind, region, annotated, centre, radii, *hu, edge, turn, bumps, waves)


def mottle_waves(rng: np.random.Generator, count: int) -> np.ndarray:
    """Wave vectors (rad/mm) of random direction and wavelength, and phases: (count, 4)."""
    vectors = rng.normal(size=(count, 3))
    lengths = 2 * np.pi / rng.uniform(*MOTTLE_MM, count)
    vectors *= (lengths / np.linalg.norm(vectors, axis=1))[:, None]
    return np.column_stack([vectors, rng.uniform(0, 2 * np.pi, count)])


def new_lesions(rng: np.random.Generator, p: Patient, region: str, z: float) -> list[Lesion]:
    """All tumors and cysts near the level z of the patient's measured lesion, which is first."""
    plans = [("tumor", region, z, True)]
    for _ in range(rng.choice(len(OTHERS), p=OTHERS)):
        level = z + rng.uniform(-OTHERS_MM, OTHERS_MM)
        fitting = [name for name, (low, high) in RANGES.items() if low <= level <= high]
        same = region in fitting and rng.random() < OTHERS_SAME_REGION
        where = region if same else str(rng.choice(fitting or ["soft tissue"]))
        plans.append(("tumor", where, level, rng.random() < ANNOTATED_SHARE))
    for organ, chance in CYSTS.items():
        for _ in range(int(rng.integers(1, 4)) if rng.random() < chance else 0):
            level = rng.uniform(*RANGES[organ])
            if abs(level - z) < 50:
                plans.append(("cyst", organ, level, False))
    found: list[Lesion] = []
    for kind, where, level, annotated in plans:
        lesion = new_lesion(rng, p, len(found) + 1, kind, where, level, annotated)
        if lesion is not None and not any(_touch(lesion, other) for other in found):
            found.append(lesion)
    return found


def _touch(one: Lesion, other: Lesion) -> bool:
    gap = (one.centre - other.centre) / (one.radii.max() + other.radii.max())
    return bool(np.linalg.norm(gap) < 1.25)


ALLOWED_HU = {  # what a lesion may replace; vessels full of contrast, bone and gas stay
    "mediastinum": (-250, 105),
    "abdomen": (-250, 125),
    "pelvis": (-250, 125),
    "soft tissue": (-250, 125),
    "kidney": (-250, 320),
    "bone": (75, 700),
}


def paint(image: np.ndarray, canvas: Canvas, p: Patient, z: float, lesion: Lesion) -> np.ndarray:
    """Paint `lesion` into drawn HU (size, size), in place; returns its mask on this slice.

    The mask (bool, size x size) holds the pixels that are at least half lesion; empty where the
    slice meets less than SMALLEST_AREA_MM2 of it, and then nothing is painted.
    """
    empty = np.zeros(image.shape, bool)
    if abs(z - lesion.centre[2]) > lesion.radii[2] * 1.4 + 2:
        return empty
    part = _part(canvas, lesion)
    if image[part].size < 9:
        return empty
    x, y = (place.astype(np.float32) for place in canvas.places(*part))
    share = lesion.coverage(x, y, z) * _room(image, canvas, p, z, lesion.region, part)
    half = canvas.size / 2
    row, column = np.ogrid[part]
    share[np.hypot(row + 0.5 - half, column + 0.5 - half) > half] = 0  # the scanner's circle
    mask = share >= 0.5
    if mask.sum() * canvas.pixel_mm**2 < SMALLEST_AREA_MM2:
        return empty
    image[part] += (lesion.tissue(x, y, z) - image[part]) * share
    empty[part] = mask
    return empty


def _part(canvas: Canvas, lesion: Lesion) -> tuple[slice, slice]:
    """The rows and columns (two slices) of the canvas that the lesion can reach."""
    reach = 1.5 * lesion.radii[:2].max() + 3
    middle = (lesion.centre[:2] @ canvas.turn - canvas.corner) / canvas.pixel_mm
    first, last = middle - reach / canvas.pixel_mm, middle + reach / canvas.pixel_mm + 1
    (x0, y0), (x1, y1) = np.clip([first, last], 0, canvas.size).astype(int)
    return slice(y0, y1), slice(x0, x1)


def _room(
    image: np.ndarray,
    canvas: Canvas,
    p: Patient,
    z: float,
    region: str,
    part: tuple[slice, slice],
) -> np.ndarray:
    """Where in `part` of the slice a lesion of `region` may grow: bool."""
    if region == "lung":
        inside = canvas.mask([lung(p, z, -1), lung(p, z, 1)])
        solid = binary_opening(image[part] > -400, iterations=max(1, round(3 / canvas.pixel_mm)))
        return inside[part] & ~solid
    if region == "liver":
        return canvas.mask(liver(p, z))[part] & (image[part] > -40)
    low, high = ALLOWED_HU[region]
    return (image[part] > low) & (image[part] < high)


def contrast(image: np.ndarray, before: np.ndarray, mask: np.ndarray, pixel_mm: float) -> float:
    """Mean HU of the painted lesion minus the median of the ring 2-6 mm around it, no noise."""
    reach = round(6 / pixel_mm) + 2
    y, x = np.nonzero(mask)
    rows = slice(max(0, y.min() - reach), y.max() + reach + 1)
    columns = slice(max(0, x.min() - reach), x.max() + reach + 1)
    away = distance_transform_edt(~mask[rows, columns]) * pixel_mm
    ring = before[rows, columns][(away > 2) & (away < 6)]
    return float(image[mask].mean() - np.median(ring)) if ring.size else float("nan")
