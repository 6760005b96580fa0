"""Inside the chest: lungs with their vessels and airways, heart, great vessels."""

import numpy as np

from camreader.phantom.anatomy import Patient, draw_tree, grow_tree, slab, smooth
from camreader.phantom.scanner import Canvas


def lung(p: Patient, z: float, side: int) -> np.ndarray:
    """Outline of one lung at z (n, 2); empty outside 2-275 mm."""
    if not 2 < z < 275:
        return np.empty((0, 2))
    outline = p.cavity(z, 90)
    outline = outline[outline[:, 0] * side > 12]
    outline = outline[np.argsort(np.arctan2(outline[:, 1], outline[:, 0] * side))]
    y = np.linspace(outline[-1, 1] - 6, outline[0, 1] + 4, 8)
    x = side * np.interp(y, [-90, -40, 0, 40, 80], [6, 22, 27, 21, 24])
    shape = np.vstack([outline, np.stack([x, y], 1)])
    centre = np.array([side * 72 * p.width, 8])
    tip = np.sqrt(np.clip(z / 55, 0.02, 1))
    return smooth(centre + (shape - centre) * tip, 1)


def lung_tree(p: Patient, side: int) -> np.ndarray:
    """The lung's vessels as segments (n, 7), grown once per patient."""

    def grow(rng: np.random.Generator) -> np.ndarray:
        points = rng.uniform((18, -100, 8), (155, 112, 262), (5200, 3))
        narrow = np.clip(points[:, 2] / 50, 0.35, 1)
        a, b = ((half(points[:, 2]) - 22) * narrow for half in (p.half_width, p.half_depth))
        inside = (points[:, 0] / a) ** 2 + ((points[:, 1] - 6) / b) ** 2 < 0.95
        targets = points[inside][:2000] * (side, 1, 1)
        return grow_tree(rng, targets, np.array([side * 30.0, 6, 108]), 0.38, 48)

    return p.keep(f"lung tree {side}", grow)


def draw_lungs(canvas: Canvas, p: Patient, z: float) -> None:
    for side in (-1, 1):
        outline = lung(p, z, side)
        if not len(outline):
            continue
        canvas.fill(outline, p.lung_hu)
        tree = lung_tree(p, side)
        draw_tree(canvas, tree, z, p.hu["heart"] - 30, p.lung_hu)
        large = tree[tree[:, 6] > 1.5]
        for ends, r in slab(large, z, 4):  # a bronchus runs beside every large vessel
            beside = ends + np.array([side * 1.9 * r, -0.8 * r])
            canvas.stroke(beside, 2 * r + 1.4, -350)
            canvas.stroke(beside, 1.5 * r, -960)


def draw_mediastinum(canvas: Canvas, p: Patient, z: float) -> None:
    """Fat, heart, great vessels, airway and gullet between the lungs."""
    b = p.half_depth(z) - 20
    w = float(np.interp(z, [0, 30, 60, 110, 210], [44, 32, 33, 36, 36])) * p.number(
        "wide", 0.9, 1.12
    )
    half = [(3, -b), (6, -b * 0.8), (w * 0.75, -38), (w, -14), (w * 0.85, 12), (19, 40), (21, 84)]
    canvas.fill(smooth(np.vstack([half, np.array(half)[::-1] * (-1, 1)])), p.hu["fat"] + 4)
    if z > 105:
        draw_heart(canvas, p, z)
    draw_airway(canvas, p, z, p.hu["muscle"])
    if z < 72:
        draw_branches(canvas, p, z)
    draw_aorta(canvas, p, z)
    if 84 < z < 130:
        draw_hila(canvas, p, z)
    draw_nodes(canvas, p, z)


def draw_heart(canvas: Canvas, p: Patient, z: float) -> None:
    """Heart in its fat: muscle, four chambers with contrast agent."""
    size = np.sqrt(max(0.0, 1 - ((z - 165) / 62) ** 2))
    if size < 0.1:
        return
    scale = p.number("heart", 0.82, 1.1) * size
    tilt = p.number("tilt", 0.3, 0.75)
    centre = np.array([14, -26])
    canvas.fill(p.blob("pericardium", centre, (68 * scale, 52 * scale), z, tilt), p.hu["fat"] + 12)
    canvas.fill(p.blob("heart", centre, (60 * scale, 46 * scale), z, tilt), p.hu["muscle_heart"])
    for name, at, radii, angle in (
        ("rv", (-2, -24), (33, 15), tilt - 0.1),
        ("ra", (-34, 0), (18, 23), 0.2),
        ("la", (0, 26), (28, 14), 0.0),
        ("lv", (28, 3), (26, 14), tilt + 0.1),
    ):
        if name != "la" or z < 165:
            at = centre + np.array(at) * scale
            canvas.fill(p.blob(name, at, np.array(radii) * scale, z, angle, 0.12), p.hu["heart"])


def draw_airway(canvas: Canvas, p: Patient, z: float, muscle: float) -> None:
    """Trachea, main bronchi and gullet."""
    gullet = (8, 33 if z < 180 else 28)
    canvas.fill(p.blob("gullet", gullet, (9, 6.5), z, rough=0.12), muscle - 12)
    if p.number("gas", 0, 1) < 0.4 and int(z / 15) % 2:
        canvas.disc(*gullet, 2.5, -700)
    if z < 86:
        canvas.fill(p.blob("trachea", (-2, 8), (11, 11), z, rough=0.04), muscle - 20)
        canvas.fill(p.blob("trachea", (-2, 8), (9.3, 9.3), z, rough=0.04), -985)
    elif z < 122:
        for side in (-1, 1):
            at = side * (9 + (z - 86) * 0.95), 10
            canvas.fill(p.blob(f"bronchus{side}", at, (9.5, 8.2), z), muscle - 20)
            canvas.fill(p.blob(f"bronchus{side}", at, (8, 6.7), z), -975)


def draw_branches(canvas: Canvas, p: Patient, z: float) -> None:
    """Above the arch: arteries to head and arms, the veins from them, thyroid."""
    artery, vein = p.hu["aorta"], p.hu["vein"] + 35
    for i, (x, y, r) in enumerate([(-14, -18, 7), (9, -10, 5), (24, 2, 5.5)]):
        out = max(0, 50 - z) * 0.12 * np.sign(x)
        canvas.fill(p.blob(f"branch{i}", (x + out, y), (r, r), z), artery)
    canvas.fill(p.blob("vbr", (-34, -22), (9, 8), z), vein + 10)
    canvas.fill(p.blob("vbl", (26 - z * 0.5, -32), (10 + z / 6, 6.5), z), vein)
    if z < 8:
        for side in (-1, 1):
            canvas.fill(p.blob(f"thyroid{side}", (side * 17, 2), (7, 14), z), 110)


def draw_aorta(canvas: Canvas, p: Patient, z: float) -> None:
    artery, big = p.hu["aorta"], p.number("aorta", 0.85, 1.15)
    if 62 < z < 80:
        bow = [(-16, -30), (6, -34), (24, -12), (36, 22), (26, 38), (14, 30), (8, 0), (-10, -8)]
        canvas.fill(smooth(bow) * big, artery)
    if 76 <= z < 150:
        canvas.fill(p.blob("ascending", (-14, -28), (15.5 * big, 16 * big), z), artery)
    if z >= 76:
        at = 26 - (z - 76) * 0.06, 38
        canvas.fill(p.blob("descending", at, (11.5 * big, 12 * big), z, rough=0.03), artery)
        if p.number("calcium", 0, 1) < 0.35 and int(z / 9) % 2:
            canvas.stroke([(at[0] + 10, 34), (at[0] + 11, 40), (at[0] + 8, 46)], 2, 620)
    if 66 <= z < 128:  # it ends in the right atrium
        canvas.fill(p.blob("cava", (-27, -14), (8.5, 10), z, rough=0.08), p.hu["vein"] + 45)


def draw_hila(canvas: Canvas, p: Patient, z: float) -> None:
    """Lung arteries and the roots of the lungs."""
    blood = p.hu["heart"]
    if 92 < z < 120:
        canvas.fill(p.blob("trunk", (16, -34), (13, 15), z, 0.4), blood)
        canvas.stroke([(18, -28), (36, 0), (44, 14)], 13, blood)
    if 98 < z < 118:
        canvas.stroke([(16, -30), (-8, -6), (-30, -1), (-46, 4)], 14, blood)
    for side in (-1, 1):
        for i in range(3):
            at = side * (40 + 5 * i), -8 + 13 * i
            canvas.fill(
                p.ball(f"hilum{side}{i}", (*at, 104 + 4 * i), (9, 8, 20), z, i, 0.2), blood - 12
            )


def draw_nodes(canvas: Canvas, p: Patient, z: float) -> None:
    """Normal nodes and thymus strands: small soft spots that are nobody's tumor."""
    spots = p.keep("nodes", lambda rng: rng.uniform((-32, -60, 40, 1.8), (32, 30, 200, 4), (16, 4)))
    for i, (x, y, at, r) in enumerate(spots):
        node = p.ball(f"node{i}", (x, y, at), (r * 1.4, r, 5), z, x, 0.1)
        canvas.fill(node, p.hu["muscle"] - 15)
