"""Figure 2: the steps of Grad-CAM on one slice, as a flow chart of what was computed."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch

from camreader.common.style import HEAT
from camreader.heatmaps import gradcam
from camreader.heatmaps.plots import NAMES, heat_bar, overlay, scaled_boxes

WIDTH, HEIGHT, SIDE, TILE, MIDDLE = 12.6, 3.9, 2.1, 0.62, 1.95  # inches


def steps(explained, row, shown=4):
    """The flow chart for test slice number `row`, with the `shown` heaviest feature maps."""
    image, case = explained.images[row : row + 1], explained.cases.iloc[row]
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
    boxes = scaled_boxes(case, image.shape[-1])
    overlay(left[3], image[0, 0].numpy(), result.maps[0], boxes)
    left[3].set_title("5 · enlarged, over the slice", size=9)
    _bar(figure, left[3], heat_bar)
    for start, end in ((2.25, 3.05), (4.3, 4.7), (6.9, 7.3), (9.5, 9.9)):
        _arrow(figure, start, end)
    said = f"p(tumor) = {case['probability']:.2f}, explained: {NAMES[wanted]}"
    layer = f"layer {result.layer}, {activations.shape[1]} x {activations.shape[2]} cells"
    figure.suptitle(f"Grad-CAM: {said}; {layer}; α = mean of ∂score/∂feature map", size=10)
    return figure


def _weights(model, image):
    """Feature maps (K, h, w), their weights α (K,) and the class explained, of one image."""
    layer = gradcam.find_layer(model)
    with gradcam.evaluating(model):
        activations, gradient, _, wanted, _ = gradcam.gradients(model, layer, image)
    return activations[0].numpy(), gradient.mean((2, 3))[0].numpy(), int(wanted[0])


def _tiles(figure, activations, weights, shown):
    """The feature maps with the largest |α|, one below the other, α on their left."""
    top = np.argsort(-np.abs(weights))[:shown]
    upper = MIDDLE + shown * (TILE + 0.08) / 2
    for place, k in enumerate(top):
        axis = _axes(figure, 3.65, upper - (place + 1) * (TILE + 0.08), TILE)
        title = f"2 · the {shown} of {len(weights)} feature\nmaps with the largest |α|"
        _image(axis, activations[k], title if place == 0 else "", cmap="viridis")
        axis.set_ylabel(f"α {weights[k]:+.1e}", rotation=0, ha="right", va="center", size=7)


def _axes(figure, x, y, side):
    """Square axes whose lower left corner and side are in inches."""
    return figure.add_axes((x / WIDTH, y / HEIGHT, side / WIDTH, side / HEIGHT))


def _image(axis, values, title, **look):
    axis.imshow(np.asarray(values), **({"cmap": "gray"} | look))
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.set_title(title, size=9)


def _bar(figure, axis, draw=None):
    """Colour bar under a picture; its numbers are few, so that they cannot touch."""
    box = axis.get_position()
    place = figure.add_axes((box.x0, box.y0 - 0.09, box.width, 0.025))
    look = {"cax": place, "orientation": "horizontal"}
    bar = draw(figure, None, "", **look) if draw else figure.colorbar(axis.images[0], **look)
    bar.ax.locator_params(nbins=3)
    bar.ax.tick_params(labelsize=7)


def _arrow(figure, start, end):
    """Arrow between two steps, at mid-height; places in inches."""
    ends = [(x / WIDTH, MIDDLE / HEIGHT) for x in (start, end)]
    look = {"arrowstyle": "-|>", "mutation_scale": 14, "color": "0.3"}
    figure.add_artist(FancyArrowPatch(*ends, transform=figure.transFigure, **look))
