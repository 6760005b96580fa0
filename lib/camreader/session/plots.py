"""The design of a reading as a figure: the steps of one case, and each reader's order."""

from itertools import pairwise
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import FancyBboxPatch

from camreader.common.style import NO_TUMOR, TUMOR, refusal
from camreader.session.progress import Design
from camreader.session.stages import ASSIGN, Paradigm, Stage

PRACTICE, LOCK = "0.75", "#009E73"
SHOWN = {"answer": "answer", "probability": "probability", "map": "map", "text": "a note"}


def design(design: Design) -> Figure:
    """One case from left to right above; below, a row per reader, coloured by case."""
    if design.refused:
        return refusal(design.refused)
    rows, arms = len(design.slots), len(design.paradigm.arms)
    figure, (top, low) = plt.subplots(
        2,
        1,
        figsize=(9.5, 1.9 + 0.8 * arms + 0.34 * rows),
        height_ratios=[0.6 + 0.8 * arms, 0.9 + 0.3 * rows],
    )
    _flow(top, design.paradigm)
    image = _orders(low, design)
    bar = figure.colorbar(image, ax=low, pad=0.01, aspect=12)
    bar.set_label("case number", size=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _flow(axes: Axes, paradigm: Paradigm) -> None:
    """A row per arm: its stages, what each shows, and the lock after each answer."""
    widest = max(len(arm.stages) for arm in paradigm.arms)
    for row, arm in enumerate(paradigm.arms):
        name = "each case" if len(paradigm.arms) == 1 else f"arm: {arm.name}"
        axes.text(-0.08, row, name, ha="right", va="center", size=9, color="0.25")
        for place, stage in enumerate(arm.stages):
            colour = TUMOR if stage.shows else NO_TUMOR
            box = FancyBboxPatch(
                (place + 0.02, row - 0.36), 0.82, 0.72, boxstyle="round,pad=0,rounding_size=0.06"
            )
            box.set(facecolor=colour, alpha=0.13, edgecolor="none")
            axes.add_patch(box)
            title = stage.name.replace("_", " ")
            middle: dict[str, Any] = {"ha": "center", "va": "center"}
            axes.text(place + 0.43, row - 0.12, title, weight="bold", color=colour, **middle)
            axes.text(place + 0.43, row + 0.17, _shown(stage), size=8, color="0.25", **middle)
            if place:
                arrow = {"arrowstyle": "-|>", "color": LOCK}
                axes.annotate("", (place + 0.02, row), (place - 0.16, row), arrowprops=arrow)
    axes.set(xlim=(-0.9, widest + 0.05), ylim=(len(paradigm.arms) - 0.4, -0.6))
    first, second = (name.replace("_", " ") for name in paradigm.contrast)
    axes.set_title(
        f"{ASSIGN[paradigm.assign]}; every answer is locked before the next stage\n"
        f"primary contrast: {first} minus {second}",
        size=9,
        loc="left",
    )
    axes.axis("off")


def _shown(stage: Stage) -> str:
    """What a stage shows, and which map: a figure for who runs the study, not for readers."""
    parts = [SHOWN[part] for part in stage.shows if part != "map"]
    parts += [f"map ({stage.map.replace('_', ' ')})"] * ("map" in stage.shows)
    lines = [", ".join(parts[k : k + 2]) for k in range(0, len(parts), 2)]
    return "\n".join(lines) or "the slice alone"


def _orders(axes: Axes, design: Design) -> AxesImage:
    """A cell per stop; grey is practice, a white dot the last arm, a bar a washout."""
    practice = {entry["case"] for entry in design.card["cases"] if entry["training"]}
    grid = np.array(
        [
            [np.nan if step.case in practice else int(step.case[1:]) for step in design.steps(slot)]
            for slot in design.slots
        ]
    )
    axes.set_facecolor(PRACTICE)
    extent = (0.5, grid.shape[1] + 0.5, len(grid) - 0.5, -0.5)
    image = axes.imshow(grid, cmap="viridis", aspect="auto", extent=extent)
    marked = design.paradigm.arms[-1].name if len(design.paradigm.arms) > 1 else ""
    for row, slot in enumerate(design.slots):
        steps = design.steps(slot)
        places = [place for place, step in enumerate(steps, 1) if step.phase == marked]
        axes.plot(places, [row] * len(places), ".", color="white", markersize=3)
        for place, (before, after) in enumerate(pairwise(steps), 1):
            if after.period != before.period:
                axes.plot([place + 0.5] * 2, [row - 0.5, row + 0.5], color="white", linewidth=4)
                axes.plot([place + 0.5] * 2, [row - 0.5, row + 0.5], color=TUMOR, linewidth=1.5)
    axes.set_yticks(range(len(grid)), [str(slot) for slot in design.slots])
    dots = f"; a white dot: arm {marked}" if marked else ""
    dots += "; a bar: washout" if design.paradigm.periods > 1 else ""
    axes.set(xlabel=f"stop (grey: practice{dots})", ylabel="reader")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
