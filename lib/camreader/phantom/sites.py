"""Where in a patient of the phantom tumors and cysts may grow.

A site is looked for on the slice as it is drawn: nodes need fat round them, liver and lung lesions
their organ, so that a lesion lies where there is room for one and not across a bowel or an artery.

Tested in tests/phantom/test_write.py, with the lesions placed there.
"""

from functools import cached_property

import numpy as np
from scipy.ndimage import binary_closing, distance_transform_edt

from camreader.phantom.abdomen import draw_slice, kidneys, liver
from camreader.phantom.anatomy import Patient
from camreader.phantom.chest import lung
from camreader.phantom.scanner import Canvas

RANGES = {  # mm down from the lung tips: where each region's lesions may sit
    "lung": (45, 205),
    "liver": (222, 335),
    "abdomen": (285, 440),
    "mediastinum": (45, 190),
    "pelvis": (470, 585),
    "soft tissue": (40, 560),
    "kidney": (300, 375),
    "bone": (40, 430),
}
CHART = 160  # pixels a side of the coarse slice on which a site is looked for
FAT_HU, LUNG_HU = (-140, -60), (-1000, -500)
# Free tissue round a centre, in radii of the lesion: less where it pushes aside what it touches.
CLEAR = {"lung": 0.95, "liver": 0.75, "soft tissue": 0.4}
CLEAR_IN_FAT = 0.8
VERTEBRA_Y, VERTEBRA_MM = 58.0, 9.0  # the vertebral body's centre and how far a lesion lies off it

# Places in fat: share, the levels z, |x| and y in mm that they lie between.
PLACES = {
    "mediastinum": [
        (0.35, (60, 190), (0, 36), (-80, -36)),  # in front of the great vessels and the heart
        (0.45, (45, 125), (0, 44), (-36, 34)),  # beside the airways
        (0.20, (120, 190), (0, 44), (10, 48)),  # behind the heart
    ],
    "abdomen": [
        (0.50, (285, 440), (0, 46), (-4, 46)),  # beside the great vessels
        (0.14, (285, 312), (24, 60), (12, 48)),  # the adrenals
        (0.18, (285, 440), (0, 75), (-66, -4)),  # mesentery
        (0.18, (285, 440), (70, 130), (-60, 50)),  # flanks: behind and beside the colon
    ],
    "pelvis": [
        (0.85, (470, 585), (36, 92), (-40, 40)),  # along the iliac vessels
        (0.15, (470, 585), (0, 45), (-50, 50)),
    ],
}
AXILLA, AXILLA_SHARE = ((40, 110), (0.86, 1.3), (-45, 40)), 0.6  # |x| in half-widths of the trunk


def place(
    rng: np.random.Generator, p: Patient, region: str, z: float, radius: float
) -> np.ndarray | None:
    """A centre (x, y) for a lesion of `region` and `radius` (mm) at level z, or None."""
    if region == "bone":
        return np.array([0, VERTEBRA_Y + p.back]) + rng.uniform(-1, 1, 2) * VERTEBRA_MM
    chart = Chart(p, z)
    free = chart.free(rng, region)
    room = distance_transform_edt(free) * chart.pixel_mm
    if region == "kidney":  # a mass of the kidney bulges out of it
        fits = free & (room > 0.15 * radius) & (room < 0.15 * radius + 5)
    else:
        wanted = CLEAR.get(region, CLEAR_IN_FAT) * radius
        if region == "soft tissue":  # a lean patient's skin bulges
            wanted = min(wanted, 0.8 * room.max())
        fits = free & (room > wanted)
    rows, columns = np.nonzero(fits)
    if not len(rows):
        return None
    pick = rng.integers(len(rows))
    return np.array([chart.x[rows[pick], columns[pick]], chart.y[rows[pick], columns[pick]]])


class Chart:
    """A coarse slice of patient `p` at z: the place x, y (mm) of every pixel, and its HU."""

    def __init__(self, p: Patient, z: float) -> None:
        self.p, self.z = p, z
        self.pixel_mm = 2.1 * (p.half_width(z) + p.fat_at(z)) / CHART
        self.canvas = Canvas(self.pixel_mm, size=CHART)
        self.x, self.y = self.canvas.places(slice(0, CHART), slice(0, CHART))

    @cached_property
    def hu(self) -> np.ndarray:
        """The slice itself, drawn where a region needs it."""
        draw_slice(self.canvas, self.p, self.z)
        return self.canvas.read()

    def free(self, rng: np.random.Generator, region: str) -> np.ndarray:
        """Where a lesion of `region` has its own tissue round it: bool (CHART, CHART)."""
        p, z = self.p, self.z
        if region == "lung":
            inside = self.canvas.mask([lung(p, z, -1), lung(p, z, 1)]) & self.holds(LUNG_HU)
            return binary_closing(inside)  # a fine vessel is no obstacle
        if region == "liver":
            return self.canvas.mask(liver(p, z))
        if region == "kidney":
            return self.canvas.mask(kidneys(p, z)) & ~self.canvas.mask(liver(p, z))
        fat = self.holds(FAT_HU)
        if region == "soft tissue":
            return fat & self.outside(rng)
        return fat & self.canvas.mask([p.cavity(z)]) & self.window(rng, region)

    def holds(self, hu: tuple[float, float]) -> np.ndarray:
        return (self.hu > hu[0]) & (self.hu < hu[1])

    def window(self, rng: np.random.Generator, region: str) -> np.ndarray:
        """One of the region's places that has this level, by their shares."""
        fitting = [place for place in PLACES[region] if place[1][0] <= self.z <= place[1][1]]
        shares = np.array([place[0] for place in fitting])
        _share, _z, x, y = fitting[rng.choice(len(fitting), p=shares / shares.sum())]
        return self.between(np.abs(self.x), x) & self.between(self.y, y)

    def outside(self, rng: np.random.Generator) -> np.ndarray:
        """Under the skin, or in the armpit where the level has one."""
        p, z = self.p, self.z
        levels, x, y = AXILLA
        if levels[0] <= z <= levels[1] and rng.random() < AXILLA_SHARE:
            wide = np.abs(self.x) / p.half_width(z)
            return self.between(wide, x) & self.between(self.y, y)
        return ~self.canvas.mask([p.wall(z)])

    @staticmethod
    def between(values: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
        return (values > limits[0]) & (values < limits[1])
