"""The design of a reading as a figure: the steps of one case, and each reader's order."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import FancyBboxPatch

from camreader.common.style import NO_TUMOR, TUMOR, refusal
from camreader.session.progress import Design

PRACTICE, LOCK = "0.75", "#009E73"
STEPS = {
    "sequential": (
        ("slice alone", "windows, zoom,\nno time limit", NO_TUMOR),
        ("first answer", "diagnosis and\nconfidence 1–5", NO_TUMOR),
        ("locked", "on disk, and\nnever changed", LOCK),
        ("the network", "its answer and\nheat-map appear", TUMOR),
        ("second answer", "and was the\nheat-map helpful?", TUMOR),
    ),
    "crossover": (
        ("part 1", "half of the cases alone,\nhalf with heat-map", NO_TUMOR),
        ("answer", "on disk before\nthe next case", LOCK),
        ("washout", "{washout:g} days\nwithout cases", "0.45"),
        ("part 2", "the same cases,\nthe other way round", TUMOR),
        ("answer", "on disk before\nthe next case", LOCK),
    ),
}


def design(design: Design) -> Figure:
    """One case from left to right above; below, a row per reader, coloured by case."""
    if design.refused:
        return refusal(design.refused)
    rows = len(design.slots)
    figure, (top, low) = plt.subplots(
        2, 1, figsize=(9.5, 2.9 + 0.34 * rows), height_ratios=[1.5, 0.9 + 0.3 * rows]
    )
    plan = design.card["plan"]
    _flow(top, STEPS[plan["design"]], plan["washout_days"])
    image = _orders(low, design)
    bar = figure.colorbar(image, ax=low, pad=0.01, aspect=12)
    bar.set_label("case number", size=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _flow(axes: Axes, steps: tuple, washout: float) -> None:
    for place, (title, words, colour) in enumerate(steps):
        box = FancyBboxPatch(
            (place + 0.04, 0.12), 0.84, 0.76, boxstyle="round,pad=0,rounding_size=0.06"
        )
        box.set(facecolor=colour, alpha=0.13, edgecolor="none")
        axes.add_patch(box)
        axes.text(place + 0.46, 0.64, title, ha="center", va="center", weight="bold", color=colour)
        words = words.format(washout=washout)
        axes.text(place + 0.46, 0.34, words, ha="center", va="center", size=8, color="0.25")
        if place:
            arrow = {"arrowstyle": "-|>", "color": "0.5"}
            axes.annotate("", (place + 0.05, 0.5), (place - 0.13, 0.5), arrowprops=arrow)
    axes.set(xlim=(0, len(steps) - 0.05), ylim=(0, 1))
    axes.axis("off")


def _orders(axes: Axes, design: Design) -> AxesImage:
    """A cell per stop; grey is practice, a dot means with the heat-map (crossover)."""
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
    crossover = design.card["plan"]["design"] == "crossover"
    for row, slot in enumerate(design.slots):
        steps = design.steps(slot)
        aided = [place for place, step in enumerate(steps, 1) if step.phase == "aided"]
        axes.plot(aided, [row] * len(aided), ".", color="white", markersize=3)
    if crossover:
        second = next(place for place, step in enumerate(steps, 1) if step.period == 2)
        axes.axvline(second - 0.5, color="white", linewidth=4)
        axes.axvline(second - 0.5, color=TUMOR, linewidth=1.5, linestyle="--")
    axes.set_yticks(range(len(grid)), [str(slot) for slot in design.slots])
    dots = "; a white dot: with the heat-map; dashed: the washout" if crossover else ""
    axes.set(xlabel=f"stop (grey: practice{dots})", ylabel="reader")
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image
