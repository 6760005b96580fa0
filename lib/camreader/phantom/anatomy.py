"""A patient: build, contrast phase, tissue HU, and shapes that are the patient's own.

One frame for all patients, in mm: x to the patient's left, y to the back, z from the lung tips
down (lungs 0-270, liver 190-350, kidneys 290-390, pelvis 440-620).
"""

import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

if TYPE_CHECKING:
    from camreader.phantom.scanner import Canvas

LEVELS = (-40, 0, 40, 90, 150, 200, 260, 330, 400, 450, 500, 560, 640)
WALL_X = (176, 160, 151, 149, 149, 147, 143, 138, 137, 145, 160, 168, 165)  # muscle, half-width
WALL_Y = (75, 88, 98, 105, 108, 107, 103, 98, 95, 97, 102, 100, 95)
FAT = (0.6, 0.6, 0.6, 0.7, 0.8, 0.8, 1, 1.1, 1.1, 1.1, 1.2, 1.2, 1.1)  # of fat_mm
PHASES = {  # HU without contrast agent, arterial, portal venous
    "aorta": (40, 290, 150),
    "vein": (38, 90, 140),
    "heart": (42, 220, 145),
    "muscle_heart": (40, 95, 110),
    "liver": (56, 66, 108),
    "portal": (38, 105, 162),
    "spleen": (48, 112, 120),
    "cortex": (33, 165, 185),
    "medulla": (31, 125, 165),
    "bowel": (38, 46, 50),
    "muscle": (50, 56, 61),
    "gland": (38, 95, 108),
}
PHASE_SHARES = (0.05, 0.05, 0.90)  # as at the hospital that DeepLesion comes from
BACK = 1.15  # the trunk's back half is this much deeper than its front
BEND_MM = 1.6  # no organ is an ellipse: how far tissue lies from where it was drawn


def smooth(points: ArrayLike, rounds: int = 2) -> np.ndarray:
    """Round a polygon's corners (Chaikin 1974, corner cutting): points (n, 2) -> (4n, 2)."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        points = cut.reshape(-1, 2)
    return points


def grow_tree(
    rng: np.random.Generator,
    targets: np.ndarray,
    root: np.ndarray,
    leaf_mm: float = 0.45,
    together: int = 24,
) -> np.ndarray:
    """Vessel tree from `root` to every target (n, 3): segments (n, 7) x, y, z, x, y, z, radius.

    From the root outwards, each target joins the nearest node already reached; a branch's
    radius cubed is the sum of its leaves' (Murray 1926, PNAS 12:207).
    """
    targets = targets[np.argsort(np.linalg.norm(targets - root, axis=1))]
    nodes = np.vstack([root, targets])
    parent = np.zeros(len(nodes), int)
    for first in range(1, len(nodes), together):
        few = nodes[first : first + together]
        gap = cdist(few, nodes[:first])
        parent[first : first + together] = np.argmin(gap * rng.uniform(0.8, 1.2, gap.shape), 1)
    leaves = np.ones(len(nodes))
    for i in range(len(nodes) - 1, 0, -1):
        leaves[parent[i]] += leaves[i]
    return np.hstack([nodes[parent[1:]], nodes[1:], leaf_mm * np.cbrt(leaves[1:, None])])


@dataclass
class Patient:
    """What makes one patient; every shape follows from `seed` and the shape's name."""

    seed: int
    sex: str
    width: float  # of the trunk, 1 = average
    depth: float
    fat_mm: float
    phase: int  # 0 none, 1 arterial, 2 portal venous
    arms_down: bool
    oral_hu: float  # the bowel's content, about 10 without oral contrast agent
    lung_hu: float
    hu: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Any] = field(default_factory=dict)  # trees, waves and numbers already drawn

    def rng(self, name: str) -> np.random.Generator:
        """A generator of this patient's own for the thing called `name`."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def keep(self, name: str, make: Callable[[np.random.Generator], Any]) -> Any:
        """`make(rng)`, once per patient and name."""
        if name not in self.kept:
            self.kept[name] = make(self.rng(name))
        return self.kept[name]

    def number(self, name: str, low: float, high: float) -> float:
        """This patient's own value of `name`, uniform between low and high."""
        return low + (high - low) * self.keep(f"number {name}", lambda rng: float(rng.random()))

    def blob(
        self,
        name: str,
        centre: Sequence[float] | np.ndarray,
        radii: Sequence[float] | np.ndarray,
        z: float = 0.0,
        angle: float = 0.0,
        rough: float = 0.05,
        points: int = 32,
    ) -> np.ndarray:
        """A wobbly ellipse (points, 2) whose wobble is the patient's own and drifts with z."""
        amplitude, shift, drift = self.keep(
            f"wave {name}", lambda r: (r.normal(size=4), r.uniform(0, 6.3, 4), r.normal(size=4))
        )
        t = np.linspace(0, 2 * np.pi, points, endpoint=False)
        order = np.arange(2, 6)
        wave = np.cos(t[:, None] * order + shift + drift * (z / 25)) @ (amplitude / order)
        r = 1 + rough * np.clip(wave, -3, 3)
        x, y = radii[0] * r * np.cos(t), radii[1] * r * np.sin(t)
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], 1)

    def ball(
        self,
        name: str,
        centre: Sequence[float] | np.ndarray,
        radii: Sequence[float] | np.ndarray,
        z: float,
        angle: float = 0.0,
        rough: float = 0.05,
        points: int = 28,
    ) -> np.ndarray:
        """Cut through a wobbly 3-D ellipsoid at z: (points, 2), or (0, 2) where it is not met."""
        left = 1 - ((z - centre[2]) / radii[2]) ** 2
        if left <= 0.01 or min(radii) <= 0:
            return np.empty((0, 2))
        cut = radii[0] * np.sqrt(left), radii[1] * np.sqrt(left)
        return self.blob(name, centre[:2], cut, z, angle, rough, points)

    def half_width(self, z: float | np.ndarray) -> Any:
        return np.interp(z, LEVELS, WALL_X) * self.width

    def half_depth(self, z: float | np.ndarray) -> Any:
        return np.interp(z, LEVELS, WALL_Y) * self.depth

    def fat_at(self, z: float) -> float:
        """Thickness of the fat under the skin, mm."""
        return self.fat_mm * float(np.interp(z, LEVELS, FAT))

    @property
    def back(self) -> float:
        """How far a deep trunk's spine lies behind the average one's, mm."""
        return (self.depth - 1) * 90

    def wall_at(self, t: np.ndarray, z: float, inset: float = 0.0) -> np.ndarray:
        """Points of the muscle wall at angles t (radians; 0 left, pi/2 back), `inset` mm in."""
        power = 2 / 2.35
        x = (self.half_width(z) - inset) * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
        deep = np.where(np.sin(t) > 0, BACK, 1) * self.half_depth(z) - inset
        y = deep * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
        furrow = 6 * np.exp(-((x / 14) ** 2)) * (y > 0)
        bend = self.keep("bend", lambda rng: rng.normal(0, (0.012, 0.008, 0.008)))
        r = 1 + bend[0] * np.cos(2 * t + 1) + bend[1] * np.cos(3 * t) + bend[2] * np.sin(4 * t)
        return np.stack([x * r, y * r - furrow], 1)

    def wall(self, z: float, inset: float = 0.0, points: int = 72) -> np.ndarray:
        """Outline of the trunk's muscle wall at z, `inset` mm inwards: (points, 2)."""
        return self.wall_at(np.linspace(0, 2 * np.pi, points, endpoint=False), z, inset)

    def strip(
        self,
        z: float,
        side: int,
        first: float,
        last: float,
        thickness: float,
        inset: float = 0.0,
        points: int = 14,
    ) -> np.ndarray:
        """A flat muscle along the wall between two angles (degrees on the left), lens-shaped."""
        u = np.linspace(-1, 1, points)
        t = np.deg2rad((first + last) / 2 + u * (last - first) / 2)
        t = t if side > 0 else np.pi - t
        outer = self.wall_at(t, z, inset)
        inner = self.wall_at(t, z, inset + thickness)
        shape = np.sqrt(1 - np.abs(u[:, None]) ** 3)
        return np.vstack([outer, (outer + (inner - outer) * shape)[::-1]])

    def cavity(self, z: float, points: int = 72) -> np.ndarray:
        """Outline of the chest or belly cavity at z: behind it lie spine and back muscles."""
        outline = self.wall(z, 15 + 3 * float(np.interp(z, [230, 300], [1, 0])), points)
        spine = np.exp(-((outline[:, 0] / 45) ** 4))
        behind = outline[:, 1] > 0
        outline[behind, 1] *= 0.93 - 0.12 * spine[behind]
        return outline

    def bend(self, x: np.ndarray, y: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
        """How far (dx, dy in mm) tissue drawn at x, y (arrays) lies off; nil at the skin."""
        wave = self.keep("warp", lambda rng: rng.normal(0, (1 / 22, 1 / 22, 1 / 40, 3), (14, 4)))
        phase = x[..., None] * wave[:, 0] + y[..., None] * wave[:, 1] + z * wave[:, 2] + wave[:, 3]
        deep = np.where(y > 0, BACK, 1) * self.half_depth(z) + self.fat_at(z)
        out = np.hypot(x / (self.half_width(z) + self.fat_at(z)), y / deep)
        inside = np.clip((1 - out) / 0.15, 0, 1) * BEND_MM * np.sqrt(2 / len(wave))
        return inside * np.sin(phase).sum(-1), inside * np.cos(phase).sum(-1)


def new_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient's build, sex, contrast phase and tissue HU."""
    sex = "F" if rng.random() < 0.45 else "M"
    phase = int(rng.choice(3, p=PHASE_SHARES))
    patient = Patient(
        seed=int(rng.integers(2**31)),
        sex=sex,
        width=rng.normal(1.0 if sex == "M" else 0.93, 0.05),
        depth=rng.normal(1.0, 0.06),
        fat_mm=float(np.clip(rng.lognormal(np.log(17), 0.45), 6, 45)),
        phase=phase,
        arms_down=bool(rng.random() < 0.05),
        oral_hu=rng.uniform(150, 380) if rng.random() < 0.8 else 12.0,
        lung_hu=rng.normal(-855, 22),
    )
    warmth = rng.normal(1, 0.08)
    for tissue, values in PHASES.items():
        enhanced = phase and values[2] > 62
        patient.hu[tissue] = values[phase] * (warmth if enhanced else 1)
        patient.hu[tissue] += rng.normal(0, 2 if tissue == "muscle" else 4)
    if rng.random() < 0.08:
        patient.hu["liver"] -= 30  # fatty liver
    patient.hu["fat"] = rng.normal(-103, 5)
    return patient


def slab(tree: np.ndarray, z: float, thickness: float) -> Iterator[tuple[np.ndarray, float]]:
    """The pieces of a vessel tree inside a slab: list of two (x, y) ends and radius, mm."""
    low = np.minimum(tree[:, 2], tree[:, 5]) - tree[:, 6]
    high = np.maximum(tree[:, 2], tree[:, 5]) + tree[:, 6]
    near = tree[(low < z + thickness / 2) & (high > z - thickness / 2)]
    start, step, radius = near[:, :3], near[:, 3:6] - near[:, :3], near[:, 6]
    rise = np.where(np.abs(step[:, 2]) < 1e-6, 1e-6, step[:, 2])
    cuts = [np.clip((z + t * thickness / 2 - start[:, 2]) / rise, 0, 1) for t in (-1, 1)]
    ends = np.stack([start[:, :2] + cut[:, None] * step[:, :2] for cut in cuts], 1)
    return zip(ends, radius, strict=True)


def draw_tree(
    canvas: "Canvas", tree: np.ndarray, z: float, hu: float, background: float, thickness: float = 5
) -> None:
    """Draw what a slice shows of a vessel tree: dots and streaks, thin ones fainter."""
    for ends, r in slab(tree, z, thickness):
        shade = background + (hu - background) * min(1, 0.25 + 2.4 * r / thickness)
        canvas.stroke(ends, 2 * r, shade)
        if r > 0.7:
            for x, y in ends:
                canvas.disc(x, y, r, shade)
