"""Figures 1 and 4: the parts of a convolutional network, and the one that was trained.

Tested in tests/training/test_networks.py, beside the networks whose blocks it draws.
"""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Polygon
from torch import nn

from camreader.common.errors import DataError
from camreader.common.style import HEAT, refusal
from camreader.training.networks import NO_NETWORK, trace
from camreader.training.outputs import places, spatial
from camreader.training.own_networks import OwnNetwork

COLOURS = {
    "Conv2d": "#56B4E9",
    "ReLU": "#BBBBBB",
    "BatchNorm2d": "#DDDDDD",
    "MaxPool2d": "#E69F00",
    "AvgPool2d": "#F0C75E",
    "AdaptiveAvgPool2d": "#F0C75E",
    "Flatten": "#CC79A7",
    "Dropout": "#FFFFFF",
    "Linear": "#009E73",
    "Sigmoid": "#D55E00",
}


def components(
    network: nn.Module | None, image: np.ndarray, probability_of: str = "tumor"
) -> Figure:
    """Figure 1: one slice through the parts of a trained network; image (S, S) in 0..1.

    Of a network of one's own, up to four of its outputs that know places, in their order.
    """
    if network is None:
        return refusal(f"Network {NO_NETWORK}")
    images = torch.as_tensor(np.ascontiguousarray(image))[None, None]
    if isinstance(network, OwnNetwork):
        return _passage(network, images, probability_of)
    kept = [(type(m).__name__, o[0].cpu().numpy()) for _name, m, o in trace(network, images)]
    maps = [(name, value) for name, value in kept if value.ndim == 3]
    conv, *_, last = (value for name, value in maps if name == "ReLU")
    pooled = next(value for name, value in maps if "Pool" in name)
    vector = next((value for name, value in kept if name == "Flatten"), last.mean((1, 2)))
    figure, axes = plt.subplots(1, 6, figsize=(12, 2.9), width_ratios=[2, 2, 2, 2, 0.8, 1.1])
    axes[0].imshow(image, vmin=0, vmax=1)
    _title(axes[0], "Input slice", image.shape)
    for place, title, value in ((1, "Convolution", conv), (2, "Pooling", pooled)):
        axes[place].imshow(_mosaic(value), cmap=HEAT)
        _title(axes[place], title, value.shape)
    axes[3].imshow(_mosaic(last), cmap=HEAT)
    _title(axes[3], "Last convolution", last.shape)
    axes[4].imshow(vector.reshape(-1, 1)[:96], aspect="auto", cmap=HEAT)
    _title(axes[4], "Flatten", vector.shape)
    _answer(axes[5], float(dict(kept)["Sigmoid"]), probability_of)
    return figure


def _passage(network: OwnNetwork, images: torch.Tensor, probability_of: str) -> Figure:
    """The same of any network: outputs with places, evenly chosen, and the probability."""
    kept = [(name, o) for name, _module, o in trace(network, images) if len(o) == 1]
    maps = [(name, spatial(o)[0]) for name, o in kept if o.ndim in (3, 4) and places(o)]
    chosen = [maps[k] for k in np.unique(np.linspace(0, len(maps) - 1, 4).round().astype(int))]
    widths = [2.0] * (1 + len(chosen)) + [1.1]
    figure, axes = plt.subplots(1, len(widths), figsize=(12, 2.9), width_ratios=widths)
    axes[0].imshow(images[0, 0], vmin=0, vmax=1)
    _title(axes[0], "Input slice", tuple(images.shape[2:]))
    for axis, (name, value) in zip(axes[1:], chosen, strict=False):
        value = value.float().cpu()
        low, high = value.amin((1, 2), keepdim=True), value.amax((1, 2), keepdim=True)
        axis.imshow(_mosaic(((value - low) / (high - low + 1e-9)).numpy()), cmap=HEAT)
        _title(axis, name.removeprefix("network."), tuple(value.shape))
    with torch.no_grad():
        probability = float(network.predict_proba(images)[0])  # on the CPU: the figure's own copy
    _answer(axes[-1], probability, probability_of, "Answer")
    return figure


def _mosaic(maps: np.ndarray, count: int = 9) -> np.ndarray:
    """The `count` strongest maps (C, h, w) as one square picture, each scaled to its own peak."""
    order = np.argsort(-maps.reshape(len(maps), -1).max(1))[:count]
    side = int(np.sqrt(count))
    tiles = [m / max(m.max(), 1e-9) for m in maps[order]]
    tiles += [np.zeros_like(maps[0])] * (count - len(tiles))
    tiles = [np.pad(tile, 1, constant_values=1) for tile in tiles]
    return np.block([tiles[row * side : (row + 1) * side] for row in range(side)])


def _title(axes: Axes, text: str, shape: tuple[int, ...]) -> None:
    axes.set_title(f"{text}\n{' × '.join(str(n) for n in shape)}", size=9)
    axes.set_xticks([])
    axes.set_yticks([])


def _answer(axes: Axes, probability: float, what: str, how: str = "Linear, Sigmoid") -> None:
    axes.bar([0], [probability], color=COLOURS["Sigmoid"], width=0.6)
    axes.set(ylim=(0, 1), xticks=[], xlim=(-0.7, 0.7))
    axes.set_title(f"{how}\np({what}) = {probability:.2f}", size=9)


def architecture(layers: pd.DataFrame, title: str, image_size: int = 128, most: int = 24) -> Figure:
    """Figure 4: the trained network from its table of layers (network.layers), drawn to scale.

    Height is the side of a block's output, width its channels, both on a square-root scale.
    """
    if len(layers) and not layers["output"].any():  # results without their network
        return refusal(f"{title}: the network is {layers['layer'].iloc[0]}")
    if layers.empty:
        raise DataError("A network without layers cannot be drawn")
    drawn = layers if len(layers) <= most else _main_blocks(layers)
    figure, axes = plt.subplots(figsize=(12, 4.2))
    place = _block(axes, 0, "input", "#FFFFFF", (1, image_size, image_size), 0)
    for row in drawn.itertuples():
        shape = tuple(int(n) for n in str(row.output).split(" x "))
        colour = COLOURS.get(row.block, "#EEEEEE")
        place = _block(axes, place, row.block, colour, shape, row.parameters)
    axes.set(xlim=(-0.2, place + 0.2), ylim=(-2.6, 1.5))
    axes.axis("off")
    total = int(layers["parameters"].sum())
    note = "" if len(drawn) == len(layers) else f" ({len(layers)} blocks; main ones drawn)"
    axes.set_title(f"{title}: {total:,} parameters{note}", loc="left")
    return figure


def _main_blocks(layers: pd.DataFrame) -> pd.DataFrame:
    """The blocks worth drawing where there are too many: convolutions, pools and the head."""
    every = layers[layers["block"].isin(["Conv2d", "MaxPool2d", "AdaptiveAvgPool2d", "Linear"])]
    every = layers if every.empty else every
    return every.iloc[:: max(1, len(every) // 20)]


def _block(
    axes: Axes, place: float, name: str, colour: str, shape: Sequence[int], parameters: int
) -> float:
    """Draw one block at x = place; returns where the next begins."""
    channels, side = (shape[0], shape[1]) if len(shape) == 3 else (shape[0], 0)
    if side:
        height, width = 0.25 + side**0.5 / 6.5, 0.1 + channels**0.5 / 16
        depth = height * 0.18
        top = [(place, height / 2), (place + depth, height / 2 + depth)]
        top += [(place + width + depth, height / 2 + depth), (place + width, height / 2)]
        right = [(place + width, height / 2), (place + width + depth, height / 2 + depth)]
        right += [(place + width + depth, depth - height / 2), (place + width, -height / 2)]
        for corners, shade in ((top, 0.55), (right, 0.8)):
            axes.add_patch(Polygon(corners, facecolor=colour, edgecolor="0.3", lw=0.6, alpha=shade))
    else:
        height, width, depth = 0.25 + channels**0.5 / 22, 0.16, 0
    axes.add_patch(
        FancyBboxPatch(
            (place, -height / 2),
            width,
            height,
            boxstyle="square,pad=0",
            facecolor=colour,
            edgecolor="0.3",
            lw=0.8,
        )
    )
    words = f"{name}  {'×'.join(str(n) for n in shape)}"
    words += f"  {parameters:,} par." if parameters else ""
    axes.text(place + width / 2, -1.12, words, rotation=90, ha="center", va="top", size=7.5)
    return place + width + depth + 0.22
