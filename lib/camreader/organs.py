"""What lies inside the trunk: mediastinum, bones, belly and pelvis, drawn back to front."""

import numpy as np

from camreader.anatomy import (
    LEVELS,
    WALL_X,
    WALL_Y,
    draw_lungs,
    draw_tree,
    draw_wall,
    grow_tree,
    smooth,
)


def draw_slice(canvas, p, z):
    """Draw patient `p` at level z (mm) on `canvas`: everything but lesions, table and noise."""
    draw_wall(canvas, p, z)
    draw_lungs(canvas, p, z)
    if z < 275:
        draw_ribs(canvas, p, z)
    if z < 225:
        draw_mediastinum(canvas, p, z)
    if z > 180:
        draw_belly(canvas, p, z)
    if z > 440:
        draw_pelvis(canvas, p, z)
    draw_back(canvas, p, z)


def draw_ribs(canvas, p, z):
    """Ribs slope down towards the front, so a slice meets each over a few centimetres."""
    a = np.interp(z, LEVELS, WALL_X) * p.width - 11
    b = np.interp(z, LEVELS, WALL_Y) * p.depth - 11
    phase = p.number("ribs", 0, 25)
    for side in (-1, 1):
        for first in np.arange(-95 + phase, 260, 24):
            middle = (z - first) / 105  # 0 at the spine, 1 at the breastbone
            if not 0.06 < middle < 0.93:
                continue
            t = np.pi / 2 - np.pi * (middle + np.linspace(-0.055, 0.055, 7))
            arc = np.stack(
                [side * a * np.cos(t), b * np.sin(t) * np.where(np.sin(t) > 0, 0.92, 1)], 1
            )
            calcified = middle < 0.78
            canvas.stroke(arc, 8, 480 if calcified else 110)
            canvas.stroke(arc[1:-1] if calcified else arc, 4.2, 200 if calcified else 95)
    if 12 < z < 175:
        y = -b + 6
        canvas.fill(p.blob("sternum", (0, y), (26 if z < 55 else 17, 7), z, rough=0.06), 420)
        canvas.fill(p.blob("sternum", (0, y), (23 if z < 55 else 14, 4.5), z, rough=0.06), 150)
    if z < 22:
        for side in (-1, 1):
            line = [(side * 28, -b + 12), (side * 60, -b + 4), (side * 105, -b + 24)]
            canvas.stroke(smooth(line)[:9], 11, 520)
            canvas.stroke(smooth(line)[:9], 6, 160)


def draw_mediastinum(canvas, p, z):
    """Fat, heart, great vessels, airway and gullet between the lungs."""
    b = np.interp(z, LEVELS, WALL_Y) * p.depth - 20
    w = np.interp(z, [0, 30, 60, 110, 210], [45, 34, 36, 42, 44])
    half = np.array(
        [(5, -b), (10, -b * 0.75), (w * 0.8, -38), (w, -10), (w * 0.8, 22), (26, 48), (24, 82)]
    )
    outline = np.vstack([half, half[::-1] * (-1, 1)])
    canvas.fill(smooth(outline), p.hu["fat"] + 5)
    if z > 105:
        draw_heart(canvas, p, z)
    draw_airway(canvas, p, z, p.hu["muscle"])
    draw_great_vessels(canvas, p, z)
    draw_nodes(canvas, p, z)


def draw_great_vessels(canvas, p, z):
    """Aorta with its arch and branches, upper cava, lung arteries, hila."""
    muscle, vein, artery, blood = (p.hu[k] for k in ("muscle", "vein", "aorta", "heart"))
    if z < 66:  # arteries to head and arms, veins from them
        for i, (x, y, r) in enumerate([(-14, -18, 7), (9, -10, 5), (24, 2, 5.5)]):
            canvas.fill(p.blob(f"branch{i}", (x, y), (r, r), z), artery)
        canvas.fill(p.blob("vbr", (-34, -22), (9, 8), z), vein + 40)
        canvas.fill(p.blob("vbl", (26 - z * 0.5, -32), (10 + z / 6, 6.5), z), vein + 30)
        canvas.fill(p.blob("thyroid", (-16, 2), (8, 14), z), muscle + 40 if z < 0 else muscle)
    if 62 < z < 80:
        arch = smooth(
            [(-16, -30), (6, -34), (24, -12), (36, 22), (26, 38), (14, 30), (8, 0), (-10, -8)]
        )
        canvas.fill(arch * p.number("arch", 0.9, 1.1), artery)
    if 76 <= z < 150:
        canvas.fill(p.blob("ascending", (-14, -28), (15.5, 16), z), artery)
    if z >= 76:
        canvas.fill(p.blob("descending", (26 - (z - 76) * 0.06, 36), (11.5, 12), z), artery)
    if 66 <= z < 150:
        canvas.fill(p.blob("cava", (-36, -16), (8.5, 10), z), vein + 30)
    if 92 < z < 118:
        canvas.fill(p.blob("trunk", (16, -34), (13, 15), z, 0.4), blood)
        if z > 98:
            canvas.stroke(smooth([(16, -30), (-8, -8), (-44, 2), (-50, 8)])[2:12], 15, blood)
        canvas.stroke([(18, -28), (38, 2), (46, 14)], 14, blood)
    if 88 < z < 128:
        for side in (-1, 1):
            canvas.fill(p.blob(f"hilum{side}", (side * 44, 8), (10, 14), z, rough=0.2), blood - 15)


def draw_heart(canvas, p, z):
    """Heart in its fat: muscle, four chambers with contrast."""
    size = np.sqrt(max(0.0, 1 - ((z - 165) / 62) ** 2))
    if not size:
        return
    scale = p.number("heart", 0.85, 1.1) * size
    centre = np.array([14, -26])
    canvas.fill(p.blob("pericardium", centre, (66 * scale, 52 * scale), z, 0.45), p.hu["fat"] + 12)
    canvas.fill(p.blob("heart", centre, (59 * scale, 46 * scale), z, 0.45), p.hu["muscle_heart"])
    for name, at, radii, angle in (
        ("rv", (0, -24), (30, 16), 0.3),
        ("ra", (-32, 4), (19, 23), 0.2),
        ("la", (2, 26), (27, 14), 0.0),
        ("lv", (30, 4), (24, 15), 0.6),
    ):
        if name == "la" and z > 165:
            continue
        radii = np.array(radii) * scale
        canvas.fill(
            p.blob(name, centre + np.array(at) * scale, radii, z, angle, 0.1), p.hu["heart"]
        )


def draw_airway(canvas, p, z, muscle):
    """Trachea, main bronchi and gullet."""
    canvas.fill(p.blob("gullet", (8, 32 if z < 180 else 28), (9, 6.5), z), muscle - 12)
    if p.number("gas", 0, 1) < 0.4:
        canvas.disc(8, 31, 2.5, -700)
    ends = [(0, 8, 9.5)] if z < 86 else [(s * (8 + (z - 86) * 0.9), 10, 7.5) for s in (-1, 1)]
    if z < 118:
        for x, y, r in ends:
            canvas.disc(x, y, r + 1.6, muscle - 20)
            canvas.disc(x, y, r, -985)


def draw_nodes(canvas, p, z):
    """Normal nodes, thymus strands: small soft spots that are nobody's tumor."""
    rng = p.rng("nodes")
    for i, (x, y, at) in enumerate(rng.uniform((-34, -60, 40), (34, 30, 200), (16, 3))):
        r = rng.uniform(1.8, 4.2)
        canvas.fill(p.ball(f"node{i}", (x, y, at), (r * 1.4, r, 5), z, x, 0.1), p.hu["muscle"] - 15)


def dome(p, z, side):
    """Outline of the belly under one half of the diaphragm at z, rising into the chest."""
    top = 196 + (side > 0) * 14 + p.number("breath", -14, 14)
    t = np.clip((z - top) / 75, 0, 1)
    if t <= 0:
        return np.empty((0, 2))
    outline = p.cavity(z, 90)
    outline = outline[outline[:, 0] * side > -8]
    outline = outline[np.argsort(np.arctan2(outline[:, 1], outline[:, 0] * side))]
    centre = np.array([side * 70 * p.width, -16])
    return centre + (outline - centre) * np.sqrt(1 - (1 - t) ** 2)


def draw_belly(canvas, p, z):
    for side in (1, -1):
        under = dome(p, z, side)
        if len(under) > 8:
            canvas.fill(smooth(under, 1), p.hu["fat"])
            canvas.stroke(under, 2.5, p.hu["muscle"])
    if z > 222:
        inside = p.cavity(z)
        canvas.fill(inside[np.abs(inside[:, 0]) < 75 * p.width], p.hu["fat"])
    if z > 275:
        canvas.fill(p.cavity(z), p.hu["fat"])
    draw_gut(canvas, p, z)
    draw_vessels(canvas, p, z)
    draw_spleen_kidneys(canvas, p, z)
    draw_liver(canvas, p, z)


def liver(p, z):
    """Right and left lobe of the liver at z: list of outlines (n, 2)."""
    lobes = []
    under = dome(p, z, -1)
    bottom = 352 + p.number("liver", -18, 22)
    left = np.sqrt(np.clip((bottom - z) / 95, 0, 1))
    if len(under) > 8 and left > 0.15:
        outer = under[under[:, 0] < -16]
        centre = np.array([-88 * p.width, 12])
        shape = np.vstack([outer, [(-22, 45), (-28, 12), (-6, -8), (2, -48)]])
        middle = shape.mean(0)
        shape = shape[np.argsort(np.arctan2(*(shape - middle).T))]
        wobble = p.blob("liver", (0, 0), (1, 1), z, rough=0.05, points=len(shape))
        shape = centre + (shape - centre) * 0.965 * min(1, left) ** 0.8
        lobes.append(smooth(shape + 1.5 * wobble, 2))
    reach = p.number("left lobe", 25, 75)
    size = np.sqrt(max(0.0, 1 - ((z - 250) / 48) ** 2))
    if size > 0.2:
        b = np.interp(z, LEVELS, WALL_Y) * p.depth - 22
        wedge = [
            (-30, -10),
            (-34, -b * 0.9),
            (0, -b),
            (reach * size, -b * 0.88),
            (reach * size * 0.8, -b * 0.6),
            (4, -18),
        ]
        lobes.append(smooth(wedge, 3))
    return lobes


def liver_trees(p):
    """Portal and hepatic veins as segments, grown once per patient."""
    if "portal" not in p.trees:
        rng = p.rng("liver veins")
        points = rng.uniform((-150, -85, 205), (30, 75, 345), (900, 3))
        where = (points - (-72 * p.width, -5, 272)) / (66, 72, 78)
        points = points[(where**2).sum(1) < 0.85]
        p.trees["portal"] = grow_tree(rng, points[:70], np.array([-28.0, 4, 285]), 0.75)
        p.trees["hepatic"] = grow_tree(rng, points[70:120], np.array([-22.0, 22, 214]), 0.85)
    return p.trees["portal"], p.trees["hepatic"]


def draw_liver(canvas, p, z):
    for lobe in liver(p, z):
        canvas.fill(lobe, p.hu["liver"])
    if not liver(p, z):
        return
    portal, hepatic = liver_trees(p)
    draw_tree(canvas, portal, z, 5, p.hu["portal"], p.hu["liver"])
    draw_tree(canvas, hepatic, z, 5, p.hu["portal"] - 8, p.hu["liver"])
    if 240 < z < 300:  # the ligament's fat, and the cava behind the liver
        canvas.fill(p.ball("fissure", (-14, -38, 270), (4, 24, 30), z, 0.3), p.hu["fat"] + 20)
    canvas.fill(
        p.ball("gallbladder", (-48, -38, 318), (13, 20, 26), z, 0.5), p.number("bile", 4, 14)
    )


def draw_vessels(canvas, p, z):
    """Aorta, cava and the branches to gut and kidneys; iliac vessels below."""
    artery, vein = p.hu["aorta"], p.hu["vein"]
    if z < 425:
        x = np.interp(z, [180, 260, 420], [20, 10, 4])
        canvas.fill(
            p.blob("descending", (x, np.interp(z, [180, 280], [34, 24])), (10.5, 11), z), artery
        )
        if p.number("calcium", 0, 1) < 0.4 and int(z / 9) % 3 == 0:
            canvas.stroke([(x - 9, 27), (x - 10, 21), (x - 7, 16)], 2, 650)
        canvas.fill(
            p.blob("ivc", (-21, 20), (13, 10.5), z), vein if z > 290 else p.hu["portal"] - 8
        )
    else:
        spread = np.interp(z, [425, 600], [12, 78])
        y = np.interp(z, [425, 480, 600], [26, 30, -48])
        for side in (-1, 1):
            canvas.fill(p.blob(f"iliac a{side}", (side * spread, y), (6, 6), z), artery)
            canvas.fill(p.blob(f"iliac v{side}", (side * (spread - 4), y + 14), (8, 7), z), vein)
    if 285 < z < 420:
        canvas.disc(2, -4, 4.5, artery)
        canvas.disc(-10, -6, 6, p.hu["portal"])
    if 305 < z < 318:
        canvas.stroke([(-14, 16), (8, 8), (40, 36)], 7, vein)
    if "mesentery" not in p.trees:
        rng = p.rng("mesentery")
        points = rng.uniform((-80, -75, 300), (80, 0, 480), (160, 3))
        p.trees["mesentery"] = grow_tree(rng, points, np.array([0.0, -4, 300]), 0.55)
    draw_tree(canvas, p.trees["mesentery"], z, 5, vein, p.hu["fat"])


def draw_spleen_kidneys(canvas, p, z):
    breath = p.number("breath", -14, 14)
    a = np.interp(z, LEVELS, WALL_X) * p.width
    size = p.number("spleen", 0.8, 1.2)
    centre = (a - 50, 36, 272 + breath)
    canvas.fill(p.ball("spleen", centre, (24, 48, 52 * size), z, -0.35, 0.1), p.hu["spleen"])
    pancreas = [
        (-34, 2),
        (-20, -12),
        (20, -16),
        (52, 2),
        (70, 18),
        (64, 26),
        (40, 12),
        (4, -2),
        (-22, 12),
    ]
    if 272 < z - breath < 318:
        canvas.fill(
            smooth(pancreas) + np.array([0, p.number("pancreas", -6, 4)]), p.hu["gland"] + 5
        )
        canvas.stroke(smooth(pancreas)[4:16], 6, p.hu["portal"])
    for side, low in ((-1, 342), (1, 332)):
        x = side * 62 * p.width
        canvas.fill(p.ball(f"perirenal{side}", (x, 42, low), (40, 40, 72), z), p.hu["fat"])
        at = (x, 42, low + breath)
        canvas.fill(p.ball(f"kidney{side}", at, (25, 31, 54), z, side * 0.5, 0.06), p.hu["cortex"])
        canvas.fill(p.ball(f"kidney{side}", at, (18, 23, 44), z, side * 0.5, 0.2), p.hu["medulla"])
        sinus = (x - side * 9, 38, low + breath)
        canvas.fill(
            p.ball(f"sinus{side}", sinus, (14, 11, 26), z, side * 0.4, 0.15), p.hu["fat"] + 35
        )
        if 285 < z - breath < 300:
            canvas.stroke([(side * 34, 18), (side * 42, 34), (side * 30, 40)], 4, p.hu["gland"])


def draw_gut(canvas, p, z):
    """Stomach, colon and loops of small bowel: wall, then food, contrast or gas."""
    draw_hollow(canvas, p, "stomach", (58, -36, 258), (44, 34, 56), z, 4)
    if z < 268:
        return
    for i, (x, y, at, r) in enumerate(gut(p)):
        draw_hollow(canvas, p, f"loop{i}", (x, y, at), (r * 1.3, r, r * 1.6), z, 2.2)


def gut(p):
    """Centres and radii (n, 4) of the bowel's bulges."""
    if "gut" not in p.trees:
        rng = p.rng("gut")
        small = rng.uniform((-88, -78, 318, 9), (88, 2, 545, 15), (62, 4))
        ascending = [(-102 * p.width, 12, z, 20) for z in range(335, 460, 26)]
        descending = [(104 * p.width, 22, z, 15) for z in range(290, 480, 24)]
        across = [
            (x, -68 + 8 * np.cos(x / 25), 318 + 9 * np.cos(x / 30), 17) for x in range(-85, 90, 28)
        ]
        colon = np.array(ascending + descending + across, float)
        colon += rng.normal(0, 4, colon.shape) * (1, 1, 1, 0.5)
        p.trees["gut"] = np.vstack([small, colon])
    return p.trees["gut"]


def draw_hollow(canvas, p, name, centre, radii, z, wall_mm):
    """One bulge of gut at z; gas floats above its level, for the patient lies on the back."""
    rng = p.rng(name)
    turn, kind, level = rng.uniform(0, 3.1), rng.random(), rng.uniform(-0.7, 0.9)
    outer = p.ball(name, centre, radii, z, turn, 0.1)
    inner = p.ball(name, centre, [r - wall_mm for r in radii], z, turn, 0.1)
    if not len(outer):
        return
    canvas.fill(outer, p.hu["bowel"])
    if kind < 0.3 or not len(inner):
        return  # collapsed
    canvas.fill(inner, p.oral_contrast + rng.normal(0, 12) if kind < 0.72 else rng.uniform(0, 35))
    if kind > 0.6:
        surface = centre[1] + level * radii[1]
        gas = inner.copy()
        gas[:, 1] = np.minimum(gas[:, 1], surface)
        canvas.fill(gas[gas[:, 1] <= surface], -930)


def draw_back(canvas, p, z):
    """Back muscles, psoas and the vertebra with its canal."""
    muscle, shift = p.hu["muscle"], (p.depth - 1) * 90
    for side in (-1, 1):
        if z < 460:
            centre = side * 36, 90 + shift
            canvas.fill(p.blob(f"back{side}", centre, (30, 17), z, side * 0.12, 0.06), muscle)
            canvas.stroke(
                [(side * 8, 82 + shift), (side * 34, 86 + shift), (side * 58, 82 + shift)], 1.2, -50
            )
        if z > 300:
            r = np.interp(z, [300, 330, 440, 500, 560], [4, 11, 23, 24, 17])
            x = np.interp(z, [300, 450, 560], [36, 50, 84])
            y = np.interp(z, [300, 470, 560], [52, 42, -22])
            canvas.fill(p.blob(f"psoas{side}", (side * x, y + shift), (r, r * 1.15), z), muscle)
    if z < 470:
        draw_vertebra(canvas, p, z, 58 + shift)


def draw_vertebra(canvas, p, z, y):
    size = np.interp(z, [0, 430], [0.82, 1.2])
    spongy = p.number("bone", 130, 240)
    disc = (z + p.number("discs", 0, 30)) % 30 < 6
    for side in (-1, 1):
        canvas.stroke(
            [(side * 14 * size, y + 14), (side * 17 * size, y + 24), (side * 40, y + 27)], 7, 420
        )
        canvas.stroke([(side * 20 * size, y + 24), (side * 36, y + 27)], 3.4, 170)
        canvas.stroke([(side * 15 * size, y + 24), (side * 4, y + 38)], 6, 520)
    canvas.stroke([(0, y + 36), (0, y + 56)], 6, 460)
    canvas.stroke([(0, y + 40), (0, y + 54)], 2.5, 180)
    body = (21 * size, 16.5 * size)
    canvas.fill(p.blob("vertebra", (0, y), body, rough=0.02), 95 if disc else 470)
    inner = (body[0] - 1.6, body[1] - 1.6)
    canvas.fill(p.blob("vertebra", (0, y), inner, rough=0.02), 85 if disc else spongy)
    canvas.disc(0, y + body[1] + 6, 11, -20 if disc else 200)
    canvas.disc(0, y + body[1] + 6, 9.5, p.number("canal", 15, 40), 8)


def draw_pelvis(canvas, p, z):
    """Sacrum, hip bones, buttocks, bladder, rectum, womb or prostate."""
    muscle, w, shift = p.hu["muscle"], p.width, (p.depth - 1) * 90
    for side in (-1, 1):
        for i, (x, y, rx, ry) in enumerate([(86, 62, 52, 30), (118, 18, 20, 44)]):
            centre = side * x * w, y + shift
            canvas.fill(
                p.blob(f"glut{i}{side}", centre, (rx + 1.5, ry + 1.5), z, side * -0.4),
                p.hu["fat"] + 20,
            )
            canvas.fill(p.blob(f"glut{i}{side}", centre, (rx, ry), z, side * -0.4), muscle)
        if z < 552:
            t = np.interp(z, [440, 550], [0, 1])
            wing = [
                (36 + 26 * t, 62),
                (70 + 10 * t, 42 - 6 * t),
                (100, 4 + 6 * t),
                (118 - 10 * t, -34 + 34 * t),
            ]
            draw_bone(canvas, smooth(np.array(wing) * (side * w, 1) + (0, shift))[1:13], 13 - 3 * t)
        else:
            canvas.fill(p.blob(f"hip{side}", (side * 86 * w, 12), (34, 34), z, rough=0.08), 520)
            canvas.fill(p.blob(f"hip{side}", (side * 86 * w, 12), (31, 31), z, rough=0.08), 230)
            canvas.disc(side * 94 * w, 10, 25.5, 30)
            canvas.disc(side * 94 * w, 10, 24, 560)
            canvas.disc(side * 94 * w, 10, 22, 280)
            if z > 585:
                draw_bone(canvas, [(side * 70 * w, -12), (side * 36, -48), (side * 4, -52)], 13)
    if z < 560:
        t = np.interp(z, [455, 560], [1, 0.3])
        canvas.fill(p.blob("sacrum", (0, 70 + shift), (48 * t, 20 * t + 3), z, rough=0.1), 430)
        canvas.fill(p.blob("sacrum", (0, 70 + shift), (45 * t, 17 * t + 2), z, rough=0.1), 150)
        canvas.disc(0, 76 + shift, 8 * t, 20)
    if z > 500:
        draw_hollow(canvas, p, "rectum", (2, 46 + shift, 545), (19, 17, 75), z, 4)
        organ = (44, 26, 32) if p.sex == "F" else (24, 18, 24)
        at = (p.number("womb", -10, 10), 14, 530 if p.sex == "F" else 582)
        canvas.fill(p.ball("womb", at, organ, z, 0, 0.1), p.hu["gland"] + 15)
        full = p.number("bladder", 0.6, 1.2)
        canvas.fill(p.ball("bladder", (0, -26, 562), (42 * full + 3, 30 * full + 3, 38), z), 45)
        canvas.fill(p.ball("bladder", (0, -26, 562), (42 * full, 30 * full, 35), z), 8)


def draw_bone(canvas, line, width_mm):
    canvas.stroke(line, width_mm, 520)
    canvas.stroke(line[1:-1] if len(line) > 4 else line, width_mm - 4, 210)


def draw_table(canvas, p, y, shape):
    """The table under the patient: one or two arcs of varying depth."""
    x = np.linspace(-210, 210, 60)
    for offset, width, hu in shape:
        canvas.stroke(np.stack([x, y + offset - (x / 210) ** 2 * 38], 1), width, hu)
