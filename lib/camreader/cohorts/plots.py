"""Figures of the cohort: example slices, counts, and what the label rules hide."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from camreader.cohorts import pixels, windows
from camreader.cohorts.classes import names
from camreader.common.style import NO_TUMOR, TUMOR, refusal
from camreader.common.tables import parse_boxes


def examples(frame: pd.DataFrame, card: Mapping, columns: int = 5, seed: int = 0) -> Figure:
    """Slices with a lesion above, without below, from as many regions as possible; boxes drawn."""
    figure, axes = plt.subplots(2, columns, figsize=(2.3 * columns, 5.6), squeeze=False)
    for label, row in ((1, axes[0]), (0, axes[1])):
        picked = _spread(frame[frame["label"] == label], columns, seed)
        for axis in row:
            axis.axis("off")
        for axis, item in zip(row, picked.itertuples(), strict=False):
            _slice(axis, item, card)
    return figure


def _spread(part: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Up to `count` rows, one region after the other, in seeded order."""
    mixed = part.sample(frac=1, random_state=seed)
    turn = mixed.groupby("region").cumcount()
    return mixed.assign(turn=turn).sort_values(["turn", "region"], kind="stable").head(count)


def _slice(axis: Axes, item: Any, card: Mapping) -> None:
    """One slice at full resolution in the window of its region, with its lesion boxes."""
    name, (centre, width) = windows.for_region(card, item.region)
    hu = pixels.read_hu(Path(card["source"]) / item.image_path)
    axis.imshow(windows.window(hu, centre, width), vmin=0, vmax=1)
    for x1, y1, x2, y2 in parse_boxes(item.boxes):
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=TUMOR, linewidth=1.5)
        axis.add_patch(box)
    shown = f"{name} window" if card["hu"] else name
    region = "" if item.region == "unknown" else f", {item.region}"
    colour = TUMOR if item.label else NO_TUMOR
    axis.set_title(f"{names(card)[item.label]}{region}", size=10, color=colour)
    axis.text(0.5, -0.02, shown, transform=axis.transAxes, ha="center", va="top", size=7)


def counts(frame: pd.DataFrame, card: Mapping = MappingProxyType({})) -> Figure:
    """Slices by region and label, with the numbers on the bars."""
    table = frame.groupby(["region", "label"]).size().unstack(fill_value=0)
    table = table.loc[table.sum(axis=1).sort_values().index]
    figure, axes = plt.subplots(figsize=(7, 0.9 + 0.45 * len(table)))
    place = np.arange(len(table))
    for label, shift, colour in ((1, 0.2, TUMOR), (0, -0.2, NO_TUMOR)):
        values = table.get(label, place * 0)
        bars = axes.barh(place + shift, values, 0.38, color=colour, label=names(card)[label])
        axes.bar_label(bars, padding=2, size=8)
    axes.set(yticks=place, yticklabels=table.index, xlabel="slices", ylabel="body region")
    axes.legend(loc="lower right", frameon=False)
    axes.margins(x=0.08)
    return figure


def label_rules(table: pd.DataFrame) -> Figure:
    """Share of "no tumor" slices that hide a lesion, by rule, beside real DeepLesion's."""
    if table.empty:
        return refusal("The labels come with the folder: no rule of this table was used")
    shown = table[table["rule"] != "verified"].iloc[::-1].reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.45 * len(shown)))
    known = shown[shown["share"].notna()]
    bounds = np.abs(known[["low", "high"]].to_numpy(float).T - known["share"].to_numpy(float))
    axes.errorbar(
        100 * known["share"].astype(float),
        known.index,
        xerr=100 * bounds,
        fmt="o",
        color=TUMOR,
        capsize=3,
        label="this cohort, with 95 % interval",
    )
    axes.plot(
        100 * shown["real_deeplesion_share"],
        shown.index,
        "D",
        color="0.45",
        fillstyle="none",
        label="real DeepLesion, 1,000 annotated sub-volumes",
    )
    axes.set(yticks=shown.index, yticklabels=[_rule_name(row) for row in shown.itertuples()])
    axes.set(xlim=(0, 100), xlabel="“no tumor” slices that hide a lesion (%)")
    axes.set_ylim(-0.5, len(shown) - 0.5)
    axes.legend(loc="lower center", bbox_to_anchor=(0.4, 1.0), ncols=2, frameon=False, fontsize=8)
    return figure


def _rule_name(row: Any) -> str:
    if row.rule == "lesion_extent":
        name = "farther than the lesion's extent"
    else:
        name = f"at least {row.distance_mm:g} mm away" if row.distance_mm else "any other slice"
    return f"{name}\n{row.slices:,} slices, truth of {row.with_truth:,}"
