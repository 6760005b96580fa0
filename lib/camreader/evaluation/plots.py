"""Pictures of right and wrong: outputs, confusion, curves, calibration, groups, errors."""

import re
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from camreader.cohorts.windows import for_region, window
from camreader.common.errors import Refusal
from camreader.common.style import (
    FALSE_ALARM,
    MISSED,
    PAPER,
    SOUND,
    counts_grid,
    intervals,
    lesion_boxes,
    picture_grid,
    refusal,
)
from camreader.evaluation import classes
from camreader.evaluation.protocols import Tests
from camreader.statistics.classification import CONSPICUITY, auc, calibration
from camreader.statistics.intervals import INDEPENDENT

COLOURS = {"paper": PAPER, "sound": SOUND}
TITLES = {
    "contrast": "by contrast against the organ",
    "lesion size": "by lesion size",
    "conspicuity": "by conspicuity",
}
CHOSEN = ((1, 1), (0, 0), (1, 0), (0, 1))  # truth, predicted: all four outcomes


def outputs(
    tested: pd.DataFrame | Refusal, hu: np.ndarray, card: dict, count: int = 12, seed: int = 0
) -> Figure:
    """Figures 5, 7, 8: example outputs, Yes/No for what was detected, 1/0 for the truth.

    tested: of `predictions.test_slices`, whose `row` is a slice's place in hu (N, S, S); card: the
    cohort's. Each slice has its region's window. All four outcomes are drawn where they occur.
    """
    if isinstance(tested, Refusal):
        return refusal(tested)
    rows = _examples(tested, count, seed)
    columns = min(6, max(len(rows), 1))
    figure, axes = picture_grid(len(rows), columns, (1.9, 2.25), top=0.3)
    for axis, place in zip(axes, rows, strict=False):
        _slice(axis, tested.iloc[place], hu, card)
        _one_output(axis, tested.iloc[place])
    note = "Yes / No: the network's answer; 1 / 0: truth; p: probability of tumor; red: error; "
    figure.text(0.005, 0.001, f"{note}blue box: lesion", size=7, color="0.35", va="bottom")
    return figure


def _slice(axis: Axes, row: pd.Series, hu: np.ndarray, card: dict) -> None:
    """One slice of hu (N, S, S) in the window of its region, with its lesion boxes."""
    image = window(hu[row["row"]], *for_region(card, row["region"])[1])
    axis.imshow(image, vmin=0, vmax=1)
    lesion_boxes(axis, row, image.shape)


def _examples(tested: pd.DataFrame, count: int, seed: int) -> list[int]:
    """Row positions: as many of each outcome as there is room for, right answers first."""
    rng = np.random.default_rng(seed)
    outcome = list(zip(tested["truth"], tested["predicted"], strict=True))
    kinds = [[i for i, kind in enumerate(outcome) if kind == wanted] for wanted in CHOSEN]
    kinds = [rng.permutation(rows).tolist() for rows in kinds]
    errors = [row for rows in kinds[2:] for row in rows[: count // 6]]
    half = -(-(count - len(errors)) // 2)
    right = [*kinds[0][:half], *kinds[1][: count - len(errors) - half]]
    return (right + errors)[:count]


def _one_output(axis: Axes, row: pd.Series) -> None:
    answer = "Yes" if row["predicted"] else "No"
    right = row["correct"]
    words = f"{answer} / {row['truth']}   p = {row['probability']:.2f}\n{row['region']}"
    colour, weight = ("black", "normal") if right else ("#C00000", "bold")
    axis.set_title(words, size=8, color=colour, fontweight=weight)
    if not right:
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(visible=True, color="#C00000", linewidth=2.5)


def confusion(tests: Tests) -> Figure:
    """One 2 x 2 table per protocol; tests: protocol -> tested rows, or a Refusal."""
    figure, axes = plt.subplots(1, len(tests), figsize=(3.6 * len(tests), 3.2), squeeze=False)
    for axis, (protocol, tested) in zip(axes[0], tests.items(), strict=True):
        if isinstance(tested, Refusal):
            _words(axis, protocol, tested)
            continue
        counts = confusion_matrix(tested["truth"], tested["predicted"], labels=(1, 0))
        counts_grid(axis, counts, counts.sum(), size=14)
        axis.set_xticks((0, 1), ["tumor", "no tumor"])
        axis.set_yticks((0, 1), ["tumor", "no tumor"], rotation=90, va="center")
        axis.set(xlabel="network says", ylabel="truth")
        axis.set_title(f"{protocol}: {np.trace(counts)} of {counts.sum()} right", size=9)
    return figure


def class_confusion(found: pd.DataFrame | Refusal) -> Figure:
    """Counts of slices by the class of the data and the class named; found: `classes.tested`."""
    if isinstance(found, Refusal):
        return refusal(found.why)
    table = classes.confusion(found)
    side, counts = 1.4 + 0.8 * len(table), table.to_numpy(int)
    figure, axis = plt.subplots(figsize=(side + 0.6, side))
    counts_grid(axis, counts, counts.max())
    axis.set_xticks(range(len(table)), table.columns, rotation=30, ha="right")
    axis.set_yticks(range(len(table)), table.index)
    axis.set(xlabel="network names", ylabel="class of the data")
    axis.set_title(f"{np.trace(counts)} of {counts.sum()} right", size=9)
    return figure


def _words(axis: Axes, protocol: str, refused: Refusal) -> None:
    axis.axis("off")
    axis.set_title(protocol, size=9)
    axis.text(0.5, 0.5, refused.note, ha="center", va="center", wrap=True, size=8)


def curves(tests: Tests) -> Figure:
    """ROC and precision-recall curves of the protocols; a refused one is named with its reason."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4))
    axes[0].plot([0, 1], [0, 1], color="0.8", lw=1)
    for protocol, tested in tests.items():
        if isinstance(tested, Refusal) or tested["truth"].nunique() < 2:
            words = tested.note if isinstance(tested, Refusal) else "one class only"
            axes[0].plot([], [], " ", label=f"{protocol}: {words[:60]}")
            continue
        labels, scores = tested["truth"], tested["logit"]
        wrong, right, _ = roc_curve(labels, scores)
        area = auc(labels, scores)
        axes[0].plot(wrong, right, color=COLOURS[protocol], label=f"{protocol}: AUC {area:.3f}")
        precision, recall, _ = precision_recall_curve(labels, scores)
        axes[1].plot(recall, precision, color=COLOURS[protocol], label=protocol)
        axes[1].axhline(labels.mean(), color=COLOURS[protocol], lw=0.8, ls=":")
    axes[0].set(xlabel="1 − specificity", ylabel="sensitivity", title="ROC")
    axes[1].set(xlabel="recall (sensitivity)", ylabel="precision (PPV)", ylim=(0, 1.02))
    axes[1].set_title("Precision-recall (dotted: share of tumor slices)")
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def calibration_curves(tests: Tests) -> Figure:
    """Observed share of tumor against predicted probability, with intervals and counts.

    Intervals are by slice for the paper's protocol and by patient for the sound one.
    """
    figure, axes = plt.subplots(1, len(tests), figsize=(4.2 * len(tests), 4), squeeze=False)
    for axis, (protocol, tested) in zip(axes[0], tests.items(), strict=True):
        if isinstance(tested, Refusal):
            _words(axis, protocol, tested)
            continue
        patients = tested["patient_id"] if protocol == "sound" else INDEPENDENT
        bins = calibration(tested["truth"], tested["probability"], patients)
        axis.plot([0, 1], [0, 1], color="0.8", lw=1)
        ends, colour = bins[["observed", "low", "high"]].T, COLOURS[protocol]
        intervals(axis, bins["predicted"], ends, fmt="o-", color=colour, capsize=2)
        for row in bins.itertuples():
            axis.text(row.predicted, -0.1, str(row.n), ha="center", size=6.5, color="0.4")
        axis.set(xlim=(-0.04, 1.04), ylim=(-0.14, 1.04), ylabel="observed share of tumor")
        axis.set(title=protocol, xlabel="predicted probability (below: slices per bin)")
    return figure


def by_contrast(groups: dict[str, pd.DataFrame]) -> Figure:
    """Share of tumor slices found by conspicuity, contrast and size; groups: protocol -> by_group.

    Conspicuity is known on the phantom only and is not drawn where it is not.
    """
    columns = ["contrast", "lesion size"]
    if any("conspicuity" in set(table["by"]) for table in groups.values()):
        columns.insert(0, "conspicuity")
    figure, axes = plt.subplots(1, len(columns), figsize=(4.3 * len(columns), 3.6), sharey=True)
    drawn = []
    for axis, column in zip(axes, columns, strict=True):
        if _found(axis, groups, column):
            drawn.append(axis)
        else:
            axis.text(0.5, 0.5, f"{column} not known", transform=axis.transAxes, ha="center")
            axis.set_xticks([])
        axis.set(title=TITLES[column], ylim=(0, 1.03))
    axes[0].set_ylabel("tumor slices found (sensitivity)")
    for axis in drawn[:1]:
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _found(axis: Axes, groups: dict[str, pd.DataFrame], column: str) -> bool:
    """Sensitivity with its interval per band, one line per protocol; whether any was drawn."""
    parts = {
        name: table[(table["by"] == column) & (table["tumor slices"] > 0)]
        for name, table in groups.items()
    }
    bands = sorted({band for part in parts.values() for band in part["group"]}, key=_place)
    for shift, (protocol, part) in zip((-0.08, 0.08), parts.items(), strict=False):
        places = np.array([bands.index(band) for band in part["group"]]) + shift
        ends = part[["found", "found_low", "found_high"]].T
        colour = COLOURS[protocol]
        intervals(axis, places, ends, fmt="o-", capsize=3, lw=1.2, color=colour, label=protocol)
    counts = [_tumor_slices(parts, band) for band in bands]
    names = [f"{band}\nn = {n}" for band, n in zip(bands, counts, strict=True)]
    axis.set_xticks(range(len(bands)), names, fontsize=8)
    return bool(bands)


def _tumor_slices(parts: dict[str, pd.DataFrame], band: str) -> str:
    """Tumor slices of a band, per protocol: "41, 38"."""
    found = [part.loc[part["group"] == band, "tumor slices"].sum() for part in parts.values()]
    return ", ".join(str(n) for n in found)


def _place(band: str) -> tuple[bool, float]:
    """Where a band such as "subtle", "under 10 mm" or "30 mm or more" stands in its order."""
    if band in CONSPICUITY:
        return True, float(CONSPICUITY.index(band))
    return not band.startswith("under"), float(re.findall(r"[\d.]+", band)[0])


def by_region(groups: dict[str, pd.DataFrame]) -> Figure:
    """Accuracy per region with its interval, one mark per protocol; n beside each."""
    tables = {p: t[t["by"] == "region"].reset_index(drop=True) for p, t in groups.items()}
    names = sorted({name for table in tables.values() for name in table["group"]})
    if not names:
        return refusal("No protocol was tested, so there is no accuracy by region")
    figure, axis = plt.subplots(figsize=(7.5, 0.5 * len(names) + 1.4))
    for shift, (protocol, table) in zip((-0.14, 0.14), tables.items(), strict=False):
        places = np.array([names.index(group) for group in table["group"]]) + shift
        ends, colour = table[["accuracy", "low", "high"]].T, COLOURS[protocol]
        intervals(axis, places, ends, across=True, fmt="o", color=colour, label=protocol)
        for place, n in zip(places, table["n"], strict=True):
            beside: Any = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
            axis.annotate(f"n = {n}", (1, place), **beside, size=7, color=colour)
    axis.set_yticks(range(len(names)), names)
    low = min(table["low"].min() for table in tables.values() if len(table))
    _accuracy_axis(axis, low)
    return figure


def _accuracy_axis(axis: Axes, low: float) -> None:
    """From just below the lowest interval to 1, with room for n; the legend over everything."""
    start = max(0, low - 0.05)
    axis.set_xticks([tick for tick in axis.get_xticks() if start <= tick < 1 + 1e-9])
    axis.set(
        xlabel="accuracy on the test set (95 % interval)", xlim=(start, 1 + 0.12 * (1 - start))
    )
    axis.grid(axis="x", color="0.9")
    axis.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=3)


def errors(tested: pd.DataFrame | Refusal, hu: np.ndarray, card: dict, most: int = 60) -> Figure:
    """Every misclassified test slice: missed or false alarm, region, size, lesion boxes."""
    if isinstance(tested, Refusal):
        return refusal(tested)
    rows = np.flatnonzero(~tested["correct"].to_numpy())
    if len(rows) == 0:
        return refusal("No test slice was misclassified")
    shown = rows[np.argsort(tested["truth"].to_numpy()[rows], kind="stable")][:most]
    figure, axes = picture_grid(len(shown), min(8, len(shown)), (1.65, 2.1), top=0.5)
    for axis, row in zip(axes, shown, strict=False):
        _slice(axis, tested.iloc[row], hu, card)
        _one_error(axis, tested.iloc[row])
    words = f"all {len(rows)}" if len(rows) == len(shown) else f"{len(shown)} of {len(rows)}"
    figure.suptitle(f"Misclassified test slices, {words} (of {len(tested)} tested)", size=10)
    return figure


def _one_error(axis: Axes, row: pd.Series) -> None:
    missed = row["truth"] == 1
    details = [row["region"]]
    if row["diameter_mm"] == row["diameter_mm"]:
        details.append(f"{row['diameter_mm']:.0f} mm")
    if row["contrast_hu"] == row["contrast_hu"]:
        details.append(f"{row['contrast_hu']:+.0f} HU")
    words, colour = ("missed", MISSED) if missed else ("false alarm", FALSE_ALARM)
    words = f"{words}, p = {row['probability']:.2f}\n{' '.join(details)}"
    axis.set_title(words, size=6.5, color=colour)


def leakage(table: pd.DataFrame) -> Figure:
    """The experiment's cells: accuracy on true labels by split and by label rule, one mark each.

    The first seed has its interval, other seeds are small dots; the dotted line under a mark is
    what always naming the majority class of that test set would reach.
    """
    figure, axis = plt.subplots(figsize=(7, 3.8))
    rules = list(dict.fromkeys(table["negatives"]))
    first = table["seed"] == table["seed"].iloc[0]
    for shift, split, colour in ((-0.1, "slices", PAPER), (0.1, "patients", SOUND)):
        here = table["split"] == split
        part, others = table[first & here].set_index("negatives").loc[rules], table[~first & here]
        places = np.arange(len(rules)) + shift
        ends, label = part[["accuracy", "low", "high"]].T, f"{split} split"
        intervals(axis, places, ends, fmt="o", capsize=4, color=colour, label=label)
        axis.hlines(part["commoner class"], places - 0.08, places + 0.08, colors=colour, ls=":")
        axis.plot(places, part["own_label_accuracy"], "x", color=colour, ms=7)
        beside = [rules.index(rule) + shift + 0.04 for rule in others["negatives"]]
        axis.plot(beside, others["accuracy"], ".", color=colour, alpha=0.6)
    axis.plot([], [], "kx", label="judged by the labels it was trained on")
    axis.plot([], [], "k:", label="always naming the majority class")
    if not first.all():
        axis.plot([], [], "k.", alpha=0.6, label="other seeds")
    axis.set_xticks(range(len(rules)), [f"trained on\n{rule}" for rule in rules])
    axis.set(ylabel="accuracy against the truth", xlim=(-0.5, len(rules) - 0.5))
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def comparison(table: pd.DataFrame) -> Figure:
    """Lung against liver: accuracy with its interval, beside the paper's two percentages."""
    figure, axis = plt.subplots(figsize=(7.2, 0.55 * len(table) + 1.2))
    for place, row in enumerate(table[::-1].itertuples()):
        if row.n == row.n and row.n:
            ends, colour = [[row.accuracy], [row.low], [row.high]], COLOURS[row.protocol]
            intervals(axis, [place], ends, across=True, fmt="o", capsize=3, color=colour)
            axis.text(1.01, place, f"{int(row.n - row.wrong)}/{int(row.n)}", size=8, va="center")
        else:
            inside = axis.get_yaxis_transform()
            axis.text(0.02, place, str(row.note)[:90], size=7, va="center", transform=inside)
        if row.published == row.published:
            axis.plot(row.published, place, "D", mfc="none", color="0.3", ms=7)
    axis.plot([], [], "D", mfc="none", color="0.3", label="published (n not printed)")
    axis.set_yticks(
        range(len(table)), [f"{r.region}, {r.protocol}" for r in table[::-1].itertuples()]
    )
    low = np.nan_to_num(table["low"].astype(float).min())
    axis.set_ylim(-0.6, len(table) - 0.4)
    _accuracy_axis(axis, low)
    return figure
