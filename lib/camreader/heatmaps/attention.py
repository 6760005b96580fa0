"""The attention of a transformer, read off while it answers, and how it adds up over its layers.

Read are nn.MultiheadAttention (torchvision, nn.TransformerEncoder), timm's attention, and any
module that gives a matrix of weights over all tokens for each head: an nn.Softmax, or the
nn.Dropout behind one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import lazy_loader

from camreader.training.outputs import tokens_before

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
else:
    torch = lazy_loader.load("torch")


def matrices(model: Module, images: Tensor) -> list[Tensor]:
    """Attention (N, T, T) of each layer of a network in evaluation mode, heads averaged.

    Rows are the tokens that ask and add up to 1. Empty where the network has none, where layers
    differ in their tokens (windowed attention), or where these are no square with something before.
    """
    kept: list[Tensor] = []
    handles = []
    for module in model.modules():
        if isinstance(module, torch.nn.MultiheadAttention):
            handles.append(module.register_forward_pre_hook(_ask, with_kwargs=True))
            handles.append(module.register_forward_hook(_keep(kept, len(images), 1)))
        elif isinstance(module, torch.nn.Dropout | torch.nn.Softmax):
            handles.append(module.register_forward_hook(_keep(kept, len(images), None)))
    try:
        with _written_out(model):
            model(images)
    finally:
        for handle in handles:
            handle.remove()
    alike = len({layer.shape for layer in kept}) == 1
    # a matrix that is the one before it is that of a Softmax, behind its Dropout
    found = [one for k, one in enumerate(kept) if not k or not torch.equal(one, kept[k - 1])]
    return found if alike and int(kept[0].shape[1] ** 0.5) > 1 else []


def _ask(_module: Module, inputs: tuple, options: dict[str, Any]) -> tuple:
    """Have nn.MultiheadAttention give its weights, averaged over heads."""
    return inputs, options | {"need_weights": True, "average_attn_weights": True}


def _keep(kept: list[Tensor], count: int, place: int | None) -> Callable[..., None]:
    """Hook that keeps what may be attention weights: square matrices whose rows add up to 1."""

    def hook(_module: Module, _inputs: Any, output: Any) -> None:
        weights = output if place is None else output[place]
        if not torch.is_tensor(weights) or weights.ndim not in (3, 4) or len(weights) != count:
            return
        square = weights.shape[-1] == weights.shape[-2] > 1
        if square and torch.allclose(
            weights.sum(-1), torch.ones((), device=weights.device, dtype=weights.dtype), atol=1e-3
        ):
            kept.append(weights.mean(1) if weights.ndim == 4 else weights)

    return hook


@contextmanager
def _written_out(model: Module) -> Iterator[None]:
    """timm's attention without its fused kernel, which keeps no weights."""
    fused = [module for module in model.modules() if getattr(module, "fused_attn", False) is True]
    for module in fused:
        module.fused_attn = False  # type: ignore[assignment]
    try:
        yield
    finally:
        for module in fused:
            module.fused_attn = True  # type: ignore[assignment]


def rollout(layers: list[Tensor]) -> Tensor:
    """Attention rollout (N, h, w) of `matrices`: Abnar & Zuidema 2020, ACL, equation 1.

    Each layer is half attention, half what passes by it. Read for the class token, the first;
    without one the mean over all tokens that ask.
    """
    count = layers[0].shape[1]
    flow = torch.eye(count, device=layers[0].device, dtype=layers[0].dtype)
    for weights in layers:
        flow = (0.5 * weights + 0.5 * torch.eye(count, device=weights.device)) @ flow
    before = tokens_before(flow)
    asked = flow[:, 0] if before else flow.mean(1)
    side = int(count**0.5)
    return asked[:, before:].unflatten(1, (side, side)).float()
