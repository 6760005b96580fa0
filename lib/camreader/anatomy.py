"""A patient drawn slice by slice: trunk wall, chest, bones. The belly's organs are in organs.py.

One frame for all patients, in mm: x to the patient's left, y to the back, z from the lung tips
down (lungs 0-270, liver 190-350, kidneys 290-390, pelvis 440-620). `Patient` holds what differs:
size, fat, sex, contrast phase and the random shape of everything.
"""

import zlib
from dataclasses import dataclass, field

import numpy as np

LEVELS = (-40, 0, 40, 90, 150, 200, 260, 330, 400, 450, 500, 560, 640)
WALL_X = (176, 160, 151, 149, 149, 147, 143, 138, 137, 145, 160, 168, 165)  # outer muscle, mm
WALL_Y = (75, 88, 98, 105, 108, 107, 103, 98, 95, 97, 102, 100, 95)
PHASES = {  # HU without contrast, arterial, portal venous
    "aorta": (40, 290, 150),
    "vein": (38, 90, 140),
    "heart": (42, 220, 145),
    "muscle_heart": (40, 95, 110),
    "liver": (56, 66, 108),
    "portal": (38, 105, 158),
    "spleen": (48, 112, 120),
    "cortex": (33, 165, 185),
    "medulla": (31, 70, 160),
    "bowel": (38, 75, 80),
    "muscle": (50, 56, 61),
    "gland": (38, 80, 85),
}


def smooth(points, rounds=2):
    """Round a polygon's corners (Chaikin 1974, corner cutting): points (n, 2) -> (4n, 2)."""
    points = np.asarray(points, float)
    for _ in range(rounds):
        following = np.roll(points, -1, axis=0)
        cut = np.stack([0.75 * points + 0.25 * following, 0.25 * points + 0.75 * following], 1)
        points = cut.reshape(-1, 2)
    return points


def grow_tree(rng, targets, root, leaf_mm=0.45):
    """Vessel tree from `root` to every target (n, 3): segments (n, 7) x, y, z, x, y, z, radius.

    Each target joins the nearest node already reached; a branch's cross-section carries all its
    leaves (Murray 1926: radius cubed is additive).
    """
    targets = targets[np.argsort(np.linalg.norm(targets - root, axis=1))]
    nodes = np.vstack([root, targets])
    parent = np.zeros(len(nodes), int)
    for i in range(1, len(nodes)):
        gap = np.linalg.norm(nodes[:i] - nodes[i], axis=1)
        parent[i] = np.argmin(gap * rng.uniform(0.8, 1.25, i))
    leaves = np.ones(len(nodes))
    for i in range(len(nodes) - 1, 0, -1):
        leaves[parent[i]] += leaves[i]
    radius = leaf_mm * np.cbrt(leaves)
    return np.hstack([nodes[parent[1:]], nodes[1:], radius[1:, None]])


@dataclass
class Patient:
    """What makes one patient; everything else follows from `seed`."""

    seed: int
    sex: str
    width: float  # of the trunk, 1 = average
    depth: float
    fat_mm: float
    phase: int  # 0 none, 1 arterial, 2 portal venous
    arms_down: bool
    oral_contrast: float  # HU of the bowel's content, about 10 without
    lung_hu: float
    hu: dict = field(default_factory=dict)
    trees: dict = field(default_factory=dict)
    waves: dict = field(default_factory=dict)

    def rng(self, name):
        """A generator of this patient's own for the thing called `name`."""
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def number(self, name, low, high):
        """This patient's own value of `name`, uniform between low and high."""
        return float(self.rng(name).uniform(low, high))

    def blob(self, name, centre, radii, z=0.0, angle=0.0, rough=0.05, points=36):
        """A wobbly ellipse (points, 2) whose wobble is the patient's own and drifts with z."""
        if name not in self.waves:
            rng = self.rng(name)
            self.waves[name] = rng.normal(size=(4, 2)), rng.uniform(0, 6.3, 4), rng.normal(size=4)
        amplitude, shift, drift = self.waves[name]
        t = np.linspace(0, 2 * np.pi, points, endpoint=False)
        order = np.arange(2, 6)[:, None]
        wave = amplitude[:, :1] * np.cos(order * t + shift[:, None] + drift[:, None] * z / 25)
        r = 1 + rough * (wave / order).sum(0)
        x, y = radii[0] * r * np.cos(t), radii[1] * r * np.sin(t)
        c, s = np.cos(angle), np.sin(angle)
        return np.stack([centre[0] + c * x - s * y, centre[1] + s * x + c * y], 1)

    def ball(self, name, centre, radii, z, angle=0.0, rough=0.05, points=28):
        """Cut through a wobbly 3-D ellipsoid at z: (points, 2), or (0, 2) where it is not met."""
        left = 1 - ((z - centre[2]) / radii[2]) ** 2
        if left <= 0.01:
            return np.empty((0, 2))
        scale = np.sqrt(left)
        return self.blob(
            name, centre[:2], (radii[0] * scale, radii[1] * scale), z, angle, rough, points
        )

    def wall(self, z, inset=0.0, points=72):
        """Outline of the trunk's muscle at z, `inset` mm inwards: (points, 2), from the left."""
        a = np.interp(z, LEVELS, WALL_X) * self.width - inset
        b = np.interp(z, LEVELS, WALL_Y) * self.depth - inset
        t = np.linspace(0, 2 * np.pi, points, endpoint=False)
        power = 2 / 2.35
        x = a * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** power
        y = b * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** power
        dip = 7 * np.exp(-((x / 14) ** 2)) * (y > 0)  # the furrow of the back
        return np.stack([x, y - dip], 1)

    def cavity(self, z, points=72):
        """Outline of the chest or belly cavity at z: behind it lie spine and back muscles."""
        chest = np.interp(z, [230, 300], [1, 0])
        outline = self.wall(z, 14 + 6 * chest, points)
        back = outline[:, 1] > 0
        outline[back, 1] *= 0.86
        return outline


def new_patient(rng, seed):
    """Draw a patient's build, sex, contrast phase and tissue HU from `rng`."""
    sex = "F" if rng.random() < 0.45 else "M"
    phase = int(rng.choice(3, p=(0.12, 0.12, 0.76)))
    oral = rng.choice([12.0, rng.uniform(150, 380)], p=(0.4, 0.6))
    patient = Patient(
        seed=seed,
        sex=sex,
        width=rng.normal(1.0 if sex == "M" else 0.93, 0.05),
        depth=rng.normal(1.0, 0.06),
        fat_mm=float(np.clip(rng.lognormal(np.log(17), 0.45), 6, 45)),
        phase=phase,
        arms_down=bool(rng.random() < 0.08),
        oral_contrast=float(oral),
        lung_hu=rng.normal(-850, 25),
    )
    warmth = rng.normal(1, 0.08)
    for tissue, values in PHASES.items():
        patient.hu[tissue] = values[phase] * (warmth if phase and values[2] > 62 else 1)
        patient.hu[tissue] += rng.normal(0, 4 if tissue != "muscle" else 2)
    if rng.random() < 0.15:
        patient.hu["liver"] -= 25  # fatty liver
    patient.hu["fat"] = rng.normal(-103, 5)
    return patient


def draw_tree(canvas, tree, z, thickness, hu, background):
    """Draw what a slab of a vessel tree shows: dots and streaks, thin ones fainter."""
    low = np.minimum(tree[:, 2], tree[:, 5]) - tree[:, 6]
    high = np.maximum(tree[:, 2], tree[:, 5]) + tree[:, 6]
    for x0, y0, z0, x1, y1, z1, r in tree[(low < z + thickness / 2) & (high > z - thickness / 2)]:
        span = (z1 - z0) or 1e-6
        cuts = np.clip([(z - thickness / 2 - z0) / span, (z + thickness / 2 - z0) / span], 0, 1)
        ends = [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in cuts]
        shade = background + (hu - background) * min(1, 0.25 + 0.6 * r)
        canvas.stroke(ends, 2 * r, shade)
        if r > 0.8:
            for x, y in ends:
                canvas.disc(x, y, r, shade)


def draw_wall(canvas, p, z):
    """Skin, fat under it, and the muscles of the trunk."""
    fat = p.fat_mm * np.interp(
        z, LEVELS, (0.6, 0.6, 0.6, 0.7, 0.8, 0.8, 1, 1.1, 1.1, 1.1, 1.2, 1.2, 1.1)
    )
    skin = p.wall(z, -fat - 2)
    if p.sex == "F" and 70 < z < 190:
        draw_breasts(canvas, p, z, fat)
    canvas.fill(skin, 5)
    canvas.fill(p.wall(z, -fat), p.hu["fat"])
    if p.arms_down:
        draw_arms(canvas, p, z)
    muscle = p.hu["muscle"]
    canvas.fill(p.wall(z), muscle)
    plane = p.wall(z, 5 if z < 240 else 5.5)
    canvas.stroke(np.vstack([plane, plane[:1]]), 1.2, -60)
    if z < 140:
        draw_shoulder_muscles(canvas, p, z)
    if z > 260:
        plane = p.wall(z, 9)
        canvas.stroke(np.vstack([plane, plane[:1]]), 0.8, -40)


def draw_breasts(canvas, p, z, fat):
    scale = np.sqrt(max(0.0, 1 - ((z - 130) / 62) ** 2))
    size = p.number("breast", 0.5, 1.3) * scale
    front = np.interp(z, LEVELS, WALL_Y) * p.depth + fat
    for side in (-1, 1):
        centre = side * 82 * p.width, -front + 18
        radii = 62 * size, 48 * size
        canvas.fill(p.blob(f"breast{side}", centre, radii, z), 5)
        canvas.fill(p.blob(f"breast{side}", centre, (radii[0] - 2, radii[1] - 2), z), p.hu["fat"])
        rng = p.rng(f"gland{side}")
        for _ in range(int(rng.integers(3, 16))):
            at = np.array(centre) + rng.normal(0, 0.32, 2) * radii
            bend = at + rng.normal(0, 9, (3, 2)) * scale
            canvas.stroke(bend, rng.uniform(1, 4) * scale, rng.uniform(-60, 25))


def draw_arms(canvas, p, z):
    for side in (-1, 1):
        x = side * (np.interp(z, LEVELS, WALL_X) * p.width + p.fat_mm + 48)
        canvas.fill(p.blob(f"arm{side}", (x, 12), (44, 48), z), 5)
        canvas.fill(p.blob(f"arm{side}", (x, 12), (42, 46), z), p.hu["fat"])
        canvas.fill(p.blob(f"armm{side}", (x, 12), (33, 37), z, rough=0.1), p.hu["muscle"])
        canvas.disc(x, 14, 11, 900)
        canvas.disc(x, 14, 6, 60)


def draw_shoulder_muscles(canvas, p, z):
    """Pectorals, shoulder blade and the muscles around it, with fat between them."""
    fade = np.clip((150 - z) / 110, 0, 1)
    b = np.interp(z, LEVELS, WALL_Y) * p.depth
    a = np.interp(z, LEVELS, WALL_X) * p.width
    for side in (-1, 1):
        canvas.fill(
            p.blob(f"gap{side}", (side * a * 0.93, 25), (27 * fade + 4, 40), z), p.hu["fat"]
        )
        canvas.fill(
            p.blob(f"pec{side}", (side * 75, -b * 0.86), (48, 5 + 11 * fade), z, side * 0.32, 0.06),
            p.hu["muscle"],
        )
        canvas.fill(
            p.blob(f"lat{side}", (side * a * 0.97, 42), (20 * fade + 5, 33), z, side * 0.5, 0.1),
            p.hu["muscle"],
        )
        canvas.fill(
            p.blob(f"sub{side}", (side * a * 0.78, 62), (27, 9 + 8 * fade), z, -side * 0.75, 0.08),
            p.hu["muscle"] + 2,
        )
        blade = np.array([(0.66, 84), (0.8, 70), (0.9, 52), (0.93, 38)]) * (a * side, 1)
        if z < 115:
            canvas.stroke(blade, 5, 520)
            canvas.stroke(blade, 1.8, 190)


def lung(p, z, side):
    """Outline of one lung at z (n, 2); empty outside 0-275 mm."""
    if not 2 < z < 275:
        return np.empty((0, 2))
    outline = p.cavity(z, 90)
    outline = outline[outline[:, 0] * side > 14]
    tip = np.sqrt(np.clip(z / 55, 0.02, 1))
    order = np.argsort(np.arctan2(outline[:, 1], outline[:, 0] * side))
    outline = outline[order]
    y = np.linspace(outline[-1, 1] - 6, outline[0, 1] + 4, 8)[:, None]
    medial = np.hstack([side * np.interp(y, [-90, -40, 0, 40, 80], [6, 26, 30, 24, 26]), y])
    shape = np.vstack([outline, medial])
    centre = np.array([side * 72 * p.width, 8])
    return smooth(centre + (shape - centre) * tip, 1)


def lung_tree(p, side):
    """The lung's vessels as segments (n, 7), grown once per patient."""
    name = f"lung{side}"
    if name not in p.trees:
        rng = p.rng(name)
        points = rng.uniform((22, -95, 12), (150, 95, 255), (1500, 3))
        a = (np.interp(points[:, 2], LEVELS, WALL_X) * p.width - 24) * np.clip(
            points[:, 2] / 50, 0.3, 1
        )
        b = (np.interp(points[:, 2], LEVELS, WALL_Y) * p.depth - 24) * np.clip(
            points[:, 2] / 50, 0.4, 1
        )
        inside = (points[:, 0] / a) ** 2 + ((points[:, 1] - 4) / b) ** 2 < 0.9
        points = points[inside][:420] * (side, 1, 1)
        p.trees[name] = grow_tree(rng, points, np.array([side * 30.0, 6, 108]))
    return p.trees[name]


def draw_lungs(canvas, p, z):
    for side in (-1, 1):
        outline = lung(p, z, side)
        if len(outline):
            canvas.fill(outline, p.lung_hu)
            draw_tree(canvas, lung_tree(p, side), z, 5, p.hu["heart"], p.lung_hu)
