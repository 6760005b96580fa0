"""Figures of the heat-maps: the steps, overlays, errors, localisation, faithfulness."""

from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch

from camreader.common.study import Study
from camreader.common.style import (
    FALSE_ALARM,
    HEAT,
    MISSED,
    TUMOR,
    lesion_boxes,
    picture_grid,
    refusal,
)
from camreader.heatmaps import gradcam, methods, overlay
from camreader.heatmaps.cases import NAMES, Explained, display_slice

WIDTH, HEIGHT, SIDE, TILE, MIDDLE = 12.6, 3.9, 2.1, 0.62, 1.95  # inches, of Figure 2
PALETTE = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")  # Okabe-Ito
GREYS = ("0.72", "0.45", "0.3")  # of baselines
DASHES = ("-", "--", "-.", ":")


def look(name: str) -> dict[str, Any]:
    """Colour and line style of a method, whatever the number of methods registered.

    Grad-CAM has the colour of a tumor, baselines are grey and dashed, and the others go through
    the palette, each time round with another line style.
    """
    if name == "gradcam":
        return {"color": TUMOR, "linestyle": "-"}
    base = methods.baselines()
    if name in base:
        place = base.index(name)
        return {"color": GREYS[place % len(GREYS)], "linestyle": DASHES[1 + place % 3]}
    place = [other for other in methods.METHODS if other not in ("gradcam", *base)].index(name)
    dash = DASHES[place // len(PALETTE) % len(DASHES)]
    return {"color": PALETTE[place % len(PALETTE)], "linestyle": dash}


def show(axis: Axes, grey: np.ndarray, heat: np.ndarray, case: Any) -> None:
    """Draw a case's slice (H, W) in 0..1 under its map (h, w), with its lesion boxes."""
    axis.imshow(overlay.blend(grey, heat))
    lesion_boxes(axis, case, grey.shape)
    axis.set(xticks=[], yticks=[])


def heat_bar(
    figure: Figure, axes: Any, label: str = "heat-map (share of its maximum)", **place: Any
) -> Colorbar:
    """The colour bar that belongs to `show`: beside `axes`, or where `place` says."""
    shown = ScalarMappable(Normalize(0, 1), HEAT)
    place = place or {"ax": axes, "shrink": 0.6, "pad": 0.02}
    return figure.colorbar(shown, label=label, **place)


def steps(explained: Explained, row: int, shown: int = 4) -> Figure:
    """Figure 2: the flow chart of test slice number `row`; `shown`: how many feature maps."""
    image, case = explained.images[row : row + 1], explained.cases.iloc[row]
    if explained.model is None:
        return refusal(f"Figure 2 {methods.NO_NETWORK}: how these maps were made is not known here")
    activations, weights, wanted = _weights(explained.model, image)
    result = gradcam.explain(explained.model, image)
    figure = plt.figure(figsize=(WIDTH, HEIGHT), layout="none")
    left = [_axes(figure, x, MIDDLE - SIDE / 2, SIDE) for x in (0.1, 4.75, 7.35, 9.95)]
    _image(left[0], image[0, 0], "1 · the slice the network sees")
    _tiles(figure, activations, weights, shown)
    extreme = max(np.abs(result.raw).max(), 1e-9)
    signed = {"cmap": "RdBu_r", "vmin": -extreme, "vmax": extreme}
    _image(left[1], result.raw[0], "3 · Σ α × feature map", **signed)
    _image(left[2], result.raw[0].clip(0), "4 · ReLU: only what speaks for it", cmap=HEAT)
    for axis in left[1:3]:
        _bar(figure, axis)
    show(left[3], image[0, 0].numpy(), result.maps[0], case)
    left[3].set_title("5 · enlarged, over the slice", size=9)
    _bar(figure, left[3], heat_bar)
    for start, end in ((2.25, 3.05), (4.3, 4.7), (6.9, 7.3), (9.5, 9.9)):
        _arrow(figure, start, end)
    said = f"p(tumor) = {case['probability']:.2f}, explained: {NAMES[wanted]}"
    layer = f"layer {result.layer}, {activations.shape[1]} x {activations.shape[2]} cells"
    figure.suptitle(f"Grad-CAM: {said}; {layer}; α = mean of ∂score/∂feature map", size=10)
    return figure


def _weights(model: torch.nn.Module, image: torch.Tensor) -> tuple[np.ndarray, np.ndarray, int]:
    """Feature maps (K, h, w), their weights α (K,) and the class explained, of one image."""
    layer = gradcam.find_layer(model)
    with gradcam.evaluating(model):
        batch = gradcam.channels_last(image, gradcam.device_of(model))
        activations, gradient, _, wanted, _ = gradcam.gradients(model, layer, batch)
    weights = gradient.mean((2, 3))[0]
    return activations[0].cpu().numpy(), weights.cpu().numpy(), int(wanted[0])


def _tiles(figure: Figure, activations: np.ndarray, weights: np.ndarray, shown: int) -> None:
    """The feature maps with the largest |α|, one below the other, α on their left."""
    top = np.argsort(-np.abs(weights))[:shown]
    upper = MIDDLE + shown * (TILE + 0.08) / 2
    for place, k in enumerate(top):
        axis = _axes(figure, 3.65, upper - (place + 1) * (TILE + 0.08), TILE)
        title = f"2 · the {shown} of {len(weights)} feature\nmaps with the largest |α|"
        _image(axis, activations[k], title if place == 0 else "", cmap="viridis")
        axis.set_ylabel(f"α {weights[k]:+.1e}", rotation=0, ha="right", va="center", size=7)


def _axes(figure: Figure, x: float, y: float, side: float) -> Axes:
    """Square axes whose lower left corner and side are in inches."""
    return figure.add_axes((x / WIDTH, y / HEIGHT, side / WIDTH, side / HEIGHT))


def _image(axis: Axes, values: Any, title: str, **look: Any) -> None:
    axis.imshow(np.asarray(values), **({"cmap": "gray"} | look))
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(title, size=9)


def _bar(figure: Figure, axis: Axes, draw: Any = None) -> None:
    """Colour bar under a picture; its numbers are few, so that they cannot touch."""
    box = axis.get_position()
    place = figure.add_axes((box.x0, box.y0 - 0.09, box.width, 0.025))
    look: dict[str, Any] = {"cax": place, "orientation": "horizontal"}
    bar = draw(figure, None, "", **look) if draw else figure.colorbar(axis.images[0], **look)
    bar.ax.locator_params(nbins=3)
    bar.ax.tick_params(labelsize=7)


def _arrow(figure: Figure, start: float, end: float) -> None:
    """Arrow between two steps, at mid-height; places in inches."""
    ends = [(x / WIDTH, MIDDLE / HEIGHT) for x in (start, end)]
    look: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 14, "color": "0.3"}
    figure.add_artist(FancyArrowPatch(*ends, transform=figure.transFigure, **look))


def overlays(
    study: Study,
    cases: pd.DataFrame,
    maps: np.ndarray,
    relative: Sequence[bool] | None = None,
) -> Figure:
    """Figure 6: slices at full resolution under their heat-maps, actual and predicted class."""
    if cases.empty:
        return refusal("There is no test slice to show")
    figure, axes = picture_grid(len(cases), 4, (2.6, 3.0), 0.8)
    marks = np.zeros(len(cases), bool) if relative is None else np.asarray(relative)
    for axis, case, heat, mark in zip(axes, cases.itertuples(), maps, marks, strict=False):
        show(axis, display_slice(study, case), heat, case)
        axis.set_title(
            f"Actual: {NAMES[case.truth]}\nPredicted: {NAMES[case.predicted]}"
            f" ({case.probability:.2f}){' *' if mark else ''}",
            size=9,
            color="black" if case.correct else _error_colour(case),
        )
    heat_bar(figure, axes)
    note = "blue box: lesion; coloured title: error (orange: missed, blue: false alarm)"
    note += "; * speaks least against its class" if marks.any() else ""
    figure.text(0.005, 0.001, note, size=7, color="0.35", va="bottom")
    return figure


def errors_sheet(images: torch.Tensor, cases: pd.DataFrame, maps: np.ndarray) -> Figure:
    """Contact sheet of every false positive and false negative with the map of its decision."""
    if cases.empty:
        return refusal("The network makes no error on its test slices")
    order = np.argsort(cases["outcome"].to_numpy(), kind="stable")
    columns = min(8, max(3, len(cases)))
    figure, axes = picture_grid(len(cases), columns, (1.55, 1.85), 0.9, 0.7)
    for axis, k in zip(axes, order, strict=False):
        case = cases.iloc[k]
        show(axis, images[k, 0].numpy(), maps[k], case)
        words = "missed" if case["truth"] else "false alarm"
        words = f"{words}, p = {case['probability']:.2f}\n{case['region']}"
        axis.set_title(words, size=7, color=_error_colour(case))
    heat_bar(figure, axes, "")
    missed = int((cases["truth"] == 1).sum())
    figure.suptitle(
        f"{missed} missed (orange), {len(cases) - missed} false alarms (blue); map of the "
        "network's decision, lesion boxes in blue",
        size=9,
    )
    return figure


def _error_colour(case: Any) -> str:
    return MISSED if case.truth else FALSE_ALARM


def picture(rgb: np.ndarray, title: str) -> Figure:
    """A finished picture (H, W, 3) as it is, under its title."""
    figure, axis = plt.subplots(figsize=(9, 9 * rgb.shape[0] / rgb.shape[1] + 0.5))
    axis.imshow(rgb)
    axis.axis("off")
    axis.set_title(title, size=9)
    return figure


def localisation(table: pd.DataFrame) -> Figure:
    """Forest plot: every method and the baselines, then Grad-CAM by size and region; 0 to 100 %."""
    table = table[(table["truth"] == table["truth"].iloc[0]) & (table["n"] > 0)]
    whole = table[table["kind"] == "all"].iloc[::-1].reset_index(drop=True)
    if whole.empty:
        return refusal("No test slice has a lesion: localisation cannot be measured here")
    titles = {"hit": "maximum on the lesion", "energy": "heat on the lesion"}
    titles |= {"iou_best": "IoU, best threshold"}
    figure, axes = plt.subplots(1, 4, figsize=(13, 1.6 + 0.3 * len(whole)), sharex=True)
    for axis, (score, title) in zip(axes[:3], titles.items(), strict=True):
        _forest(axis, whole, score)
        axis.set_title(f"{title} (%)", size=10)
        axis.set_yticks(np.arange(len(whole)), [])
        best = whole.loc[whole["method"].isin(methods.baselines()), score].max()
        axis.axvline(100 * best, color="0.4", linewidth=1, linestyle=":", zorder=0)
    names = [f"{methods.title(r.method)} (n = {r.n})" for r in whole.itertuples()]
    axes[0].set_yticks(np.arange(len(whole)), names)
    _groups(axes[3], table[table["kind"] != "all"])
    axes[0].set_xlim(-2, 102)
    truth = table["truth"].iloc[0]
    figure.suptitle(
        f"Where is the heat? Truth: {truth}; 95 % intervals by patient; dotted: better baseline",
        size=10,
    )
    return figure


def _forest(axis: Axes, table: pd.DataFrame, score: str, scale: float = 100) -> None:
    """One row a line: point and interval of `score`; hollow where `look` has no solid line."""
    for y, row in enumerate(table.to_dict("records")):
        style = look(row["method"])
        colour, fill = style["color"], style["color"] if style["linestyle"] == "-" else "white"
        ends = [scale * row[f"{score}_low"], scale * row[f"{score}_high"]]
        axis.plot(ends, [y, y], color=colour, linewidth=2)
        axis.plot(scale * row[score], y, "o", color=colour, mfc=fill, markersize=5)
    axis.grid(axis="x", color="0.9")


def _groups(axis: Axes, table: pd.DataFrame) -> None:
    """Grad-CAM's hits by lesion size and region beside the better baseline of each group."""
    main = "given" if (table["method"] == "given").any() else "gradcam"
    own = table[table["method"] == main].iloc[::-1].reset_index(drop=True)
    others = table[table["method"].isin(methods.baselines())]
    base = others.groupby(["kind", "group"])["hit"].max()
    _forest(axis, own, "hit")
    for y, row in enumerate(own.itertuples()):
        axis.plot(100 * base[row.kind, row.group], y, "|", color="0.2", markersize=13, mew=2)
    axis.set_yticks(np.arange(len(own)), [f"{r.group} (n = {r.n})" for r in own.itertuples()])
    axis.tick_params("y", labelsize=8)
    axis.set_title(
        f"{methods.title(main)}: maximum (%) by size\nand region; bar: better baseline", size=9
    )


def faithfulness(table: pd.DataFrame, curves: pd.DataFrame, randomised: pd.DataFrame) -> Figure:
    """Deletion and insertion, their difference for every method, and randomised weights.

    table: of `tables.faithfulness_table`; curves, randomised: what it was made from.
    """
    if "note" in table and (table["note"] == methods.NO_NETWORK).any():
        return refusal(f"Faithfulness was left out: it {methods.NO_NETWORK}")
    if curves.empty:
        return refusal("No test slice has a lesion: faithfulness cannot be measured here")
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.8), width_ratios=(1, 0.9, 1.15))
    measured = table[table["n"] > 0].iloc[::-1].reset_index(drop=True)
    base = measured[measured["method"].isin(methods.baselines())]
    gain = "insertion_minus_deletion"
    better = base.sort_values(gain)["method"].tail(1).tolist()
    _curves(axes[0], curves, ["gradcam", *better])
    _forest(axes[1], measured, gain, scale=1)
    axes[1].set_yticks(np.arange(len(measured)), [methods.title(m) for m in measured["method"]])
    axes[1].axvline(0, color="0.4", linewidth=1, linestyle=":")
    n, patients = measured["n"].max(), measured["patients"].max()
    axes[1].set_title(
        f"Insertion minus deletion (higher: more faithful)\n{n} slices, 95 % interval by patient "
        f"({patients})",
        size=10,
    )
    _randomised(axes[2], randomised)
    return figure


def _curves(axis: Axes, curves: pd.DataFrame, names: Iterable[str]) -> None:
    """Mean probability while the hottest pixels go (solid) or come (dashed), with 95 % bands."""
    for name in names:
        part, colour = curves[curves["method"] == name], look(name)["color"]
        for what, dash in (("deletion", "-"), ("insertion", "--")):
            share, label = 100 * part["share"], f"{methods.title(name)}, {what}"
            axis.plot(share, part[what], color=colour, linestyle=dash, label=label)
            ends = part[f"{what}_low"], part[f"{what}_high"]
            axis.fill_between(share, *ends, color=colour, alpha=0.15, linewidth=0)
    axis.set(xlabel="hottest pixels taken away, or brought back (%)", ylim=(0, 1))
    axis.set_ylabel("mean probability of “tumor”")
    axis.set_title("Grad-CAM and the better baseline\n(band: 95 % by patient)", size=10)
    axis.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)


def _randomised(axis: Axes, table: pd.DataFrame) -> None:
    """Rank correlation with the trained network's maps while block after block is randomised."""
    for name, part in table.groupby("method", sort=False):
        style = look(name)
        axis.plot(part["step"], part["likeness"], marker="o", label=methods.title(name), **style)
        ends = part["lowest"], part["highest"]
        axis.fill_between(part["step"], *ends, color=style["color"], alpha=0.1, linewidth=0)
    last = int(table["step"].max()) if len(table) else 0
    ticks = ["none", *map(str, range(1, last)), "all"][: last + 1]
    axis.set_xticks(range(last + 1), ticks)
    axis.set(xlabel=f"blocks randomised, from the output back ({last} in all)")
    axis.set(ylabel="rank correlation with the trained map")
    maps = int(table["maps"].max()) if len(table) else 0
    axis.set_title(f"Randomised weights\n({maps} maps each; band: lowest to highest draw)", size=10)
    axis.axhline(0, color="0.7", linewidth=0.8)
    below: Any = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14)}
    axis.legend(fontsize=7, frameon=False, ncols=4, **below)
