"""Figures of what the map did: stage by stage, by where it lay, and where it would pay."""

# mypy: disable-error-code="arg-type,index"
# (the stubs of pandas and matplotlib are narrower than what these calls accept)

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from camreader.common.style import intervals
from camreader.reader_study.plots import (
    BENEFIT,
    DIFFERENCE_COLOURS,
    HARM,
    OTHER,
    colours,
    counts_of,
    draw_changes,
    measured,
    named,
)
from camreader.reader_study.study import ReaderStudy


@measured
def draw_stepwise(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """AUC, sensitivity and specificity at each stage with 95 % intervals, and the changes."""
    names, palette = list(dict.fromkeys(table["stage"])), colours(reader_study)
    endpoints = list(dict.fromkeys(table["endpoint"]))
    width = 1.2 + max(2.6, 0.95 * len(names)) * len(endpoints)
    figure, axes = plt.subplots(1, len(endpoints), figsize=(width, 3.9), sharey=True)
    for ax, endpoint in zip(np.atleast_1d(axes), endpoints, strict=True):
        rows = table[table["endpoint"] == endpoint].set_index("stage").loc[names]
        for before, after in zip(rows["previous"], names, strict=True):
            if before in names:  # not the first stage
                ends = rows.loc[[before, after], "value"]
                ax.plot([names.index(before), names.index(after)], ends, color="0.8", zorder=1)
        for k, (name, row) in enumerate(rows.iterrows()):
            ends = [[row["value"]], [row["low"]], [row["high"]]]
            intervals(ax, [k], ends, fmt="o", ms=7, color=palette[name], lw=1.5)
            if pd.notna(row["change_low"]):
                points = [100 * row[n] for n in ("change", "change_low", "change_high")]
                words = "{:+.1f}\n({:+.1f} to {:+.1f})".format(*points)
                ax.annotate(
                    words, (k, 0), xycoords=("data", "axes fraction"), size=7, ha="center",
                    xytext=(0, 4), textcoords="offset points",
                )  # fmt: skip
        ax.set_xticks(range(len(names)), [named(name).replace("_", "\n") for name in names])
        ax.set(title=endpoint, xlim=(-0.6, len(names) - 0.4))
    lowest = np.nanmin(table["low"]) if table["low"].notna().any() else 0.5
    np.atleast_1d(axes)[0].set_ylim(lowest - 0.14, 1.01)
    np.atleast_1d(axes)[0].set_ylabel("value with its 95 % interval;\nbelow: change, points")
    return figure


@measured
def draw_hits(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Benefit and harm where the map lay on the lesion and where not, network right or wrong."""
    table = table[table["readings"] > 0].reset_index(drop=True)
    rows = np.arange(len(table))[::-1]
    figure, ax = plt.subplots(figsize=(8, 1.5 + 0.42 * len(table)))
    for word, said, sign, colour in (
        ("benefit", "wrong, then right", 1, BENEFIT),
        ("harm", "right, then wrong", -1, HARM),
    ):
        style = {"height": 0.6, "color": colour, "error_kw": {"lw": 1, "ecolor": "0.3"}}
        draw_changes(ax, rows, table, word, sign, label=said, **style)
        for y, counts in zip(rows, counts_of(table, word), strict=True):
            ax.text(sign * 118, y, counts, va="center", ha="center", size=8, color=colour)
    several = table["step"].nunique() > 1
    words = {"hit": "map on the lesion", "missed": "map elsewhere", "no lesion": "no lesion"}
    titles = [f"{r.step}: " * several + f"{words[r.map]}, CNN {r.cnn}" for r in table.itertuples()]
    ax.set_yticks(rows, titles)
    ax.axvline(0, color="0.3", lw=0.8)
    ax.set(xlim=(-135, 135), xlabel="% of readings that could change that way, 95 % interval")
    ax.set_xticks(range(-100, 101, 50), [f"{abs(x)}" for x in range(-100, 101, 50)])
    ax.legend(frameon=False, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))
    if not several:
        ax.set_title(table["step"].iloc[0], loc="right", size=9)
    return figure


@measured
def draw_break_even(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Expected gain per 1,000 cases against the network's error rate, a line per prevalence."""
    compared = list(dict.fromkeys(table["compared"]))
    figure, axes = plt.subplots(1, len(compared), figsize=(4.6 * len(compared), 3.9), squeeze=False)
    for ax, name in zip(axes[0], compared, strict=True):
        groups = table[table["compared"] == name].groupby("prevalence")
        for colour, (prevalence, part) in zip(
            (*DIFFERENCE_COLOURS, OTHER, "0.3") * 2, groups, strict=False
        ):
            rates = 100 * part["error_rate"]
            ax.plot(rates, part["gain"], color=colour, lw=2, label=f"{100 * prevalence:g} %")
            ax.fill_between(rates, part["low"], part["high"], color=colour, alpha=0.15, lw=0)
        ax.axhline(0, color="0.3", lw=0.8)
        ax.set(title=name.replace("_", " "), xlabel="error rate of the network, %")
    odds = (1 - table["threshold"].iloc[0]) / table["threshold"].iloc[0]
    words = f"net benefit per 1,000 cases\n(a tumor is worth {odds:.0f} false alarms)"
    axes[0, 0].set_ylabel(words)
    axes[0, -1].legend(
        frameon=False, title="prevalence", loc="upper left", bbox_to_anchor=(1, 1), fontsize=8
    )
    return figure
