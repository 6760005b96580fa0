"""Figures of notebook 05: the published readings, their agreement and the claims ledger."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from camreader.common.style import NO_TUMOR, SOUND, TUMOR
from camreader.published.paper import matching_counts, nearest_counts
from camreader.published.verdicts import kind

PATTERNS = {  # who stands alone, and the colour of that row
    "all three agree": "#FFFFFF",
    "radiologist alone": "#F4E58A",
    "label alone": "#BFD8C8",
    "network alone": "#D9B3D6",
}
VERDICTS = {
    "reproduced": "#009E73",
    "consistent, one cell missing": "#7FC8F8",
    "not supported": "#F0C75E",
    "no count of the images": "#7B3294",
    "contradicted": "#D55E00",
    "cannot be checked": "#C8C8C8",
}
COLUMNS = {
    "label": "Label",
    "cnn": "Network",
    "reader": "Radiologist",
    "finding": "Finding named",
    "helpfulness": "Heat-map helpful?",
}
WIDTHS = (0.9, 1.7, 1.7, 1.9, 3.1, 2.2)


def _source(figure: Figure) -> Figure:
    """The words that say where the numbers come from, as `style.label_cohort` does for slices."""
    figure.set_layout_engine("constrained", rect=(0, 0.025, 1, 0.975))  # room for the words
    words = "published numbers: Applied Sciences 2022, 12, 7748"
    figure.text(0.999, 0.001, words, ha="right", va="bottom", size=7, color="0.35")
    return figure


def who_stands_alone(row: pd.Series) -> str:
    """The name in PATTERNS for one row of Table 3."""
    if row["label"] == row["cnn"]:
        return "all three agree" if row["reader"] == row["label"] else "radiologist alone"
    return "label alone" if row["reader"] == row["cnn"] else "network alone"


def table3(values: pd.DataFrame, statuses: pd.DataFrame) -> Figure:
    """Table 3 as a picture: rows coloured by who stands alone, doubtful cells hatched."""
    figure, axes = plt.subplots(figsize=(9, 6.4))
    edges = np.concatenate([[0], np.cumsum(WIDTHS)])
    for x, title in zip(edges, ("Image", *COLUMNS.values()), strict=False):
        axes.text(x + 0.1, -0.5, title, weight="bold", va="center")
    for y, (image, row) in enumerate(values.iterrows()):
        colour = PATTERNS[who_stands_alone(row)]
        _cell(axes, 0, y, WIDTHS[0], str(image), colour, "printed")
        for x, width, column in zip(edges[1:], WIDTHS[1:], COLUMNS, strict=False):
            status = statuses.loc[image, column]
            _cell(axes, x, y, width, _words(row[column], status, column), colour, status)
    axes.set(xlim=(0, edges[-1]), ylim=(len(values) + 0.1, -1))
    axes.axis("off")
    handles = [Patch(facecolor=c, edgecolor="0.6", label=n) for n, c in PATTERNS.items()]
    handles += [
        Patch(facecolor="white", edgecolor="0.5", hatch="///", label="inferred"),
        Patch(facecolor="white", edgecolor="0.5", hatch="xxx", label="missing"),
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, frameon=False)
    return _source(figure)


def _words(value: Any, status: str, column: str) -> str:
    if status == "missing":
        return "Yes or Some" if column == "helpfulness" else "missing"
    return value if isinstance(value, str) else ""


def _cell(
    axes: Axes, x: float, y: float, width: float, text: str, colour: str, status: str
) -> None:
    hatch = {"inferred": "///", "missing": "xxx"}.get(status)
    look: dict[str, Any] = {"edgecolor": "0.7" if hatch else "white", "hatch": hatch}
    axes.add_patch(Rectangle((x, y), width, 1, linewidth=1, facecolor=colour, **look))
    weight = {"Has Tumor": TUMOR, "No Tumor": NO_TUMOR}.get(text, "0.15")
    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.5} if hatch else None
    axes.text(x + 0.1, y + 0.5, text, va="center", color=weight, bbox=box)


def agreement(frame: pd.DataFrame) -> Figure:
    """Forest plot of agreement statistics: one row each, hollow where no interval exists."""
    order = ["raw agreement", "Gwet's AC1", "Cohen's kappa", "Fleiss's kappa"]
    order += ["Krippendorff's alpha", "sensitivity", "specificity"]
    shown = frame[frame["statistic"].isin(order)].reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(9, 0.29 * (len(shown) + shown["pair"].nunique()) + 0.9))
    y, ticks = 0, []
    for pair, group in shown.groupby("pair", sort=False):
        axes.text(-1.02, y, pair, weight="bold", va="center")
        for row in group.itertuples():
            y += 1
            _estimate(axes, row, y)
            ticks.append((y, row.statistic))
        y += 1
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set(xlim=(-1.05, 1.75), ylim=(y - 0.3, -0.7), xlabel="value, 95 % interval")
    axes.set_xticks(np.arange(-1, 1.1, 0.5))
    axes.set_yticks([at for at, _ in ticks], [name for _, name in ticks])
    return _source(figure)


def _estimate(axes: Axes, row: Any, y: float) -> None:
    defined = not np.isnan(row.low)
    face = SOUND if defined else "white"
    if defined:
        axes.plot([row.low, row.high], [y, y], color=SOUND, linewidth=2)
    axes.plot(row.value, y, "o", color=SOUND, markerfacecolor=face)
    words = f"{row.value:.2f} ({row.low:.2f} to {row.high:.2f})"
    words = words if defined else f"{row.value:.2f}, degenerate: no interval"
    axes.text(1.08, y, words, va="center", size="small")


def claims(ledger: pd.DataFrame) -> Figure:
    """How many claims of each section got which verdict."""
    table = ledger.assign(kind=ledger["verdict"].map(kind))
    sections = list(dict.fromkeys(table["section"]))
    counts = table.groupby(["section", "kind"]).size().unstack(fill_value=0).loc[sections[::-1]]
    figure, axes = plt.subplots(figsize=(9, 3.6))
    left = np.zeros(len(counts))
    for name, colour in VERDICTS.items():
        widths = counts.get(name, 0 * left)
        bars = axes.barh(counts.index, widths, left=left, color=colour, label=name)
        ink = "white" if sum(to_rgb(colour)) < 1.4 else "black"
        words = [str(w) if w else "" for w in widths]
        axes.bar_label(bars, words, label_type="center", color=ink)
        left = left + np.asarray(widths)
    axes.set(xlabel=f"claims (of {len(ledger)})")
    axes.margins(x=0.02)
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return _source(figure)


def granularity(percents: dict[str, str], n_test: int) -> Figure:
    """For each printed percentage: how near can a count of n images come?

    A dot per n; those under the line round to the printed digits and are marked.
    """
    size = (9, 1.75 * len(percents))
    figure, all_axes = plt.subplots(nrows=len(percents), sharex=True, figsize=size)
    for axes, (title, percent) in zip(all_axes, percents.items(), strict=True):
        near, fits = nearest_counts(percent), matching_counts(percent)
        axes.semilogy(near["n"], near["gap"].clip(1e-5), ".", color="0.7", markersize=3)
        axes.axvline(n_test, color=NO_TUMOR, linestyle=":")
        decimals = len(percent.partition(".")[2])
        axes.axhline(0.5 * 10**-decimals, color=TUMOR, linewidth=0.8)
        hits = near[near["n"].isin(fits["n"])]
        axes.plot(hits["n"], hits["gap"].clip(1e-5), "o", color=TUMOR, markersize=5)
        words = f"{len(fits)} counts fit" if len(fits) else "no count fits"
        words = "{k} of {n} only".format(**fits.iloc[0]) if len(fits) == 1 else words
        axes.set_title(f"{title}: {percent} %, {words}", loc="left")
        axes.set(ylim=(5e-6, 100), yticks=[1e-4, 1e-2, 1])
    words = f"number of images n; dotted: {n_test} test images; line: limit of rounding"
    all_axes[-1].set(xlabel=words)
    figure.supylabel("distance of the nearest k/n, percentage points", size="medium")
    return _source(figure)
