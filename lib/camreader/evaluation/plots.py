"""Pictures of right and wrong: outputs, confusion, curves, calibration, groups, errors."""

import re

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_curve, roc_curve

from camreader.cohorts.windows import window, window_for
from camreader.common.style import NO_TUMOR, PAPER, SOUND, TUMOR, refusal
from camreader.common.tables import parse_boxes
from camreader.statistics.classification import auc, calibration

COLOURS = {"paper": PAPER, "sound": SOUND}
TITLES = {
    "contrast": "by contrast against the organ",
    "lesion size": "by lesion size",
    "sign": "by strength of the tumor's sign (1: as designed)",
}
CHOSEN = ((1, 1), (0, 0), (1, 0), (0, 1))  # label, predicted: all four outcomes


def outputs(tested, hu, card, preset="soft tissue", count=12, seed=0):
    """Figures 5, 7, 8: example outputs, Yes/No for what was detected, 1/0 for the label.

    tested: a row per test slice with label, predicted, probability, region and its `row` in hu
    (N, S, S), or words why there is none; card: the cohort's, in whose own window greys that are
    not HU are shown. All four outcomes are drawn where they occur.
    """
    if isinstance(tested, str):
        return refusal(tested)
    rows = _examples(tested, count, seed)
    columns = min(6, max(len(rows), 1))
    lines = -(-len(rows) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(1.9 * columns, 2.25 * lines))
    for axis in np.ravel(axes):
        axis.axis("off")
    for axis, place in zip(np.ravel(axes), rows, strict=False):
        row = tested.iloc[place]
        _one_output(axis, row, window(hu[row["row"]], *window_for(card, preset)))
    return figure


def _examples(tested, count, seed):
    """Row positions: as many of each outcome as there is room for, right answers first."""
    rng = np.random.default_rng(seed)
    outcome = list(zip(tested["label"], tested["predicted"], strict=True))
    kinds = [[i for i, kind in enumerate(outcome) if kind == wanted] for wanted in CHOSEN]
    kinds = [rng.permutation(rows).tolist() for rows in kinds]
    errors = [row for rows in kinds[2:] for row in rows[: count // 6]]
    half = -(-(count - len(errors)) // 2)
    right = [*kinds[0][:half], *kinds[1][: count - len(errors) - half]]
    return (right + errors)[:count]


def _one_output(axis, row, image):
    axis.imshow(image, vmin=0, vmax=1)
    answer = "Yes" if row["predicted"] else "No"
    right = row["predicted"] == row["label"]
    axis.set_title(
        f"{answer} / {row['label']}   p = {row['probability']:.2f}\n{row['region']}",
        size=8,
        color="black" if right else "#C00000",
        fontweight="normal" if right else "bold",
    )
    if not right:
        axis.axis("on")
        axis.set(xticks=[], yticks=[])
        for spine in axis.spines.values():
            spine.set(visible=True, color="#C00000", linewidth=2.5)


def confusion(tests):
    """One 2 x 2 table per protocol; tests: protocol -> tested rows, or words of refusal."""
    figure, axes = plt.subplots(1, len(tests), figsize=(3.6 * len(tests), 3.2), squeeze=False)
    for axis, (protocol, tested) in zip(axes[0], tests.items(), strict=True):
        if isinstance(tested, str):
            _words(axis, protocol, tested)
            continue
        counts = confusion_matrix(tested["label"], tested["predicted"], labels=(1, 0))
        axis.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.sum(), 1))
        for (line, column), n in np.ndenumerate(counts):
            light = "white" if n > counts.sum() / 2 else "black"
            axis.text(column, line, f"{n}", ha="center", va="center", size=14, color=light)
        axis.set(xticks=(0, 1), yticks=(0, 1), xlabel="network says", ylabel="label")
        axis.set_xticklabels(["tumor", "no tumor"])
        axis.set_yticklabels(["tumor", "no tumor"], rotation=90, va="center")
        axis.set_title(f"{protocol}: {np.trace(counts)} of {counts.sum()} right", size=9)
    return figure


def _words(axis, protocol, text):
    axis.axis("off")
    axis.set_title(protocol, size=9)
    axis.text(0.5, 0.5, text, ha="center", va="center", wrap=True, size=8)


def curves(tests):
    """ROC and precision-recall curves of the protocols; a refused one is said in words."""
    figure, axes = plt.subplots(1, 2, figsize=(8.4, 4))
    axes[0].plot([0, 1], [0, 1], color="0.8", lw=1)
    for protocol, tested in tests.items():
        if isinstance(tested, str) or tested["label"].nunique() < 2:
            words = tested if isinstance(tested, str) else "one class only"
            axes[0].plot([], [], " ", label=f"{protocol}: {words[:60]}")
            continue
        labels, scores = tested["label"], tested["logit"]
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


def calibration_curves(tests):
    """Observed share of tumor against predicted probability, with intervals and counts.

    Intervals are by slice for the paper's protocol and by patient for the sound one.
    """
    figure, axes = plt.subplots(1, len(tests), figsize=(4.2 * len(tests), 4), squeeze=False)
    for axis, (protocol, tested) in zip(axes[0], tests.items(), strict=True):
        if isinstance(tested, str):
            _words(axis, protocol, tested)
            continue
        patients = tested["patient_id"] if protocol == "sound" else None
        bins = calibration(tested["label"], tested["probability"], patients)
        bars = np.abs(bins[["low", "high"]].to_numpy() - bins[["observed"]].to_numpy()).T
        axis.plot([0, 1], [0, 1], color="0.8", lw=1)
        axis.errorbar(
            bins["predicted"], bins["observed"], bars, fmt="o-", color=COLOURS[protocol], capsize=2
        )
        for row in bins.itertuples():
            axis.text(row.predicted, -0.1, str(row.n), ha="center", size=6.5, color="0.4")
        axis.set(xlim=(-0.04, 1.04), ylim=(-0.14, 1.04), ylabel="observed share of tumor")
        axis.set(title=protocol, xlabel="predicted probability (below: slices per bin)")
    return figure


def by_contrast(groups):
    """Share of tumor slices found by contrast, size and sign; groups: protocol -> by_group table.

    The sign (how strongly the phantom's tumor shows what tells it apart) is drawn where known.
    """
    columns = ["contrast", "lesion size"]
    if any("sign" in set(table["by"]) for table in groups.values()):
        columns.append("sign")
    figure, axes = plt.subplots(1, len(columns), figsize=(4.3 * len(columns), 3.6), sharey=True)
    drawn = [
        axis for axis, column in zip(axes, columns, strict=True) if _found(axis, groups, column)
    ]
    for axis, column in zip(axes, columns, strict=True):
        axis.set(title=TITLES[column], ylim=(0, 1.03))
        if axis not in drawn:
            axis.text(0.5, 0.5, f"{column} not known", transform=axis.transAxes, ha="center")
            axis.set_xticks([])
    axes[0].set_ylabel("tumor slices found (sensitivity)")
    for axis in drawn[:1]:
        axis.legend(frameon=False, fontsize=8, loc="lower right")
    return figure


def _found(axis, groups, column):
    """Sensitivity with its interval per band, one line per protocol; whether any was drawn."""
    parts = {
        name: table[(table["by"] == column) & (table["tumor slices"] > 0)]
        for name, table in groups.items()
    }
    bands = sorted({band for part in parts.values() for band in part["group"]}, key=_first_number)
    for shift, (protocol, part) in zip((-0.08, 0.08), parts.items(), strict=False):
        places = np.array([bands.index(band) for band in part["group"]]) + shift
        reach = [part["found"] - part["found_low"], part["found_high"] - part["found"]]
        style = {"fmt": "o-", "capsize": 3, "lw": 1.2, "color": COLOURS[protocol]}
        axis.errorbar(places, part["found"], np.clip(reach, 0, 1), label=protocol, **style)
    axis.set_xticks(range(len(bands)), bands, fontsize=8)
    return bool(bands)


def _first_number(band):
    """The first number of "10–20 mm" or "from 30 mm", to order bands by."""
    return float(re.search(r"[\d.]+", band)[0])


def by_region(groups):
    """Accuracy per region with its interval, one mark per protocol; n beside each."""
    tables = {p: t[t["by"] == "region"].reset_index(drop=True) for p, t in groups.items()}
    names = sorted({name for table in tables.values() for name in table["group"]})
    if not names:
        return refusal("No protocol was tested, so there is no accuracy by region")
    figure, axis = plt.subplots(figsize=(7.5, 0.5 * len(names) + 1.4))
    for shift, (protocol, table) in zip((-0.14, 0.14), tables.items(), strict=False):
        for row in table.itertuples():
            place = names.index(row.group) + shift
            gaps = [[row.accuracy - row.low], [row.high - row.accuracy]]
            axis.errorbar(
                row.accuracy, place, xerr=np.clip(gaps, 0, 1), fmt="o", color=COLOURS[protocol]
            )
            axis.text(1.01, place, f"n = {row.n}", size=7, va="center", color=COLOURS[protocol])
        axis.plot([], [], "o", color=COLOURS[protocol], label=protocol)
    axis.set_yticks(range(len(names)), names)
    axis.set(xlabel="accuracy (95 % interval)", xlim=(0, 1.1))
    axis.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def errors(tested, hu, card, most=60):
    """Every misclassified test slice: its label, what was said, region, boxes of missed tumors."""
    rows = np.flatnonzero(~tested["correct"].to_numpy())
    if len(rows) == 0:
        return refusal("No test slice was misclassified")
    shown = rows[np.argsort(tested["label"].to_numpy()[rows], kind="stable")][:most]
    columns = min(8, len(shown))
    lines = -(-len(shown) // columns)
    size = (1.65 * columns, 2.1 * lines + 0.5)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, row in zip(axes.flat, shown, strict=False):
        record = tested.iloc[row]
        _one_error(axis, record, window(hu[record["row"]], *window_for(card, "soft tissue")))
    words = f"all {len(rows)}" if len(rows) == len(shown) else f"{len(shown)} of {len(rows)}"
    figure.suptitle(f"Misclassified test slices, {words} (of {len(tested)} tested)", size=10)
    return figure


def _one_error(axis, row, image):
    axis.imshow(image, vmin=0, vmax=1)
    missed = row["label"] == 1
    details = [row["region"]]
    if row["diameter_mm"] == row["diameter_mm"]:
        details.append(f"{row['diameter_mm']:.0f} mm")
    if row["contrast_hu"] == row["contrast_hu"]:
        details.append(f"{row['contrast_hu']:+.0f} HU")
    words = "missed" if missed else "false alarm"
    axis.set_title(
        f"{words}, p = {row['probability']:.2f}\n{' '.join(details)}",
        size=6.5,
        color=TUMOR if missed else NO_TUMOR,
    )
    for x1, y1, x2, y2 in parse_boxes(row["boxes"]):
        scale_x, scale_y = image.shape[1] / row["width"], image.shape[0] / row["height"]
        corner, size = (x1 * scale_x, y1 * scale_y), ((x2 - x1) * scale_x, (y2 - y1) * scale_y)
        axis.add_patch(plt.Rectangle(corner, *size, fill=False, color="#F0E442", lw=0.8))


def leakage(table):
    """The experiment's cells: accuracy on true labels by split and by label rule, one mark each.

    The first seed has its interval, other seeds are small dots; the dotted line under a mark is
    what always naming the commoner class of that test set would reach.
    """
    figure, axis = plt.subplots(figsize=(7, 3.8))
    rules = list(dict.fromkeys(table["negatives"]))
    first = table["seed"] == table["seed"].iloc[0]
    for shift, split, colour in ((-0.1, "slices", PAPER), (0.1, "patients", SOUND)):
        here = table["split"] == split
        part, others = table[first & here].set_index("negatives").loc[rules], table[~first & here]
        gaps = np.array([part["accuracy"] - part["low"], part["high"] - part["accuracy"]])
        places, style = np.arange(len(rules)) + shift, {"fmt": "o", "capsize": 4, "color": colour}
        axis.errorbar(places, part["accuracy"], gaps, label=f"{split} split", **style)
        axis.hlines(part["commoner class"], places - 0.08, places + 0.08, colors=colour, ls=":")
        axis.plot(places, part["own_label_accuracy"], "x", color=colour, ms=7)
        beside = [rules.index(rule) + shift + 0.04 for rule in others["negatives"]]
        axis.plot(beside, others["accuracy"], ".", color=colour, alpha=0.6)
    axis.plot([], [], "kx", label="judged by the labels it was trained on")
    axis.plot([], [], "k:", label="always naming the commoner class")
    if not first.all():
        axis.plot([], [], "k.", alpha=0.6, label="other seeds")
    axis.set_xticks(range(len(rules)), [f"trained on\n{rule}" for rule in rules])
    axis.set(ylabel="accuracy against the truth", xlim=(-0.5, len(rules) - 0.5))
    axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def comparison(table):
    """Lung against liver: accuracy with its interval, beside the paper's two percentages."""
    figure, axis = plt.subplots(figsize=(7.2, 0.55 * len(table) + 1.2))
    for place, row in enumerate(table[::-1].itertuples()):
        if row.n == row.n and row.n:
            gaps = np.clip([[row.accuracy - row.low], [row.high - row.accuracy]], 0, 1)
            axis.errorbar(
                row.accuracy, place, xerr=gaps, fmt="o", capsize=3, color=COLOURS[row.protocol]
            )
            axis.text(1.03, place, f"{int(row.n - row.wrong)}/{int(row.n)}", size=8, va="center")
        else:
            axis.text(0.02, place, str(row.note)[:90], size=7, va="center")
        if row.published == row.published:
            axis.plot(row.published, place, "D", mfc="none", color="0.3", ms=7)
    axis.plot([], [], "D", mfc="none", color="0.3", label="published (n not printed)")
    axis.set_yticks(
        range(len(table)), [f"{r.region}, {r.protocol}" for r in table[::-1].itertuples()]
    )
    axis.set(xlabel="accuracy on the test set (95 % interval)", xlim=(0, 1.12), ylim=(-0.6, None))
    axis.legend(frameon=False, fontsize=8, loc="lower left")
    return figure
