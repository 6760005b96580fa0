"""Figures of the heat-maps: overlays, errors, localisation, faithfulness."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from camreader.common.style import HEAT, NO_TUMOR, TUMOR, refusal
from camreader.common.tables import parse_boxes
from camreader.heatmaps import methods, showcase

NAMES = {1: "tumor", 0: "no tumor"}
OPACITY = 0.65  # of the hottest pixel; elsewhere in proportion, so that anatomy stays visible
GREYS = ("0.72", "0.45")


def overlay(axis, grey, heat, boxes=()):
    """Draw a slice (H, W) in 0..1, its heat-map (h, w) over it, and lesion boxes (x1, y1, x2, y2).

    The opacity grows with the heat: what is cold is the slice alone.
    """
    height, width = grey.shape
    axis.imshow(grey, cmap="gray", vmin=0, vmax=1)
    heat = np.asarray(heat, np.float32)
    axis.imshow(
        heat,
        cmap=HEAT,
        vmin=0,
        vmax=1,
        alpha=OPACITY * heat,
        interpolation="bilinear",
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
    )
    for x1, y1, x2, y2 in boxes:
        box = Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color="#56B4E9", linewidth=1)
        axis.add_patch(box)
    axis.set(xticks=[], yticks=[])


def heat_bar(figure, axes, label="heat-map (share of its maximum)", **place):
    """The colour bar that belongs to `overlay`: beside `axes`, or where `place` says."""
    shown = ScalarMappable(Normalize(0, 1), HEAT)
    place = place or {"ax": axes, "shrink": 0.6, "pad": 0.02}
    return figure.colorbar(shown, label=label, **place)


def scaled_boxes(case, side):
    """A case's lesion boxes in the pixels of its slice reduced to (side, side)."""
    scale = side / np.array([case["width"], case["height"]] * 2)
    return [np.array(box) * scale for box in parse_boxes(case["boxes"])]


def overlays(study, cases, maps, relative=None, columns=4):
    """Figure 6: slices at full resolution under their heat-maps, actual and predicted class."""
    if cases.empty:
        return refusal("There is no test slice to show")
    rows = -(-len(cases) // columns)
    size = (2.6 * columns + 0.8, 3.0 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    marks = np.zeros(len(cases), bool) if relative is None else np.asarray(relative)
    for axis in axes.flat:
        axis.axis("off")
    for axis, case, heat, mark in zip(axes.flat, cases.itertuples(), maps, marks, strict=False):
        overlay(axis, showcase.display_slice(study, case), heat, parse_boxes(case.boxes))
        axis.set_title(
            f"Actual: {NAMES[case.label]}\nPredicted: {NAMES[case.predicted]}"
            f" ({case.probability:.2f}){' *' if mark else ''}",
            size=9,
            color=TUMOR if case.label != case.predicted else "black",
        )
    heat_bar(figure, axes)
    note = "blue box: lesion; orange title: error"
    note += "; * speaks least against its class" if marks.any() else ""
    figure.text(0.005, 0.001, note, size=7, color="0.35", va="bottom")
    return figure


def errors_sheet(images, cases, maps, columns=8):
    """Contact sheet of every false positive and false negative with the map of its decision."""
    if cases.empty:
        return refusal("The network makes no error on its test slices")
    order = np.argsort(cases["outcome"].to_numpy(), kind="stable")
    columns = min(columns, max(3, len(cases)))
    rows = -(-len(cases) // columns)
    size = (1.55 * columns + 0.9, 1.85 * rows + 0.7)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, k in zip(axes.flat, order, strict=False):
        case = cases.iloc[k]
        overlay(axis, images[k, 0].numpy(), maps[k], scaled_boxes(case, images.shape[-1]))
        missed = case["outcome"] == "false negative"
        title = f"{'FN' if missed else 'FP'}  p = {case['probability']:.2f}\n{case['region']}"
        axis.set_title(title, size=7, color=NO_TUMOR if missed else TUMOR)
    heat_bar(figure, axes, "")
    false = cases["outcome"].value_counts()
    words = ", ".join(f"{false.get(f'false {x}', 0)} false {x}s (F{y})" for x, y in WORDS)
    figure.suptitle(f"{words}; map of the network's decision, lesion boxes in blue", size=9)
    return figure


def picture(rgb, title):
    """A finished picture (H, W, 3) as it is, under its title."""
    figure, axis = plt.subplots(figsize=(9, 9 * rgb.shape[0] / rgb.shape[1] + 0.5))
    axis.imshow(rgb)
    axis.axis("off")
    axis.set_title(title, size=9)
    return figure


WORDS = (("negative", "N"), ("positive", "P"))


def localisation(table):
    """Forest plot: every method and the two baselines, then Grad-CAM by size and region."""
    table = table[(table["truth"] == table["truth"].iloc[0]) & (table["n"] > 0)]
    whole = table[table["kind"] == "all"]
    if whole.empty:
        return refusal("No test slice has a lesion: localisation cannot be measured here")
    titles = {"hit": "maximum on the lesion", "energy": "heat on the lesion"}
    titles |= {"iou_best": "IoU, best threshold"}
    figure, axes = plt.subplots(1, 4, figsize=(13, 4.6), width_ratios=(1, 1, 1, 1.25))
    whole = whole.iloc[::-1].reset_index(drop=True)
    for axis, (score, title) in zip(axes[:3], titles.items(), strict=True):
        colours = [_colour(method) for method in whole["method"]]
        _forest(axis, whole, score, np.arange(len(whole)), colours)
        axis.set_title(f"{title} (%)", size=10)
        axis.set_yticks(np.arange(len(whole)), [])
        best = whole.loc[whole["method"].isin(methods.BASELINES), score].max()
        axis.axvline(100 * best, color="0.7", linewidth=0.8, linestyle=":", zorder=0)
    names = [f"{methods.TITLES[r.method]} (n = {r.n})" for r in whole.itertuples()]
    axes[0].set_yticks(np.arange(len(whole)), names)
    _groups(axes[3], table[table["kind"] != "all"])
    truth = table["truth"].iloc[0]
    figure.suptitle(
        f"Where is the heat? Truth: {truth}; 95 % patient-level intervals; dotted: better baseline",
        size=10,
    )
    return figure


def faithfulness(curves, randomised):
    """Deletion and insertion curves, and the maps' likeness while weights are randomised."""
    if curves.empty:
        return refusal("No test slice has a lesion: faithfulness cannot be measured here")
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.4))
    for axis, what in zip(axes, ("deletion", "insertion"), strict=False):
        for method, part in curves.groupby("method", sort=False):
            style = {"color": _colour(method), "linestyle": _dash(method)}
            axis.plot(100 * part["share"], part[what], label=methods.TITLES[method], **style)
        done = "taken away" if what == "deletion" else "brought back"
        axis.set(xlabel=f"hottest pixels {done} (%)", ylim=(0, 1))
        axis.set_title(f"{what.capitalize()} (n = {curves['n'].max()})", size=10)
    axes[0].set_ylabel("mean probability of “tumor”")
    axes[1].legend(fontsize=7, frameon=False, loc="lower right")
    for method, part in randomised.groupby("method", sort=False):
        style = {"color": _colour(method), "linestyle": _dash(method)}
        style |= {"label": methods.TITLES[method], "marker": "o"}
        axes[2].plot(part["step"], part["likeness"], **style)
        band = {"color": _colour(method), "alpha": 0.1, "linewidth": 0}
        axes[2].fill_between(part["step"], part["lowest"], part["highest"], **band)
    layers = randomised.drop_duplicates("step")["layer"]
    axes[2].set_xticks(range(len(layers)), layers, rotation=35, ha="right", size=7)
    axes[2].set(xlabel="randomised up to layer", ylabel="rank correlation with the trained map")
    words = f"{randomised['maps'].max()} maps each; band: lowest to highest draw"
    axes[2].set_title(f"Randomised weights\n({words})", size=10)
    axes[2].axhline(0, color="0.7", linewidth=0.8)
    axes[2].legend(fontsize=7, frameon=False)
    return figure


def _forest(axis, table, score, place, colours):
    """Points with intervals, in percent; without an interval just the point."""
    for y, row, colour in zip(place, table.to_dict("records"), colours, strict=True):
        ends = [100 * row[f"{score}_low"], 100 * row[f"{score}_high"]]
        axis.plot(ends, [y, y], color=colour, linewidth=1.6)
        axis.plot(100 * row[score], y, "o", color=colour, markersize=5)
    axis.margins(x=0.06)
    axis.set_xlim(right=max(5, axis.get_xlim()[1]))
    axis.grid(axis="x", color="0.9")


def _groups(axis, table):
    """Grad-CAM's hits by lesion size and region beside the better baseline of each group."""
    own = table[table["method"] == "gradcam"].iloc[::-1].reset_index(drop=True)
    others = table[table["method"].isin(methods.BASELINES)]
    base = others.groupby(["kind", "group"])["hit"].max()
    place = np.arange(len(own))
    _forest(axis, own, "hit", place, [_colour("gradcam")] * len(own))
    for y, row in zip(place, own.itertuples(), strict=True):
        axis.plot(100 * base[row.kind, row.group], y, "|", color="0.4", markersize=11)
    axis.set_yticks(place, [f"{row.group} ({row.n})" for row in own.itertuples()], size=8)
    axis.set_title("Grad-CAM hits (%) by size, region\nbar: better baseline", size=10)


def _colour(method):
    """Grad-CAM in the colour of a tumor, baselines in grey, the others told apart."""
    if method in methods.BASELINES:
        return GREYS[methods.BASELINES.index(method)]
    palette = ["#0072B2", "#009E73", "#F0E442", "#CC79A7", "#56B4E9", "#E69F00", "#000000"]
    others = [name for name in methods.TITLES if name not in ("gradcam", *methods.BASELINES)]
    return TUMOR if method == "gradcam" else palette[others.index(method)]


def _dash(method):
    return "--" if method in methods.BASELINES else "-"
