"""Tumors and cysts of the phantom: where they grow, how well they show, and their exact masks.

Tune difficulty with the constants below: sizes, contrasts, edges.
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import binary_dilation, binary_opening

from camreader.anatomy import lung
from camreader.organs import dome, liver

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
DIAMETER_MM, DIAMETER_SPREAD = 19.0, 0.62  # log-normal, median and spread: 7-60 mm
DIAMETER_RANGE = (7.0, 75.0)
LARGEST_MM = {"kidney": 45, "mediastinum": 45, "bone": 26, "soft tissue": 50}
LIVER_CONTRAST = (-37.0, 21.0)  # HU, mean and SD
SMALLEST_CONTRAST = 12.0  # HU; a lesion fainter than this nobody could have measured
TISSUE_HU = {"lung": (15, 75), "kidney": (40, 95), "soft tissue": (35, 90)}
NODE_HU = (45, 100)  # mediastinum, abdomen, pelvis, with contrast agent
GROUND_GLASS = 0.10  # share of lung lesions at -550 to -250 HU
SCLEROTIC = 0.4  # share of bone lesions denser than bone
EDGE_MM = (1.0, 3.0)  # width of a tumor's edge; a cyst's is CYST_EDGE_MM
CYST_EDGE_MM, CYST_HU = 0.7, (0, 15)
OTHERS = (0.36, 0.16, 0.14, 0.12, 0.10, 0.12)  # chance of 0, 1, 2, .. further tumors near the first
OTHERS_SAME_REGION = 0.75
OTHERS_MM = 45.0  # how far along z they are spread
ANNOTATED_SHARE = 0.25  # of the further tumors are measured too
CYSTS = {"liver": 0.3, "kidney": 0.4}  # chance of one to three cysts
SMALLEST_AREA_MM2 = 14.0  # a smaller cut is not drawn


@dataclass
class Lesion:
    """One tumor or cyst: an ellipsoid with a bumpy surface. Lengths in mm."""

    number: int
    kind: str
    region: str
    annotated: bool
    centre: np.ndarray
    radii: np.ndarray
    hu: float
    core_hu: float
    edge_mm: float
    angle: float
    bumps: np.ndarray  # (5, 3): amplitude, phase, drift with z

    def coverage(self, x, y, z):
        """Share 0..1 of each point (arrays x, y in mm) that is lesion, in a slab round z."""
        slab = [self._inside(x, y, z + step)[0] for step in (-1.7, 0, 1.7)]
        return np.mean(slab, axis=0)

    def _inside(self, x, y, z):
        c, s = np.cos(self.angle), np.sin(self.angle)
        dx, dy = x - self.centre[0], y - self.centre[1]
        u, v = (c * dx + s * dy) / self.radii[0], (c * dy - s * dx) / self.radii[1]
        w = (z - self.centre[2]) / self.radii[2]
        theta, order = np.arctan2(v, u), np.arange(2, 7)[:, None, None]
        amplitude, phase, drift = self.bumps.T[..., None, None]
        bump = 1 + (amplitude * np.cos(order * theta + phase + drift * w)).sum(0)
        depth = (1 - np.sqrt(u**2 + v**2 + w**2) / bump) * self.radii[:2].mean()
        return np.clip(depth / self.edge_mm + 0.5, 0, 1), depth

    def tissue(self, x, y, z):
        """HU of the lesion's own tissue at each point: rim, and core that may have died."""
        depth = self._inside(x, y, z)[1]
        inner = np.clip(depth / (0.35 * self.radii[:2].mean()) - 0.6, 0, 1)
        return self.hu + (self.core_hu - self.hu) * inner


def contains(outline, x, y):
    """Whether the polygon (n, 2) holds the point: even-odd rule."""
    if len(outline) < 3:
        return False
    x0, y0 = outline.T
    x1, y1 = np.roll(outline, -1, axis=0).T
    crosses = (y0 > y) != (y1 > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
    return bool((crosses & left).sum() % 2)


def in_organ(p, region, x, y, z):
    """Whether a point of the patient is in lung or liver; True for regions without an outline."""
    if region == "lung":
        side = 1 if x > 0 else -1
        return contains(lung(p, z, side), x, y) and not contains(dome(p, z, side), x, y)
    if region == "liver":
        return any(contains(lobe, x, y) for lobe in liver(p, z))
    return True


def place(rng, p, region, z, radius):
    """A centre (x, y) for a lesion of `region` at level z, or None where none fits."""
    for _ in range(60):
        x, y = PLACES[region](rng, p, z)
        reach = 0.75 * radius
        around = [(x, y), (x - reach, y), (x + reach, y), (x, y - reach), (x, y + reach)]
        if all(in_organ(p, region, *point, z) for point in around):
            return np.array([x, y])
    return None


def _side(rng):
    return 1 if rng.random() < 0.5 else -1


def _lung(rng, p, z):
    return _side(rng) * rng.uniform(38, 130) * p.width, rng.uniform(-80, 80)


def _liver(rng, p, z):
    return rng.uniform(-135, 50) * p.width, rng.uniform(-85, 70)


def _mediastinum(rng, p, z):
    stations = [(-20, -12), (-24, 4), (22, -6), (-4, -52), (6, 24), (-42, 14), (44, 16), (12, -48)]
    return np.array(stations[rng.integers(len(stations))]) + rng.normal(0, 4, 2)


def _abdomen(rng, p, z):
    if rng.random() < 0.5:  # beside the great vessels
        return rng.choice([-34, -6, 26]) + rng.normal(0, 4), rng.uniform(2, 26)
    return rng.uniform(-70, 70), rng.uniform(-58, -5)


def _pelvis(rng, p, z):
    if rng.random() < 0.5:  # along the iliac vessels
        return _side(rng) * rng.uniform(48, 72), rng.uniform(-15, 30)
    return rng.uniform(-45, 45), rng.uniform(-45, 40)


def _soft_tissue(rng, p, z):
    outline = p.wall(z, -rng.uniform(-8, 0.8 * p.fat_mm))
    return outline[rng.integers(len(outline))]


def _kidney(rng, p, z):
    turn, side = rng.uniform(0, 2 * np.pi), _side(rng)
    return side * 62 * p.width + 17 * np.cos(turn), 42 + 20 * np.sin(turn)


def _bone(rng, p, z):
    return rng.uniform(-11, 11), 58 + (p.depth - 1) * 90 + rng.uniform(-8, 8)


PLACES = {
    "lung": _lung,
    "liver": _liver,
    "mediastinum": _mediastinum,
    "abdomen": _abdomen,
    "pelvis": _pelvis,
    "soft tissue": _soft_tissue,
    "kidney": _kidney,
    "bone": _bone,
}


def tumor_hu(rng, p, region):
    """HU of a tumor's tissue in `region`, for the patient's contrast phase."""
    if region == "liver":
        step = min(rng.normal(*LIVER_CONTRAST), -SMALLEST_CONTRAST)
        return p.hu["liver"] + (step if rng.random() > 0.04 else -step)
    if region == "lung" and rng.random() < GROUND_GLASS:
        return rng.uniform(-550, -250)
    if region == "bone":
        return rng.uniform(520, 850) if rng.random() < SCLEROTIC else rng.uniform(25, 70)
    hu = rng.uniform(*TISSUE_HU.get(region, NODE_HU))
    return hu if p.phase else 0.3 * hu + 22


def new_lesion(rng, p, number, kind, region, z, annotated):
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
    rough = 0.012 if cyst else rng.uniform(0.03, 0.09)
    bumps = np.stack([rng.normal(0, rough, 5), rng.uniform(0, 6.3, 5), rng.normal(0, 1, 5)], 1)
    hu = rng.uniform(*CYST_HU) if cyst else tumor_hu(rng, p, region)
    dead = not cyst and diameter > 22 and region != "bone" and rng.random() < 0.35
    edge = CYST_EDGE_MM if cyst else rng.uniform(*EDGE_MM)
    centre = np.array([*at, z + rng.uniform(-1.5, 1.5)])
    turn = rng.uniform(0, np.pi)
    core = min(hu, 25.0) if dead else hu
    return Lesion(number, kind, region, annotated, centre, radii, hu, core, edge, turn, bumps)


def new_lesions(rng, p, region, z):
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
    found = []
    for kind, where, level, annotated in plans:
        lesion = new_lesion(rng, p, len(found) + 1, kind, where, level, annotated)
        if lesion is not None:
            found.append(lesion)
    return found


def outline_mask(outlines, canvas):
    """Polygons in mm -> bool (size, size)."""
    image = Image.new("L", (canvas.size, canvas.size))
    for outline in outlines:
        if len(outline) > 2:
            pixels = (outline - canvas.corner) / canvas.pixel_mm - 0.5
            ImageDraw.Draw(image).polygon(pixels.ravel().tolist(), fill=1)
    return np.asarray(image, bool)


ALLOWED_HU = {  # what a lesion may replace; vessels full of contrast, bone and gas stay
    "mediastinum": (-250, 105),
    "abdomen": (-250, 125),
    "pelvis": (-250, 125),
    "soft tissue": (-250, 125),
    "kidney": (-250, 320),
    "bone": (75, 700),
}


def paint(image, canvas, p, z, lesion):
    """Paint `lesion` into drawn HU (size, size), in place; returns its mask on this slice.

    The mask (bool, size x size) holds the pixels that are at least half lesion; empty where the
    slice meets less than SMALLEST_AREA_MM2 of it, and then nothing is painted.
    """
    empty = np.zeros(image.shape, bool)
    if abs(z - lesion.centre[2]) > lesion.radii[2] * 1.4 + 2:
        return empty
    reach = 1.5 * lesion.radii[:2].max() + 3
    first = (lesion.centre[:2] - reach - canvas.corner) / canvas.pixel_mm
    last = first + 2 * reach / canvas.pixel_mm
    x0, y0 = np.clip(first.astype(int), 0, canvas.size)
    x1, y1 = np.clip(last.astype(int) + 1, 0, canvas.size)
    if x1 - x0 < 3 or y1 - y0 < 3:
        return empty
    part = (slice(y0, y1), slice(x0, x1))
    x = canvas.corner[0] + (np.arange(x0, x1) + 0.5) * canvas.pixel_mm
    y = canvas.corner[1] + (np.arange(y0, y1) + 0.5) * canvas.pixel_mm
    x, y = np.meshgrid(x, y)
    share = lesion.coverage(x, y, z) * _room(image, canvas, p, z, lesion.region, part)
    middle = (canvas.size / 2 - 0.5) * canvas.pixel_mm + canvas.corner
    share[np.hypot(x - middle[0], y - middle[1]) > canvas.size / 2 * canvas.pixel_mm] = 0
    mask = share >= 0.5
    if mask.sum() * canvas.pixel_mm**2 < SMALLEST_AREA_MM2:
        return empty
    image[part] += (lesion.tissue(x, y, z) - image[part]) * share
    empty[part] = mask
    return empty


def _room(image, canvas, p, z, region, part):
    """Where in `part` of the slice a lesion of `region` may grow: bool."""
    if region == "lung":
        inside = outline_mask([lung(p, z, -1), lung(p, z, 1)], canvas)
        solid = binary_opening(image[part] > -400, iterations=max(1, round(3 / canvas.pixel_mm)))
        return inside[part] & ~solid
    if region == "liver":
        return outline_mask(liver(p, z), canvas)[part] & (image[part] > -40)
    low, high = ALLOWED_HU[region]
    return (image[part] > low) & (image[part] < high)


def contrast(image, before, mask, pixel_mm):
    """Mean HU of the painted lesion minus that of the ring 2-6 mm around it, free of noise."""
    near = binary_dilation(mask, iterations=max(1, round(2 / pixel_mm)))
    ring = binary_dilation(near, iterations=max(1, round(4 / pixel_mm))) & ~near
    return float(image[mask].mean() - before[ring].mean()) if ring.any() else float("nan")
