"""Synthetic CT in DeepLesion's own files, with the full truth that the real files lack.

Every patient follows from (seed, number) alone, so the files do not depend on how many processes
wrote them; a patient whose part file exists is not drawn again, and `phantom.json`, written last,
says that the folder is whole. A patient whose images are cut short or gone is always drawn again.
"""

import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camreader.common import machine
from camreader.common.errors import DataError
from camreader.common.source import code_digest
from camreader.common.storage import png_is_whole, read_json, write_json
from camreader.phantom import scanner
from camreader.phantom.abdomen import draw_slice, draw_table
from camreader.phantom.anatomy import BACK, Patient, new_patient
from camreader.phantom.lesions import SHARES, Lesion, new_lesions
from camreader.phantom.paint import paint
from camreader.phantom.sites import RANGES
from camreader.phantom.tables import STEP_MM, lesion_row, record, write_tables

IMAGES, MASKS = "Images_png", "Masks_png"
REACH_MM = 30  # how far from the key slice slices are kept
SLICES_PER_PATIENT = (3, 7)
SPLIT_SHARES = (0.70, 0.15, 0.15)  # DeepLesion's official split: training, validation, test


@dataclass(frozen=True)
class Plan:
    """One patient to draw."""

    folder: str
    seed: int
    number: int
    slices: int
    region: str
    split: int  # 1, 2, 3 as in DL_info.csv
    size: int

    @property
    def series(self) -> str:
        return f"{self.number:06d}_01_01"

    @property
    def part(self) -> Path:
        return Path(self.folder) / ".parts" / f"{self.number:06d}.json"

    @property
    def whole(self) -> bool:
        """True where all images and masks are on disk and none was cut short."""
        series = [Path(self.folder) / kind / self.series for kind in (IMAGES, MASKS)]
        counts = [sum(map(png_is_whole, folder.glob("*.png"))) for folder in series]
        return counts == [self.slices] * 2


def write_phantom(
    folder: Path | str,
    slices: int = 1705,
    seed: int = 0,
    size: int = 512,
    workers: int | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Write a synthetic DeepLesion into `folder`: images, DL_info.csv and the truth; its card.

    Images_png/<series>/<slice>.png are uint16 (HU + 32768), `size` x `size`; Masks_png alike as
    uint8 with the lesion_id of each tumor pixel. DL_info.csv has DeepLesion's 18 columns;
    slice_truth.csv and lesion_truth.csv hold every lesion, measured or not (boxes zero-based,
    last pixel included). Interrupted, it goes on where it stopped; finished, it draws what was lost
    since. `workers`: processes, by default one per core. DataError where `folder` holds other data.
    """
    folder = Path(folder)
    card: dict[str, Any] = {"synthetic": True, "seed": seed, "slices": slices, "size": size}
    card["drawing"] = code_digest("phantom.write", ("phantom", "cohorts"))
    finished = _settle(folder, card)
    plans = _plans(folder, slices, seed, size)
    todo = [p for p in plans if not p.whole or not (finished or p.part.exists())]
    if finished and not todo:
        return read_json(folder / "phantom.json")
    _draw_all(todo, workers, progress)
    os.sync()  # the images were not flushed one by one; phantom.json vouches for them
    if not finished:
        records = [read_json(plan.part) for plan in plans]
        write_tables(folder, records)
        card |= {"patients": len(plans), "tumor_slices": sum(r["tumor_slices"] for r in records)}
        write_json(card, folder / "phantom.json")
    shutil.rmtree(folder / ".parts", ignore_errors=True)
    return read_json(folder / "phantom.json")


def _settle(folder: Path, card: dict[str, Any]) -> bool:
    """True where the folder is finished; else make it ready, keeping only parts of this card."""
    done, begun = folder / "phantom.json", folder / ".parts" / "card.json"
    for path, finished in ((done, True), (begun, False)):
        found = _facts(path)
        if all(found.get(key) == value for key, value in card.items()):
            return finished
    ours = done.exists() or begun.exists()
    if not ours and any((folder / name).exists() for name in ("DL_info.csv", IMAGES)):
        raise DataError("Folder holds data that is no phantom; choose another", file=folder)
    write_json({}, begun)  # killed from here on, the folder is still known as ours
    done.unlink(missing_ok=True)
    for part in begun.parent.glob("[0-9]*.json"):
        part.unlink()
    for name in (IMAGES, MASKS):
        shutil.rmtree(folder / name, ignore_errors=True)
    write_json(card, begun)
    return False


def _facts(path: Path) -> dict[str, Any]:
    """What a card says; {} where there is none, or where it is damaged."""
    try:
        return read_json(path)
    except DataError:
        return {}


def _plans(folder: Path, slices: int, seed: int, size: int) -> list[Plan]:
    """One Plan per patient; slice counts sum to `slices`, regions and splits hold their shares."""
    low, high = SLICES_PER_PATIENT
    if slices < low:
        raise DataError("Too few slices for a phantom", found=slices, expected=f"at least {low}")
    rng = np.random.default_rng([seed, 0])
    patients = max(1, round(slices / 5))
    counts = np.clip(rng.integers(low, high + 1, patients), low, high)
    while counts.sum() != slices:
        step = 1 if counts.sum() < slices else -1
        fits = np.flatnonzero((counts + step >= low) & (counts + step <= high))
        counts[rng.choice(fits)] += step
    regions = _quota(rng, list(SHARES), list(SHARES.values()), patients)
    splits = _quota(rng, [1, 2, 3], SPLIT_SHARES, patients)
    return [
        Plan(str(folder), seed, i + 1, int(counts[i]), regions[i], splits[i], size)
        for i in range(patients)
    ]


def _quota(
    rng: np.random.Generator, names: Sequence[Any], shares: Sequence[float], n: int
) -> list[Any]:
    """List of n names in their shares, as exactly as n allows, in random order."""
    edges = np.rint(np.cumsum(shares) / np.sum(shares) * n).astype(int)
    which = np.searchsorted(edges, np.arange(n), side="right")
    return [names[i] for i in rng.permutation(which)]


def _draw_all(plans: list[Plan], workers: int | None, progress: bool) -> None:
    from tqdm.auto import tqdm

    workers, hidden = workers or machine.cpus(), not (progress and plans)
    shown = partial(tqdm, total=len(plans), desc="phantom", unit="patient", disable=hidden)
    if workers == 1 or len(plans) < 2:
        list(shown(map(draw_patient, plans)))
        return
    with ProcessPoolExecutor(workers) as pool:
        list(shown(pool.map(draw_patient, plans, chunksize=4)))


def draw_patient(plan: Plan) -> None:
    """Draw one patient's slices and write them, their masks and, last, the part file."""
    rng = np.random.default_rng([plan.seed, plan.number])
    patient = new_patient(rng)
    z, lesions, scene = _measured_lesion(plan, rng, patient)
    grid = np.arange(-REACH_MM, REACH_MM + 1, STEP_MM)
    others = rng.choice(grid[grid != 0], plan.slices - 1, replace=False)
    levels = {z + offset: _index(z + offset) for offset in sorted([0, *others])}
    for kind in (IMAGES, MASKS):
        (Path(plan.folder) / kind / plan.series).mkdir(parents=True, exist_ok=True)
    found = []
    for level, index in levels.items():
        found += _draw_slice(plan, rng, patient, lesions, scene, level, index)
    rows = record(plan, rng, scene, patient, lesions, found, list(levels.values()))
    write_json(rows, plan.part)


def _measured_lesion(
    plan: Plan, rng: np.random.Generator, patient: Patient
) -> "tuple[float, list[Lesion], Scene]":
    """Level, lesions and scene of a patient whose first lesion can be seen on its key slice."""
    while True:
        z = rng.uniform(*RANGES[plan.region])
        lesions = new_lesions(rng, patient, plan.region, z)
        if not lesions or (lesions[0].region, lesions[0].kind) != (plan.region, "tumor"):
            continue
        scene = new_scene(rng, patient, lesions[0], z, plan.size)
        canvas = scene.canvas(plan.size)
        draw_slice(canvas, patient, z)
        image = canvas.read(partial(patient.bend, z=z))
        seen = paint(image, canvas, patient, z, lesions[0]).sum() * scene.pixel_mm**2
        if seen > 0.6 * np.pi * np.prod(lesions[0].radii[:2]):
            return z, lesions, scene


def _index(z: float) -> int:
    return round(z / STEP_MM) + 12


@dataclass
class Scene:
    """How one series was acquired."""

    pixel_mm: float
    centre: tuple[float, ...]
    sd: float
    turn: float
    table_y: float
    table: list[tuple[float, float, float, float]]

    def canvas(self, size: int) -> scanner.Canvas:
        return scanner.Canvas(self.pixel_mm, self.centre, size, self.turn)


def new_scene(
    rng: np.random.Generator, patient: Patient, lesion: Lesion, z: float, size: int
) -> Scene:
    """Field of view around the patient (sometimes zoomed), dose, table."""
    broad = 2 * (patient.half_width(z) + patient.fat_at(z)) + 10
    field = np.clip(broad * rng.uniform(0.98, 1.22), 512 * 0.55, 512 * 0.98)
    if rng.random() < 0.07:
        field = 512 * rng.uniform(0.43, 0.6)
    centre = rng.normal((0, 4), 9)
    away = lesion.centre[:2] - centre
    far = np.hypot(*away) + lesion.radii[0] - 0.44 * field
    if far > 0:
        centre = centre + away / np.hypot(*away) * far
    sd = float(scanner.NOISE_SD * np.exp(rng.normal(0, scanner.NOISE_SPREAD)))
    back = BACK * patient.half_depth(z) + patient.fat_at(z) + rng.uniform(3, 14)
    return Scene(field / size, tuple(centre), sd, rng.normal(0, 0.03), back, _table(rng))


def _table(rng: np.random.Generator) -> list[tuple[float, float, float, float]]:
    """Arcs of one of three kinds of table: thin shell, double shell, short bright cradle."""
    kind, hu = rng.integers(3), rng.uniform(-700, -300)
    if kind == 2:
        return [(rng.uniform(15, 35), rng.uniform(60, 95), 3, rng.uniform(0, 250))]
    shell = [(0, 210, 2.5, hu)]
    return shell + [(rng.uniform(14, 30), 200, 1.8, hu - 100)] * int(kind)


def _draw_slice(
    plan: Plan,
    rng: np.random.Generator,
    patient: Patient,
    lesions: list[Lesion],
    scene: Scene,
    z: float,
    index: int,
) -> list[dict[str, Any]]:
    """Draw and write one slice and its mask; its rows for lesion_truth.csv."""
    canvas = scene.canvas(plan.size)
    draw_table(canvas, scene.table_y, scene.table)
    draw_slice(canvas, patient, z)
    image = canvas.read(partial(patient.bend, z=z))
    wall = ~canvas.mask([patient.cavity(z)])
    image += scanner.strands(rng, image, scene.pixel_mm, wall)
    ids, taken, painted = np.zeros(image.shape, np.uint8), np.zeros(image.shape, bool), []
    for lesion in sorted(lesions, key=lambda one: one.kind):  # tumors over cysts
        mask = paint(image, canvas, patient, z, lesion, taken)
        if lesion.kind == "tumor":
            ids[mask] = lesion.number
        taken |= mask
        painted.append((lesion, mask))
    rows = [lesion_row(plan, index, *one, ids, image, taken, scene) for one in painted]
    name = f"{plan.series}/{index:03d}.png"
    scanner.write_png(ids, Path(plan.folder) / MASKS / name)
    hu = scanner.scan(rng, image, scene.pixel_mm, scene.sd)
    scanner.write_png(hu, Path(plan.folder) / IMAGES / name)
    return [row for row in rows if row]
