"""The trunk's wall: skin, fat, muscles and bones, from shoulders to hips."""

from collections.abc import Sequence

import numpy as np

from camreader.phantom.anatomy import BACK, Patient, smooth
from camreader.phantom.scanner import Canvas

CORTEX, SPONGE = 520, 200  # HU of compact and of spongy bone


def draw_skin(canvas: Canvas, p: Patient, z: float) -> None:
    """Breasts, skin, fat under it, arms beside it."""
    fat = p.fat_at(z)
    if p.sex == "F" and 70 < z < 190:
        draw_breasts(canvas, p, z, fat)
    canvas.fill(p.wall(z, -fat - 2), 5)
    canvas.fill(p.wall(z, -fat), p.hu["fat"])
    if p.arms_down:
        draw_arms(canvas, p, z)


def draw_muscles(canvas: Canvas, p: Patient, z: float) -> None:
    """The wall's flat muscles, fat between them, and what they leave free: the cavity's fat."""
    if z < 270:
        canvas.fill(p.wall(z, 9), p.hu["muscle"] - 8)  # between the ribs
    for side in (-1, 1):
        if z < 290:
            draw_chest_muscles(canvas, p, z, side)
        if z > 230:
            draw_belly_muscles(canvas, p, z, side)
    if z > 240:
        canvas.fill(p.cavity(z), p.hu["fat"])


def draw_chest_muscles(canvas: Canvas, p: Patient, z: float, side: int) -> None:
    up = float(np.clip((150 - z) / 110, 0, 1))
    muscle = p.hu["muscle"]
    bulk = p.number("bulk", 0.75, 1.2) * (1 if p.sex == "M" else 0.85)
    if z < 150:
        canvas.fill(p.strip(z, side, -84, -22, (5 + 13 * up) * bulk, -4 * up), muscle)
        canvas.fill(p.strip(z, side, -62, -25, 6 * up * bulk, 12 * up), muscle - 3)
    canvas.fill(p.strip(z, side, -30, 28, 7 * bulk, 5), muscle)
    canvas.fill(p.strip(z, side, 2, 58, (8 + 18 * up) * bulk, -14 * up), muscle)
    canvas.fill(p.strip(z, side, 48, 89, 9 * bulk, 0), muscle)
    if z < 120:
        a = p.half_width(z) * side
        under = (0.74 * a, 73 * p.depth)
        canvas.fill(p.blob(f"sub{side}", under, (28, 8 + 9 * up), z, -side * 0.7, 0.08), muscle)
        over = (0.86 * a, 82 * p.depth)
        canvas.fill(p.blob(f"infra{side}", over, (26, 6 + 7 * up), z, -side * 0.8, 0.08), muscle)
        blade = np.array([(0.62, 94), (0.74, 87), (0.86, 71), (0.93, 53)]) * (a, p.depth)
        canvas.stroke(blade, 5, CORTEX)
        canvas.stroke(blade[1:], 1.8, SPONGE)


def draw_belly_muscles(canvas: Canvas, p: Patient, z: float, side: int) -> None:
    muscle = p.hu["muscle"]
    bulk = p.number("bulk", 0.75, 1.2) * float(np.interp(z, [230, 290], [0.5, 1]))
    low = float(np.interp(z, [440, 490], [1, 0.35]))
    for inset, thickness in ((0, 5.5), (6, 5), (11.5, 3.2)):
        canvas.fill(p.strip(z, side, -56, 56 * low, thickness * bulk, inset), muscle)
    canvas.fill(p.strip(z, side, -88, -60, 11 * bulk, 3), muscle)
    canvas.stroke(p.strip(z, side, -66, -52, 1, 8)[:14], 2.5, muscle - 10)
    if z < 450:
        canvas.fill(p.strip(z, side, 48, 88, 8, 1), muscle - 4)


def draw_breasts(canvas: Canvas, p: Patient, z: float, fat: float) -> None:
    scale = np.sqrt(max(0.0, 1 - ((z - 130) / 62) ** 2))
    size = p.number("breast", 0.5, 1.3) * scale
    if size < 0.1:
        return
    for side in (-1, 1):
        centre = np.array([side * 78 * p.width, -p.half_depth(z) - fat + 26])
        radii = np.array([62, 46]) * size
        canvas.fill(p.blob(f"breast{side}", centre, radii, z, side * 0.25), 5)
        canvas.fill(p.blob(f"breast{side}", centre, radii - 2, z, side * 0.25), p.hu["fat"])
        rng = p.rng(f"gland{side}")
        for _ in range(int(rng.integers(3, 18))):
            at = centre + rng.normal(0, 0.3, 2) * radii
            bend = at + np.cumsum(rng.normal(0, 6, (4, 2)), 0) * scale
            canvas.stroke(bend, rng.uniform(1, 5) * scale, rng.uniform(-60, 25))


def draw_arms(canvas: Canvas, p: Patient, z: float) -> None:
    for side in (-1, 1):
        at = side * (p.half_width(z) + p.fat_mm + 48), 12
        canvas.fill(p.blob(f"arm{side}", at, (44, 48), z), 5)
        canvas.fill(p.blob(f"arm{side}", at, (42, 46), z), p.hu["fat"])
        canvas.fill(p.blob(f"flesh{side}", at, (33, 37), z, rough=0.1), p.hu["muscle"])
        canvas.disc(*at, 11, 900)
        canvas.disc(*at, 6, 60)


def draw_ribs(canvas: Canvas, p: Patient, z: float) -> None:
    """Ribs slope down towards the front, so a slice meets each over a few centimetres."""
    a, b = p.half_width(z) - 15, p.half_depth(z) - 15
    shift, slope = p.number("ribs", 0, 24), p.number("slope", 125, 165)
    for side in (-1, 1):
        for number, first in enumerate(np.arange(-110 + shift, 250, 24)):
            middle = (z - first) / slope  # 0 at the spine, 1 at the breastbone
            if 0.08 < middle < 0.94 and number < 14 - 6 * middle:
                draw_rib(canvas, p, side, (a, b), middle, f"rib{side}{number}")
    if 12 < z < 178:
        y, half = 8 - p.half_depth(z), 26 if z < 55 else 17
        canvas.fill(p.blob("sternum", (0, y), (half, 7), z, rough=0.06), 400)
        canvas.fill(p.blob("sternum", (0, y), (half - 2.5, 4.8), z, rough=0.06), 150)
    if z < 22:
        for side in (-1, 1):
            y = -p.half_depth(z)
            line = np.array([(side * 26, y + 14), (side * 60, y + 4), (side * 105, y + 24)])
            canvas.stroke(line, 11, CORTEX)
            canvas.stroke(line, 6, 160)


def draw_rib(
    canvas: Canvas, p: Patient, side: int, radii: Sequence[float], middle: float, name: str
) -> None:
    """A rib's cut: a lens along the chest wall, bony behind, cartilage in front."""
    half = p.number(name, 0.028, 0.05) * (1.5 if middle < 0.3 else 1)
    u = np.linspace(-1, 1, 11)
    t = np.pi / 2 - np.pi * (middle + half * u)
    arc = np.stack([side * np.cos(t), np.sin(t) * np.where(np.sin(t) > 0, 0.93, 1)], 1)
    lens = np.sqrt(1 - np.abs(u) ** 2.5)[:, None]
    bony = middle < 0.74
    layers = ((4.2, CORTEX + 80), (2.4, SPONGE)) if bony else ((4, 115), (2, 90))
    for thick, hu in layers:
        reach = 1 if thick > 4.1 or not bony else 0.94
        mid = arc * radii
        outward = arc / np.linalg.norm(arc, axis=1, keepdims=True) * lens * thick
        inside = np.abs(u) <= reach
        canvas.fill(np.vstack([(mid + outward)[inside], (mid - outward)[inside][::-1]]), hu)


def draw_back(canvas: Canvas, p: Patient, z: float) -> None:
    """Back muscles, psoas and, above the sacrum, the vertebra."""
    muscle = p.hu["muscle"]
    for side in (-1, 1):
        if z < 480:
            behind = BACK * p.half_depth(z) - 16
            for i, (x, y, rx, ry) in enumerate([(20, 0, 16, 15), (45, -4, 19, 13)]):
                at = side * x, behind + y
                canvas.fill(p.blob(f"back{i}{side}", at, (rx, ry), z, side * 0.12, 0.07), muscle)
        if z > 300:
            r = float(np.interp(z, [300, 330, 440, 500, 560], [4, 11, 22, 22, 15]))
            out = float(np.interp(z, [300, 450, 560], [34, 50, 84]))
            deep = float(np.interp(z, [300, 470, 560], [54, 44, -30]))
            beside = side * out, deep + p.back
            canvas.fill(p.blob(f"psoas{side}", beside, (r, r * 1.15), z, rough=0.07), muscle)
    if z < 475:
        draw_vertebra(canvas, p, z, 60 + p.back)


def draw_vertebra(canvas: Canvas, p: Patient, z: float, y: float) -> None:
    """Arch with its processes, body or disc, and the canal."""
    size = float(np.interp(z, [0, 430], [0.82, 1.15])) * p.number("spine", 0.93, 1.07)
    spongy = p.number("bone", 130, 240)
    level = (z + p.number("discs", 0, 30)) % 30
    half = [(13, 8), (17, 20), (24, 22), (34, 25), (35, 29), (23, 31), (9, 36), (4, 43), (3.5, 53)]
    arch = np.array(half) * size
    if level > 14:  # between the transverse processes: joints only
        arch[3:5, 0] *= 0.62
    both = np.vstack([arch, arch[::-1] * (-1, 1)]) + np.array([0, y])
    canvas.fill(smooth(both, 2), CORTEX - 60)
    for side in (-1, 1):
        canvas.stroke(arch[[1, 2, 3]] * (side * 0.9, 1) + (0, y + 4), 3, spongy)
        canvas.stroke(arch[[5, 6]] * (side * 0.9, 1) + (0, y), 2.5, spongy)
    canvas.stroke([(0, y + 40 * size), (0, y + 50 * size)], 3.5, spongy)
    disc = level < 5
    body, inner = np.array([21, 16]) * size, np.array([21, 16]) * size - 1.5
    canvas.fill(p.blob("vertebra", (0, y), body, rough=0.025), 122 if disc else CORTEX - 30)
    canvas.fill(p.blob("vertebra", (0, y), inner, rough=0.025), 114 if disc else spongy)
    canal = 0, y + body[1] + 7 * size
    ring = p.blob("canal", canal, (11 * size, 9.5 * size), rough=0, points=24)
    canvas.fill(ring, -10)
    canvas.disc(*canal, 7.5 * size, p.number("canal", 15, 40))


def draw_pelvic_wall(canvas: Canvas, p: Patient, z: float) -> None:
    """Buttocks, hip bones, sacrum."""
    muscle = p.hu["muscle"]
    grow = float(np.clip((z - 440) / 60, 0, 1))
    for side in (-1, 1):
        canvas.fill(p.strip(z, side, 22, 84, 40 * grow, 1), muscle)
        canvas.fill(p.strip(z, side, -24, 34, 30 * grow, 4), muscle)
        canvas.fill(p.strip(z, side, -60, -22, 16 * grow, 4), muscle)
        if z < 552:
            draw_wing(canvas, p, z, side, grow)
        else:
            draw_hip(canvas, p, z, side)
    t = float(np.interp(z, [455, 575], [1, 0.2]))
    if 452 < z < 575:
        at = 0, 74 + p.back
        canvas.fill(p.blob("sacrum", at, (50 * t, 18 * t + 4), z, rough=0.12), CORTEX - 70)
        canvas.fill(p.blob("sacrum", at, (50 * t - 2.4, 18 * t + 1.6), z, rough=0.12), 150)
        for x in (-22 * t, 0, 22 * t):
            canvas.disc(x, at[1] + (4 if x == 0 else -2), 5 * t, 10)


def draw_wing(canvas: Canvas, p: Patient, z: float, side: int, grow: float) -> None:
    """The iliac bone's wing with the iliac muscle inside it."""
    t = float(np.interp(z, [440, 550], [0, 1]))
    wing = np.array(
        [(40 + 18 * t, 70), (66 + 6 * t, 50), (94 - 4 * t, 18), (112 - 18 * t, -24 + 22 * t)]
    )
    wing = wing * (side * p.width, 1) + (0, p.back)
    canvas.fill(
        p.blob(f"iliacus{side}", wing[2] - (side * 14, 8), (20, 26), z, side * 0.6), p.hu["muscle"]
    )
    u = np.linspace(0, 1, 10)
    line = np.stack([np.interp(u, np.linspace(0, 1, 4), wing[:, i]) for i in (0, 1)], 1)
    width = (9 + 5 * t) * (0.4 + 0.6 * grow)
    canvas.stroke(line, width, CORTEX)
    canvas.stroke(line[1:-1], max(width - 4, 1.5), SPONGE)


def draw_hip(canvas: Canvas, p: Patient, z: float, side: int) -> None:
    """Socket and head of the hip, the bones before and behind them."""
    x = side * 88 * p.width
    size = np.sqrt(max(0.05, 1 - ((z - 575) / 30) ** 2))
    socket = p.blob(f"hip{side}", (x - side * 12, 14), (26, 32), z, rough=0.07)
    canvas.fill(socket, CORTEX)
    canvas.fill(p.blob(f"hip{side}", (x - side * 12, 14), (23.5, 29.5), z, rough=0.07), 230)
    canvas.disc(x + side * 6, 8, 27 * size, 60)
    canvas.disc(x + side * 6, 8, 24 * size, CORTEX + 40)
    canvas.disc(x + side * 6, 8, 22 * size, 290)
    if z > 580:
        ramus = np.array([(x - side * 14, -14), (side * 36, -46), (side * 5, -52)])
        canvas.stroke(ramus, 13, CORTEX)
        canvas.stroke(ramus, 8, SPONGE)
