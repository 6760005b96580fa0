"""Which layers of a network heat-maps explain: those named, or the last that still knows places.

Tested in tests/training/test_own_networks.py, on convolutional networks and transformers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from camreader.common.errors import DataError
from camreader.training.outputs import log_odds, places, tokens_before, width_of

if TYPE_CHECKING:
    from camreader.training.own_networks import OwnNetwork


def choose_layers(network: OwnNetwork, images: Tensor) -> None:
    """Set the layers to explain: those named, each tried, or the last that still knows places.

    That is the last module whose output has at least 2 x 2 places (feature maps or tokens) on
    which the answer depends; in a transformer the last block's first norm (as grad-cam advises),
    because behind it only the class token is read.
    """
    inner, named = network.network, list(network.description.layers)
    modules = dict(inner.named_modules())
    for name in named:
        if name not in modules or not name:
            convolutions = [k for k, m in modules.items() if isinstance(m, nn.Conv2d)][-1:]
            raise DataError(
                "LAYERS names a layer that the network does not have",
                found=name,
                expected=f"such as {', '.join(convolutions or list(modules)[-3:])}",
            )
    outputs = _spatial_outputs(network, images[:2])
    for name in named:
        if name not in outputs:
            words = "LAYERS names a layer whose output has no places, or that takes no part"
            raise DataError(words, found=name, expected=f"such as {', '.join(list(outputs)[-3:])}")
    network.layers = named or list(outputs)[-1:]
    if not network.layers:
        words = "The network has no layer that still knows places, so no map can be drawn of it"
        raise DataError(words, expected="a convolution or a token for each place")


def _spatial_outputs(network: OwnNetwork, images: Tensor) -> dict[str, Tensor]:
    """{module name: output} of the modules with places on which the answer depends, in order."""
    kept: dict[str, Tensor] = {}
    network = _without_zeros(network)
    handles = [
        module.register_forward_hook(_keep(kept, name, len(images)))
        for name, module in network.network.named_modules()
        if name
    ]
    try:
        with torch.enable_grad():
            answer = log_odds(network(images.clone().requires_grad_())).sum()
    finally:
        for handle in handles:
            handle.remove()
    slopes = torch.autograd.grad(answer, list(kept.values()), allow_unused=True) if kept else ()
    named = set(network.description.layers)
    last = width_of(list(kept.values())[-1]) if kept else 0
    return {
        name: value
        for (name, value), slope in zip(kept.items(), slopes, strict=True)
        if slope is not None
        and _reaches(slope)
        and (name in named or (width_of(value) == last and not _flattened(value, kept)))
    }


def _flattened(values: Tensor, kept: dict[str, Tensor]) -> bool:
    """Whether (N, K, h x w) are feature maps laid flat, which are no tokens."""
    maps = [other.shape for other in kept.values() if other.ndim == 4]
    return values.ndim == 3 and any(
        values.shape[1:] == (shape[1], shape[2] * shape[3]) for shape in maps
    )


def _without_zeros(network: OwnNetwork) -> OwnNetwork:
    """A copy whose weights that are all zero are not: before training such a head, which some
    transformers have, hides what it will depend on."""
    copied = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in copied.parameters():
            if value.ndim > 1 and not value.any():
                value.copy_(torch.randn(value.shape, generator=generator))
    return copied


def _keep(kept: dict[str, Tensor], name: str, count: int) -> Callable:
    def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
        fits = isinstance(output, Tensor) and output.requires_grad and output.ndim in (3, 4)
        if fits and len(output) == count and places(output):
            kept.pop(name, None)
            kept[name] = output

    return hook


def _reaches(slope: Tensor) -> bool:
    """Whether the answer depends on more than the tokens before the places."""
    if slope.ndim == 3:
        slope = slope[:, tokens_before(slope) :]
    return bool((slope != 0).any())
