"""Is the phantom believable? Phantom beside real slices, and their statistics together.

Tested in tests/browser/test_report.py, on a report whose notebook 01 draws both figures.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from camreader.cohorts import pixels, windows
from camreader.cohorts.deeplesion import read_info
from camreader.common import style
from camreader.common.study import Study
from camreader.common.tables import UNKNOWN_REGION
from camreader.phantom import real_lesions, scanner
from camreader.phantom import realism as likeness

WINDOWS = {name: windows.WINDOWS[name] for name in ("soft tissue", "lung", "bone")}
SHOWN = ("lung", "mediastinum", "liver", "kidney", "pelvis")  # one phantom slice of each region
PHANTOM, REAL = "#0072B2", "0.25"
NO_PHANTOM = "This cohort is real: there is no phantom to compare"
CROP_MM, COLUMNS = 80, 6  # of the pictures of single lesions


def source(study: Study) -> Path | None:
    """The phantom's folder, or None where the cohort is no phantom."""
    folder = Path(study.card["source"])
    return folder if (folder / "phantom.json").exists() else None


def phantom_slices(folder: Path | str) -> list[Path]:
    """Paths of one key slice per region of SHOWN, as far as the phantom has them."""
    lesions = likeness.read_truth(folder)[1]
    keys = lesions[lesions.key == 1].drop_duplicates("region").set_index("region")
    rows = [keys.loc[name] for name in SHOWN if name in keys.index]
    return [Path(folder) / f"Images_png/{row.series}/{row.slice:03d}.png" for row in rows]


def real_slices(folder: Path | str | None) -> list[Path]:
    """Paths of three real slices, one per series first; [] where there is no such folder."""
    series = sorted((Path(folder) / "Images_png").glob("*")) if folder else []
    stacks = [sorted(one.glob("*.png")) for one in series]
    stacks = [stack for stack in stacks if stack]
    if not stacks:
        return []
    picks = [(stacks[i % len(stacks)], i // len(stacks)) for i in range(3)]
    return [stack[len(stack) // 2 if not turn else -turn] for stack, turn in picks]


def realism(study: Study, real_folder: Path | str | None = None) -> Figure:
    """Phantom beside real slices in three windows; phantom alone where no real slice is at hand."""
    if (folder := source(study)) is None:
        return style.refusal(NO_PHANTOM)
    ours, real = phantom_slices(folder), real_slices(real_folder)
    columns = [(path, "phantom") for path in ours] + [(path, "real") for path in real]
    size = (1.75 * len(columns), 1.85 * len(WINDOWS))
    figure, axes = plt.subplots(len(WINDOWS), len(columns), figsize=size, squeeze=False)
    for column, (path, kind) in enumerate(columns):
        hu = pixels.read_hu(path)
        for row, (name, (centre, width)) in enumerate(WINDOWS.items()):
            ax = axes[row, column]
            ax.imshow(hu, vmin=centre - width / 2, vmax=centre + width / 2)
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
            if column == 0:
                ax.set_ylabel(f"{name}\n{centre}/{width} HU", fontsize=8)
        axes[0, column].set_title(kind, fontsize=9, color=PHANTOM if kind == "phantom" else REAL)
    if not real:
        figure.suptitle("No real slices at hand: phantom only", fontsize=9)
    return figure


def lesions(study: Study, real_folder: Path | str | None = None, count: int = 12) -> Figure:
    """`count` phantom lesions, and as many real ones below where a folder of them is given.

    Each is in the middle of a square of CROP_MM, in the lung window if it lies in the lung, else in
    the soft-tissue window.
    """
    if (folder := source(study)) is None:
        return style.refusal(NO_PHANTOM)
    ours, real = phantom_lesions(folder, count), real_lesions.read_lesions(real_folder)[:count]
    lines = [math.ceil(len(rows) / COLUMNS) for rows in (ours, real)]
    size = (1.7 * COLUMNS, 1.85 * sum(lines) + 0.3)
    figure, axes = plt.subplots(sum(lines), COLUMNS, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for rows, kind, first in ((ours, "phantom", 0), (real, "real", lines[0] * COLUMNS)):
        for axis, row in zip(axes.flat[first:], rows.itertuples(), strict=False):
            _one_lesion(axis, row, kind)
    if not len(real):
        figure.suptitle("No real lesions at hand (REAL_SLICES is empty): phantom only", fontsize=9)
    return figure


def phantom_lesions(folder: Path | str, count: int = 12) -> pd.DataFrame:
    """The first `count` measured lesions of the phantom, unselected: region, box, path, spacing."""
    truth = likeness.read_truth(folder)[1]
    keys = truth[truth.key == 1].sort_values(["series", "lesion_id"]).head(count)
    spacing = read_info(Path(folder) / "DL_info.csv").drop_duplicates("series_id")
    spacing = keys["series"].map(spacing.set_index("series_id")["spacing_mm"])
    names = keys["series"] + "/" + keys["slice"].map("{:03d}.png".format)
    keys = keys.assign(path=[Path(folder) / "Images_png" / name for name in names])
    return keys.assign(spacing_mm=spacing).sort_values("region", kind="stable")


def _one_lesion(axis: Axes, row: Any, kind: str) -> None:
    """A square of CROP_MM round a lesion, whatever the pixels' size."""
    hu = pixels.read_hu(row.path)
    x, y = (row.x1 + row.x2) / 2, (row.y1 + row.y2) / 2
    centre, width = WINDOWS["lung" if row.region == "lung" else "soft tissue"]
    axis.imshow(hu, vmin=centre - width / 2, vmax=centre + width / 2, interpolation="bilinear")
    half = CROP_MM / row.spacing_mm / 2
    axis.set(xlim=(x - half, x + half), ylim=(y + half, y - half), facecolor="black")
    region = "" if row.region == UNKNOWN_REGION else f": {row.region}"
    axis.set_title(f"{kind}{region}", fontsize=8, color=PHANTOM if kind == "phantom" else REAL)


def sample(folder: Path | str, count: int = 120) -> list[np.ndarray]:
    """HU of up to `count` slices spread evenly over a DeepLesion-like folder."""
    paths = sorted((Path(folder) / "Images_png").glob("*/*.png"))
    step = max(1, math.ceil(len(paths) / count))
    return [pixels.read_hu(path) for path in paths[::step]]


def statistics(
    study: Study, real_folder: Path | str | None = None
) -> tuple[Figure, pd.DataFrame | None]:
    """Noise, size and contrast of the phantom against the real ones: figure and table.

    Real numbers are those published or measured on DeepLesion (`likeness`); where real slices are
    at hand, their noise is measured here by the same code as the phantom's.
    """
    if (folder := source(study)) is None:
        return style.refusal(NO_PHANTOM), None
    slices = sample(folder)
    real = sample(real_folder) if real_folder and real_slices(real_folder) else []
    sds = np.array([likeness.noise_sd(hu) for hu in slices])
    figure, axes = plt.subplots(2, 2, figsize=(8.4, 6))
    _spectra(axes[0, 0], slices, real)
    _noise(axes[0, 1], sds, [likeness.noise_sd(hu) for hu in real])
    lesions = likeness.read_truth(folder)[1]
    measured = lesions[lesions.key == 1]
    _sizes(axes[1, 0], measured.diameter_mm)
    _contrasts(axes[1, 1], measured[measured.region == "liver"].contrast_hu)
    return figure, likeness.comparison(folder, sds)


def _spectra(ax: Axes, slices: list[np.ndarray], real: list[np.ndarray]) -> None:
    f, power = likeness.noise_spectrum(slices)
    ax.plot(f, power, "o-", color=PHANTOM, ms=4, label=f"phantom, {len(slices)} slices")
    if real:
        ax.plot(
            *likeness.noise_spectrum(real), "s", color=REAL, ms=4, label=f"real, {len(real)} slices"
        )
    fit = scanner.noise_power(f)
    ax.plot(f, fit / fit.mean(), "--", color=REAL, lw=1, label="fit to real slices")
    ax.set(xlabel="cycles per pixel", ylabel="noise power (mean 1)", title="Noise spectrum")
    ax.legend(frameon=False)


def _noise(ax: Axes, sds: np.ndarray, real: Sequence[float]) -> None:
    ax.hist(sds[np.isfinite(sds)], bins=20, color=PHANTOM, alpha=0.75, label="phantom slices")
    _band(ax, likeness.REAL_NOISE_SD, "real: median, 5–95 %")
    if real:
        ax.axvline(np.nanmedian(real), color=REAL, ls=":", label="these real slices: median")
    ax.set(xlabel="noise SD in the body, HU", ylabel="slices", title="Noise")
    _legend_above(ax)


def _sizes(ax: Axes, diameters: pd.Series) -> None:
    bins = np.geomspace(5, 100, 24).tolist()
    ax.hist(diameters, bins=bins, color=PHANTOM, alpha=0.75, label=f"phantom, n = {len(diameters)}")
    _band(ax, likeness.REAL_DIAMETER_MM, "real: median, 5–95 %")
    ax.set(xscale="log", xlabel="long axis of measured lesions, mm", ylabel="lesions", title="Size")
    ax.set_xticks([7, 10, 20, 40, 60], ["7", "10", "20", "40", "60"])
    ax.minorticks_off()
    _legend_above(ax)


def _contrasts(ax: Axes, contrast: pd.Series) -> None:
    bins = list(range(-120, 80, 8))
    ax.hist(contrast, bins=bins, color=PHANTOM, alpha=0.75, label=f"phantom, n = {len(contrast)}")
    _band(ax, likeness.REAL_LIVER_HU, "real: median, quartiles")
    ax.set(xlabel="liver lesion minus ring, HU", ylabel="lesions", title="Liver lesion contrast")
    _legend_above(ax)


def _band(ax: Axes, quantiles: Sequence[float], label: str) -> None:
    low, middle, high = quantiles
    ax.axvspan(low, high, color=REAL, alpha=0.12, lw=0)
    ax.axvline(middle, color=REAL, lw=1.5, label=label)


def _legend_above(ax: Axes) -> None:
    """A legend in headroom of its own: over the bars it could not be read."""
    ax.set_ylim(top=1.45 * ax.get_ylim()[1])
    ax.legend(frameon=False, loc="upper left", fontsize=8)
