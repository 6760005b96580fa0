"""Below the diaphragm: liver, spleen, kidneys, gut, vessels, bladder; and the whole slice."""

from collections.abc import Sequence

import numpy as np

from camreader.phantom import chest, trunk
from camreader.phantom.anatomy import Patient, draw_tree, grow_tree, smooth
from camreader.phantom.scanner import Canvas

SMALL = 140  # bulges of small bowel; gas is rare in them
NEVER_EMPTY = ("stomach", "rectum")


def draw_slice(canvas: Canvas, p: Patient, z: float) -> None:
    """Draw patient `p` at level z (mm): everything but table, lesions and noise."""
    trunk.draw_skin(canvas, p, z)
    trunk.draw_muscles(canvas, p, z)
    chest.draw_lungs(canvas, p, z)
    if z < 275:
        trunk.draw_ribs(canvas, p, z)
    if z < 225:
        chest.draw_mediastinum(canvas, p, z)
    if z > 440:
        trunk.draw_pelvic_wall(canvas, p, z)
    if z > 180:
        draw_belly(canvas, p, z)
    if z > 495:
        draw_pelvic_organs(canvas, p, z)
    trunk.draw_back(canvas, p, z)


def dome(p: Patient, z: float, side: int) -> np.ndarray:
    """Outline of the belly under one half of the diaphragm at z, rising into the chest."""
    top = 196 + (side > 0) * 14 + p.number("breath", -14, 14)
    t = np.clip((z - top) / 75, 0, 1)
    if t <= 0:
        return np.empty((0, 2))
    outline = p.cavity(z, 90)
    outline = outline[outline[:, 0] * side > -8]
    outline = outline[np.argsort(np.arctan2(outline[:, 1], outline[:, 0] * side))]
    centre = np.array([side * 60 * p.width, -52])  # the lungs reach lowest at the back
    return centre + (outline - centre) * np.sqrt(1 - (1 - t) ** 2)


def draw_belly(canvas: Canvas, p: Patient, z: float) -> None:
    for side in (1, -1):
        under = dome(p, z, side)
        if len(under) > 8 and z < 290:
            canvas.fill(smooth(under, 1), p.hu["fat"])
            canvas.stroke(under, 2.2, p.hu["muscle"])
    if 222 < z < 290:
        inside = p.cavity(z)
        canvas.fill(inside[np.abs(inside[:, 0]) < 75 * p.width], p.hu["fat"])
    draw_gut(canvas, p, z)
    draw_vessels(canvas, p, z)
    draw_spleen_pancreas(canvas, p, z)
    draw_kidneys(canvas, p, z)
    draw_liver(canvas, p, z)


def liver(p: Patient, z: float) -> list[np.ndarray]:
    """Right and left lobe of the liver at z: list of outlines (n, 2)."""
    lobes = []
    under = dome(p, z, -1)
    bottom = 352 + p.number("liver", -18, 22)
    left = np.sqrt(np.clip((bottom - z) / 95, 0, 1))
    if len(under) > 8 and left > 0.15:
        outer = under[under[:, 0] < -16]
        shape = np.vstack([outer, [(-22, 45), (-28, 12), (-6, -8), (2, -48)]])
        shape = shape[np.argsort(np.arctan2(*(shape - shape.mean(0)).T))]
        wobble = p.blob("liver", (0, 0), (1, 1), z, rough=0.06, points=len(shape))
        centre = np.array([-88 * p.width, 12])
        shape = centre + (shape - centre) * 0.965 * min(1, left) ** 0.8
        lobes.append(smooth(shape + 2 * wobble, 2))
    reach = p.number("left lobe", 25, 80)
    size = np.sqrt(max(0.0, 1 - ((z - 250) / 48) ** 2))
    if size > 0.2:
        b, tip = p.half_depth(z) - 22, reach * size
        wedge = [(-30, -10), (-34, -b * 0.9), (0, -b), (tip, -b * 0.88), (tip * 0.8, -b * 0.6)]
        lobes.append(smooth([*wedge, (4, -18)], 3))
    return lobes


def liver_trees(p: Patient) -> tuple[np.ndarray, np.ndarray]:
    """Portal and hepatic veins as segments, grown once per patient."""

    def grow(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        points = rng.uniform((-150, -85, 205), (30, 75, 345), (900, 3))
        where = (points - (-72 * p.width, -5, 272)) / (66, 72, 78)
        points = points[(where**2).sum(1) < 0.85]
        portal = grow_tree(rng, points[:90], np.array([-28.0, 4, 285]), 0.85, 8)
        hepatic = grow_tree(rng, points[90:150], np.array([-22.0, 22, 214]), 1.0, 8)
        return portal, hepatic

    return p.keep("liver trees", grow)


def draw_liver(canvas: Canvas, p: Patient, z: float) -> None:
    lobes = liver(p, z)
    for lobe in lobes:
        canvas.fill(lobe, p.hu["liver"])
    if lobes:
        portal, hepatic = liver_trees(p)
        draw_tree(canvas, portal, z, p.hu["portal"], p.hu["liver"])
        draw_tree(canvas, hepatic, z, p.hu["portal"] - 8, p.hu["liver"])
        fissure = p.ball("fissure", (-14, -38, 270), (4, 24, 30), z, 0.3)
        canvas.fill(fissure, p.hu["fat"] + 20)
    bag = (-48, -38, 318), (13, 20, 26)
    canvas.fill(p.ball("gallbladder", *bag, z, 0.5), 35)
    canvas.fill(p.ball("gallbladder", bag[0], (11.5, 18.5, 25), z, 0.5), p.number("bile", 4, 14))


def draw_vessels(canvas: Canvas, p: Patient, z: float) -> None:
    """Aorta, cava and the branches to gut and kidneys; iliac vessels below."""
    artery, vein = p.hu["aorta"], p.hu["vein"]
    if z < 425:
        x = float(np.interp(z, [180, 260, 420], [20, 10, 4]))
        y = float(np.interp(z, [180, 280], [36, 26]))
        r = float(np.interp(z, [200, 420], [11.5, 8.5])) * p.number("aorta", 0.85, 1.15)
        canvas.fill(p.blob("descending", (x, y), (r, r), z, rough=0.03), artery)
        if p.number("calcium", 0, 1) < 0.35 and int(z / 9) % 2:
            canvas.stroke([(x - r, y + 4), (x - r, y - 2), (x - 6, y - 8)], 2, 650)
        blood = vein if z > 290 else p.hu["portal"] - 8
        canvas.fill(p.blob("ivc", (-21, 24), (13, 10), z, rough=0.1), blood)
    else:
        spread = float(np.interp(z, [425, 600], [12, 78]))
        y = float(np.interp(z, [425, 480, 600], [28, 32, -52]))
        for side in (-1, 1):
            canvas.fill(p.blob(f"iliac a{side}", (side * spread, y), (6, 6), z), artery)
            canvas.fill(p.blob(f"iliac v{side}", (side * (spread - 4), y + 14), (8, 7), z), vein)
    if 285 < z < 420:
        canvas.disc(2, -4, 4, artery)
        canvas.disc(-10, -6, 5.5, p.hu["portal"])
    if 305 < z < 318:
        canvas.stroke([(-14, 18), (8, 9), (40, 38)], 7, vein)

    def grow(rng: np.random.Generator) -> np.ndarray:
        points = rng.uniform((-85, -80, 300), (85, 10, 500), (320, 3)) * (p.width, 1, 1)
        return grow_tree(rng, points, np.array([0.0, -4, 300]), 0.5)

    draw_tree(canvas, p.keep("mesentery", grow), z, vein - 10, p.hu["fat"])


def draw_spleen_pancreas(canvas: Canvas, p: Patient, z: float) -> None:
    breath = p.number("breath", -14, 14)
    size = p.number("spleen", 0.75, 1.25)
    centre = (p.half_width(z) - 46, 34, 272 + breath)
    spleen = p.ball("spleen", centre, (22, 46, 52 * size), z, 0.3, 0.12)
    canvas.fill(spleen, p.hu["spleen"])
    if 272 < z - breath < 318:
        pancreas = [(-34, 2), (-20, -12), (20, -16), (52, 2), (70, 18), (64, 26), (40, 12), (4, -2)]
        shape = smooth([*pancreas, (-22, 12)], 2)
        ripple = p.blob("pancreas", (0, 0), (1, 1), z, rough=0.25, points=len(shape))
        canvas.fill(shape + 2.2 * ripple + (0, p.number("pancreas", -6, 4)), p.hu["gland"] + 5)
        canvas.stroke([(-14, 0), (12, 0), (40, 10), (62, 24)], 6, p.hu["portal"])


def kidneys(p: Patient, z: float) -> list[np.ndarray]:
    """Outlines of the right and left kidney at z: list of (n, 2), empty where none is met."""
    found = []
    for side, (x, y, low) in _kidney_places(p, z):
        radii = np.array([25, 31, 54]) * p.number("kidney", 0.88, 1.1)
        found.append(p.ball(f"kidney{side}", (x, y, low), radii, z, side * 0.5, 0.06))
    return found


def _kidney_places(p: Patient, z: float) -> list[tuple[int, tuple[float, float, float]]]:
    """(side, centre) of each kidney at z: moved by breath, its lower pole further outwards."""
    breath, found = p.number("breath", -14, 14), []
    for side, level in ((-1, 342), (1, 332)):
        x = 72 * p.width + 0.12 * (z - level - breath)
        found.append((side, (side * x, 42 + p.back, level + breath)))
    return found


def draw_kidneys(canvas: Canvas, p: Patient, z: float) -> None:
    """Kidneys in their fat: cortex, medulla, sinus; adrenals above."""
    breath = p.number("breath", -14, 14)
    for (side, (x, y, low)), kidney in zip(_kidney_places(p, z), kidneys(p, z), strict=True):
        canvas.fill(p.ball(f"perirenal{side}", (x, y, low), (38, 38, 72), z), p.hu["fat"])
        canvas.fill(kidney, p.hu["cortex"])
        for i in range(7):  # pyramids
            t = 2 * np.pi * i / 7 + p.number(f"pyramid{i}", 0, 0.5)
            at = x + 14 * np.cos(t), y + 17 * np.sin(t), low + p.number(f"rise{i}", -26, 26)
            pyramid = p.ball(f"pyramid{i}{side}", at, (5.5, 6.5, 17), z, t, 0.15)
            canvas.fill(pyramid, p.hu["medulla"])
        sinus = p.ball(f"sinus{side}", (x - side * 9, y - 4, low), (14, 11, 27), z, side * 0.4, 0.2)
        canvas.fill(sinus, p.hu["fat"] + 35)
        if 285 < z - breath < 302:
            adrenal = np.array([(34, 18), (42, 32), (31, 40), (42, 32), (47, 42)]) * (side, 1)
            canvas.stroke(adrenal, 3.5, p.hu["gland"])


def gut(p: Patient) -> np.ndarray:
    """Centres and radii (n, 4) of the bowel's bulges: small bowel, then colon."""

    def make(rng: np.random.Generator) -> np.ndarray:
        small = rng.uniform((-82, -82, 322, 8), (82, 12, 548, 15), (SMALL, 4)) * (p.width, 1, 1, 1)
        ascending = [(-100 * p.width, 8, z, 19) for z in range(335, 460, 24)]
        descending = [(103 * p.width, 20, z, 14) for z in range(290, 480, 20)]
        across = [(x, -66 + 8 * np.cos(x / 25), 318, 15) for x in range(-85, 90, 25)]
        sigmoid = [(60 - 12 * i, -20 + 12 * np.sin(i), 500 + 4 * i, 13) for i in range(6)]
        colon = np.array(ascending + descending + across + sigmoid, float)
        colon += rng.normal(0, (4, 4, 5, 2), colon.shape)
        return np.array([_within(p, *loop) for loop in np.vstack([small, colon])])

    return p.keep("gut", make)


def _within(
    p: Patient, x: float, y: float, z: float, r: float
) -> tuple[float, float, float, float]:
    """A loop of bowel moved inwards until it lies within the belly's wall."""
    wide, deep = p.half_width(z) - 22 - 1.3 * r, p.half_depth(z) - 20 - 1.2 * r
    out = ((abs(x) / wide) ** 2.35 + (abs(y) / deep) ** 2.35) ** (1 / 2.35)
    return x / max(1, out), y / max(1, out), z, r


def draw_gut(canvas: Canvas, p: Patient, z: float) -> None:
    """Stomach, colon and loops of small bowel: wall, then food, contrast agent or gas."""
    draw_hollow(canvas, p, "stomach", (56, -36, 258), (44, 34, 56), z, 4)
    if z < 268:
        return
    for i, (x, y, level, r) in enumerate(gut(p)):
        if abs(z - level) < 1.6 * r and z < 562:
            radii = (r * 1.35, r, r * 1.6)
            draw_hollow(canvas, p, f"loop{i}", (x, y, level), radii, z, 2.2, 0.8 * (i < SMALL))


def draw_hollow(
    canvas: Canvas,
    p: Patient,
    name: str,
    centre: Sequence[float] | np.ndarray,
    radii: Sequence[float] | np.ndarray,
    z: float,
    wall_mm: float,
    rarer_gas: float = 0.0,
) -> None:
    """One bulge of gut at z; gas floats above its level, for the patient lies on the back."""
    turn, kind, fill, extra = p.keep(f"in {name}", lambda rng: rng.random(4))
    wall = p.hu["bowel"]
    if kind < 0.2:
        if name in NEVER_EMPTY:
            kind += 0.25
        else:  # collapsed
            canvas.fill(p.ball(name, centre, [0.7 * r for r in radii], z, 3.1 * turn, 0.2), wall)
            return
    outer = p.ball(name, centre, radii, z, 3.1 * turn, 0.2)
    inner = p.ball(name, centre, [r - wall_mm for r in radii], z, 3.1 * turn, 0.2)
    canvas.fill(outer, wall)
    if not len(inner):
        return
    canvas.fill(inner, p.oral_hu + 40 * (extra - 0.5) if kind < 0.7 else 24 + 22 * extra)
    if kind > 0.62 + 0.38 * rarer_gas:
        surface = centre[1] + (1.6 * fill - 0.7) * radii[1]
        gas = inner[inner[:, 1] <= surface]
        canvas.fill(gas, -930)


def draw_pelvic_organs(canvas: Canvas, p: Patient, z: float) -> None:
    """Rectum, womb or prostate, bladder."""
    draw_hollow(canvas, p, "rectum", (2, 46 + p.back, 545), (19, 17, 75), z, 4)
    organ = (44, 26, 32) if p.sex == "F" else (24, 18, 24)
    at = (p.number("womb", -10, 10), 14, 530 if p.sex == "F" else 582)
    canvas.fill(p.ball("womb", at, organ, z, 0, 0.1), p.hu["gland"] + 15)
    full = p.number("bladder", 0.6, 1.2)
    canvas.fill(p.ball("bladder", (0, -26, 562), (42 * full + 3, 30 * full + 3, 38), z), 45)
    canvas.fill(
        p.ball("bladder", (0, -26, 562), (42 * full, 30 * full, 35), z), p.number("urine", 2, 14)
    )
    for side in (-1, 1):  # the obturator muscle lines the pelvis
        canvas.fill(
            p.blob(f"obturator{side}", (side * 68 * p.width, 18), (7, 26), z), p.hu["muscle"]
        )


def draw_table(canvas: Canvas, y: float, arcs: Sequence[tuple[float, float, float, float]]) -> None:
    """The table under the patient: arcs of (offset, half-width, thickness, HU), mm."""
    for offset, half, thickness, hu in arcs:
        x = np.linspace(-half, half, 60)
        canvas.stroke(np.stack([x, y + offset - (x / 210) ** 2 * 38], 1), thickness, hu)
