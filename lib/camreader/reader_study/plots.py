"""Figures of the reader study, each labelled with the source of its readings."""

# mypy: disable-error-code="arg-type,assignment,call-overload,index,operator,str-bytes-safe"
# (the stubs of pandas and matplotlib are narrower than what these calls accept)

from collections.abc import Callable
from functools import wraps
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path

from camreader.common.study import Study
from camreader.common.style import NO_TUMOR, SOUND, TUMOR, intervals, refusal, save
from camreader.reader_study.study import ReaderStudy
from camreader.statistics.mrmc.figures_of_merit import estimate, kernel, roc_points
from camreader.statistics.mrmc.io import arms
from camreader.statistics.mrmc.power import FEWEST_CASES, MOST_CASES

UNAIDED, AIDED = "0.45", TUMOR
OTHER = "#E69F00"
ANSWERS = {"tumor": TUMOR, "other": OTHER, "no tumor": NO_TUMOR}
BENEFIT, HARM = SOUND, "#CC3311"
DIFFERENCE_COLOURS = (NO_TUMOR, SOUND, TUMOR)
PAPER_SIZE = (1, 16)  # readers and cases of the published study


def or_refusal(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """A figure of a table; where the table says why there is none, the figure says so."""

    @wraps(draw)
    def figure(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
        if "refused" in table:
            return refusal(f"Not drawn: {table['refused'].iloc[0]}")
        return draw(reader_study, table)

    return figure


def save_readers(figure: Figure, study: Study, reader_study: ReaderStudy, name: str) -> Figure:
    """Save to reports/figures/<name>.png; the figure says where the readings come from, and in red
    that they are simulated."""
    colour = HARM if reader_study.simulated else "0.35"
    figure.supxlabel(reader_study.source, x=0.995, ha="right", size=7, color=colour)
    return save(figure, study, name, cohort=False)


def colours(reader_study: ReaderStudy) -> dict[str, str]:
    """Colour per modality; grey for the one that the others are compared against."""
    names = reader_study.modalities
    if len(names) < 3 or not reader_study.paradigm:
        palette = [AIDED, UNAIDED, NO_TUMOR, SOUND, OTHER]
        return {name: palette[k % len(palette)] for k, name in enumerate(names)}
    palette, bare = [AIDED, NO_TUMOR, SOUND, OTHER], reader_study.first_stage
    helped = [name for name in names if name != bare]
    return {bare: UNAIDED} | {name: palette[k % 4] for k, name in enumerate(helped)}


def named(modality: str) -> str:
    """A modality as the figures call it; a bare number alone would not say what it is."""
    return f"modality {modality}" if str(modality).isdigit() else str(modality)


def draw_auc_dots(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Each reader's AUC at every stage read, joined; table from `readers_table`."""
    names = reader_study.stages
    if len(names) < 2:
        return refusal("Not drawn: one modality, no pair of dots to join")
    wide = table.pivot(index="reader", columns="modality", values=["auc", "auc_low", "auc_high"])
    wide = wide[wide["auc"].notna().sum(axis=1) > 1]
    if wide.empty:
        return refusal("Not drawn: no reader has an AUC under both modalities")
    wide = wide.sort_values(("auc", names[0]))
    figure, axes = plt.subplots(figsize=(6.5, 1.4 + 0.16 * len(names) * len(wide)))
    rows, palette = np.arange(len(wide)), colours(reader_study)
    offsets = 0.13 * (2 * np.arange(len(names)) - len(names) + 1) * 2 / len(names)
    ends = np.stack([wide["auc", name] for name in names])
    for k in range(len(wide)):
        read = ~np.isnan(ends[:, k])
        axes.plot(ends[read, k], rows[k] + offsets[read], color="0.75", lw=3, zorder=1)
    for offset, name in zip(offsets, names, strict=True):
        each = [wide[column, name] for column in ("auc", "auc_low", "auc_high")]
        style = {"fmt": "o", "ms": 6, "lw": 1, "color": palette[name], "label": named(name)}
        intervals(axes, rows + offset, each, across=True, **style)
    axes.set_yticks(rows, [f"{reader}" for reader in wide.index])
    axes.set(xlabel="AUC with its 95 % interval over cases", ylabel="reader")
    axes.margins(y=0.08)
    axes.legend(frameon=False, ncols=min(len(names), 3), loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def draw_roc(reader_study: ReaderStudy) -> Figure:
    """Empirical ROC per modality: each reader thin, the mean over readers thick."""
    names, palette = reader_study.stages, colours(reader_study)
    scores = arms(reader_study.scores)
    figure, axes = plt.subplots(1, len(names), figsize=(3.5 * len(names), 4.5), sharey=True)
    aucs = estimate(*kernel(scores.positives, scores.negatives))
    axes = np.atleast_1d(axes)
    grid = np.linspace(0, 1, 201)
    for ax, name in zip(axes, names, strict=True):
        means, k = [], scores.modalities.index(name)
        for positives, negatives in zip(scores.positives[k], scores.negatives[k], strict=True):
            if np.isnan(positives).all() or np.isnan(negatives).all():
                continue
            false, true = roc_points(positives, negatives)
            means.append(np.interp(grid, false, true))
            ax.plot(false, true, color=palette[name], lw=0.8, alpha=0.4)
        if means:
            ax.plot(grid, np.mean(means, 0), color=palette[name], lw=2.5)
        ax.plot([0, 1], [0, 1], color="0.8", lw=0.8, ls=":")
        auc = f"mean AUC {np.nanmean(aucs[k]):.3f}" if means else "no AUC: one class only"
        words = f"{named(name)}, {len(means)} reader{'s' * (len(means) != 1)}\n{auc}"
        ax.set(title=words, xlabel="1 − specificity", aspect="equal")
    axes[0].set_ylabel("sensitivity")
    return figure


@or_refusal
def draw_flow(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """How answers moved at the first step, for cases with and without a tumor."""
    step = (table.columns[1], table.columns[2])
    table = table.set_axis(["truth", "before", "after", "readings"], axis=1)
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4))
    for ax, truth, words in zip(axes, (1, 0), ("Tumor present", "No tumor present"), strict=True):
        part = table[table["truth"] == truth]
        ax.set_title(f"{words} ({part['readings'].sum()} readings)")
        ax.axis("off")
        if len(part):
            _draw_bands(ax, part, step, right={"tumor"} if truth else {"no tumor", "other"})
    bands = {"became right": BENEFIT, "became wrong": HARM, "neither": "0.8"}
    handles = [
        Rectangle((0, 0), 1, 1, color=colour, label=words) for words, colour in bands.items()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False)
    return figure


def _draw_bands(ax: Axes, part: pd.DataFrame, step: tuple[str, str], right: set[str]) -> None:
    """Two stacked bars joined by bands: green where wrong turned right, red the other way."""
    tops = {side: _stack(part.groupby(side)["readings"].sum()) for side in ("before", "after")}
    gap_total = max(end for side in tops.values() for _, end in side.values())
    for x, side, name in ((0.0, "before", step[0]), (1.0, "after", step[1])):
        for answer, (low, high) in tops[side].items():
            ax.add_patch(Rectangle((x - 0.05, low), 0.1, high - low, color=ANSWERS[answer]))
            count = part.loc[part[side] == answer, "readings"].sum()
            align = {"ha": "right" if x == 0 else "left", "va": "center", "size": 8}
            ax.text(
                x - 0.08 if x == 0 else x + 0.08, (low + high) / 2, f"{answer} {count}", **align
            )
        ax.text(x, -0.05 * gap_total, name, ha="center", va="bottom", size=9, weight="bold")
    starts = {side: {a: low for a, (low, _) in tops[side].items()} for side in tops}
    for row in sorted(part.itertuples(), key=lambda r: (_rank(r.before), _rank(r.after))):
        left, arrive = starts["before"][row.before], starts["after"][row.after]
        before, after = row.before in right, row.after in right
        colour = "0.8" if before == after else BENEFIT if after else HARM
        _band(ax, left, arrive, row.readings, colour, 0.5 if before == after else 0.85)
        starts["before"][row.before] += row.readings
        starts["after"][row.after] += row.readings
    ax.set(xlim=(-0.55, 1.55), ylim=(gap_total * 1.02, -gap_total * 0.1))


def _stack(counts: pd.Series) -> dict[str, tuple[float, float]]:
    """{answer: (low, high)} with a small gap between answers."""
    gap, place, spans = 0.06 * counts.sum(), 0.0, {}
    for answer in ANSWERS:
        if counts.get(answer, 0):
            spans[answer] = (place, place + counts[answer])
            place += counts[answer] + gap
    return spans


def _rank(answer: str) -> int:
    return list(ANSWERS).index(answer)


def _band(ax: Axes, left: float, right: float, width: float, colour: str, alpha: float) -> None:
    """A curved band of `width` readings from the left bar to the right one."""
    a, b = 0.05, 0.95
    middle = (a + b) / 2
    points = [(a, left), (middle, left), (middle, right), (b, right)]
    points += [(b, right + width), (middle, right + width), (middle, left + width)]
    points += [(a, left + width), (a, left)]
    codes = [Path.MOVETO] + [Path.CURVE4] * 3 + [Path.LINETO] + [Path.CURVE4] * 3 + [Path.CLOSEPOLY]
    ax.add_patch(PathPatch(Path(points, codes), color=colour, alpha=alpha, lw=0))


@or_refusal
def draw_benefit_harm(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Readings corrected and spoiled, where the CNN was right and where it was wrong."""
    height = 1.6 + 0.5 * len(table)
    figure, axes = plt.subplots(1, 2, figsize=(9, height), width_ratios=(3, 2))
    rows = np.arange(len(table))[::-1]
    several = table["step"].nunique() > 1
    titles = [
        f"{r.step}\n" * several + (f"CNN {r.cnn}" if r.cnn != "all" else "all")
        for r in table.itertuples()
    ]
    for word, colour, offset, name in (
        ("benefit", BENEFIT, 0.18, "wrong before, then right"),
        ("harm", HARM, -0.18, "right before, then wrong"),
    ):
        style = {"height": 0.32, "color": colour, "label": name, "error_kw": {"lw": 1}}
        draw_changes(axes[0], rows + offset, table, word, **style)
        for y, counts in zip(rows, counts_of(table, word), strict=True):
            axes[0].text(102, y + offset, counts, va="center", size=8, color=colour)
    axes[0].set_yticks(rows, titles)
    axes[0].set(xlim=(0, 100), xlabel="% of readings that could change that way, 95 % interval")
    axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    _draw_net(axes[1], rows, table)
    return figure


def draw_changes(
    ax: Axes, rows: np.ndarray, table: pd.DataFrame, word: str, sign: int = 1, **style: Any
) -> None:
    """Bars of the share of one change, "benefit" or "harm", with intervals; sign -1: leftwards."""
    share, low, high = (100 * table[f"{word}_{end}"] for end in ("share", "low", "high"))
    reach = np.nan_to_num([share - low, high - share])[::sign]
    ax.barh(rows, sign * share.fillna(0), xerr=reach, **style)


def counts_of(table: pd.DataFrame, word: str) -> list[str]:
    """ "3 of 20" in each row: how many readings changed so, of those that could."""
    return [f"{k} of {n}" for k, n in zip(table[word], table[f"{word}_of"], strict=True)]


def _draw_net(ax: Axes, rows: np.ndarray, table: pd.DataFrame) -> None:
    ends = 100 * table.reindex(columns=["net", "net_low", "net_high"]).T
    intervals(ax, rows, ends, across=True, fmt="D", color="k", ms=5, lw=1.2)
    ax.axvline(0, color="0.6", lw=0.8)
    ax.set_yticks(rows, [])
    ax.set(
        xlabel="net: benefit − harm, points\n(interval over patients, these readers)",
        ylim=(-0.6, len(table) - 0.4),
    )


@or_refusal
def draw_time(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Seconds per case over the session, and right answers in its first and last third."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(3, 2))
    palette = colours(reader_study)
    for name, part in reader_study.log.groupby("modality", sort=False):
        part = part.dropna(subset=["seconds", "order"])
        axes[0].scatter(part["order"], part["seconds"], s=5, alpha=0.25, color=palette[name])
        width = max(int(np.ceil(part["order"].max() / 8)), 1) if len(part) else 1
        binned = part.groupby((part["order"] - 1) // width)["seconds"].median()
        middles = (binned.index + 0.5) * width + 0.5
        axes[0].plot(middles, binned, color=palette[name], lw=2.5, label=f"{name}, median")
    positive = reader_study.log["seconds"] > 0
    if positive.any():
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes[0].set(xlabel="position in the reader's session", ylabel="seconds per case")
    axes[0].legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=3)
    offsets = 0.1 * (np.arange(len(table)) - (len(table) - 1) / 2)
    for offset, row in zip(offsets, table.to_dict("records"), strict=True):
        ends = [
            [100 * row[f"right_{third}_{end}"] for third in ("first", "last")]
            for end in ("third", "low", "high")
        ]
        style = {"fmt": "o-", "color": palette[row["modality"]], "label": row["modality"]}
        intervals(axes[1], np.arange(2) + offset, ends, **style)
    axes[1].set_xticks((0, 1), ("first third", "last third"))
    axes[1].set(xlim=(-0.4, 1.4), ylabel="right diagnoses, %")
    return figure


@or_refusal
def draw_margin(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Differences in AUC with their intervals against the margin: right of the line is shown."""
    rows = table[table["test"] == "non-inferiority"].reset_index(drop=True)
    figure, axes = plt.subplots(figsize=(7.5, 1.6 + 0.5 * len(rows)))
    margin, y = 100 * rows["margin"].iloc[0], np.arange(len(rows))[::-1]
    values = 100 * rows[["difference", "low", "high"]].to_numpy().T
    colours_of = np.where(rows["shown"], SOUND, UNAIDED)
    axes.hlines(y, values[1], values[2], colors=colours_of, lw=2.5)
    axes.scatter(values[0], y, c=colours_of, s=45, zorder=3)
    axes.axvline(0, color="0.6", lw=0.8)
    axes.axvline(-margin, color=HARM, ls="--", lw=1.2)
    said = "margin, declared before" if rows["declared"].all() else "margin, chosen afterwards"
    axes.text(-margin, len(rows) - 0.5, f" {said}", color=HARM, va="bottom", size=8)
    for height, row in zip(y, rows.to_dict("records"), strict=True):
        words = "non-inferior" if row["shown"] else "not shown to be non-inferior"
        p = "p < 0.001" if row["p"] < 0.001 else f"p = {row['p']:.3f}"
        middle = 100 * row["difference"]
        axes.text(middle, height + 0.14, f"{words}, {p}", size=8, ha="center")
    axes.set_yticks(y, rows["compared"])
    axes.set(xlabel="difference in AUC, points, 95 % interval", ylim=(-0.6, len(rows) - 0.2))
    axes.margins(x=0.25)
    return figure


def draw_planning(reader_study: ReaderStudy, table: pd.DataFrame) -> Figure:
    """Cases needed by number of readers, for the first pilot; bands span the Roe-Metz ones.

    The published study and this one are drawn as points.
    """
    figure, axes = plt.subplots(figsize=(9, 4.4))
    own = table["pilot"] == table["pilot"].iloc[0]
    groups = zip(DIFFERENCE_COLOURS * 3, table.groupby("difference"), strict=False)
    for colour, (difference, part) in groups:
        line = part[own.loc[part.index] & part["room"]].dropna(subset="cases")
        style = {"ms": 4, "color": colour, "label": f"{100 * difference:.0f} points of AUC"}
        if not part.loc[own.loc[part.index], "room"].all():
            style["label"] += f"\n(no room above {part['pilot_auc'].iloc[0]:.2f}: band only)"
        axes.plot(line["readers"], line["cases"].astype(float), "o-", **style)
        span = part[~own.loc[part.index] & part["room"]].astype({"cases": float})
        span = span.fillna({"cases": MOST_CASES}).groupby("readers")["cases"].agg(["min", "max"])
        axes.fill_between(span.index, span["min"], span["max"], color=colour, alpha=0.13, lw=0)
    _draw_studies(axes, reader_study)
    _planning_axes(axes, table, max(21, reader_study.size[0] + 1))
    return figure


def _draw_studies(axes: Axes, reader_study: ReaderStudy) -> None:
    """The paper's study and this one as points: how far from the lines are they?"""
    readers, cases, _ = reader_study.size
    each = reader_study.cases_each
    words = "this simulated study" if reader_study.simulated else "this study"
    words += f": {readers} reader{'s' * (readers != 1)}, {each} cases"
    words += f" each\n(of {cases})" if each != cases else ""
    axes.plot(*PAPER_SIZE, "k*", ms=12, label="the paper: 1 reader, 16 cases,\naided only", ls="")
    axes.plot(readers, each, "ks", ms=7, label=words, ls="")


def _planning_axes(axes: Axes, table: pd.DataFrame, most_readers: int) -> None:
    axes.set(yscale="log", xlabel="readers", ylabel="cases read by every reader, both ways")
    ticks = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]
    axes.set_yticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xticks(range(0, most_readers, 2))
    axes.set_ylim(10, MOST_CASES * 1.1)
    power, pilot = 100 * table["wanted"].iloc[0], table["pilot"].iloc[0]
    axes.set_title(f"Until a difference shows with {power:.0f} % power\nlines: {pilot}")
    axes.axhline(FEWEST_CASES, color="0.7", lw=0.8, ls=":", zorder=0)
    words = "below 20 cases these formulas do not hold"
    axes.text(most_readers - 0.8, 15, words, size=7, va="top", ha="right", color="0.4")
    handles, labels = axes.get_legend_handles_labels()
    handles.append(Rectangle((0, 0), 1, 1, color="0.6", alpha=0.3, lw=0))
    labels.append("band: range over simulated\nkinds of readers and cases")
    place = {"loc": "upper left", "bbox_to_anchor": (1, 1)}
    axes.legend(handles, labels, frameon=False, fontsize=8, **place)


# What the map did: stage by stage, by where it lay, and where it would pay


@or_refusal
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


@or_refusal
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


@or_refusal
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
