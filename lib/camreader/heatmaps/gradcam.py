"""Grad-CAM for convolutional networks and transformers, at nearly the price of a forward pass.

Selvaraju et al. 2017 (ICCV), equations 1 and 2: the weight of a feature map is the spatial mean
of the gradient of the class score in it, and the map is ReLU(sum of weight x feature map). The
published study's equation (1) has lost the 1/Z of that mean; here it is back. A transformer's
tokens are put back in their rows first; those before them (of the class, registers) have no place.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from camreader.common.errors import DataError
from camreader.training.folding import folded
from camreader.training.outputs import check_outputs, spatial

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

    Layer = Module | str | list[Module] | list[str] | None
else:  # takes seconds, and the workflow asks for the methods' names only
    torch = lazy_loader.load("torch")

# Measured with tests/bench/bench_heatmaps.py: on a CPU smaller batches wait for Python and larger
# ones for memory, and hold more of it.
CPU_BATCH_PIXELS = 32 * 128 * 128


@dataclass(frozen=True)
class Maps:
    """Grad-CAM of N images: the map to look at, and what it was made from."""

    maps: np.ndarray  # (N, S, S) float32 in 0..1, each divided by its own maximum
    raw: np.ndarray  # (N, h, w) float32: weighted sum of feature maps before the ReLU
    explained_class: np.ndarray  # (N,) int
    score: np.ndarray  # (N,) float32: the logit explained, negated for "no tumor" of one logit
    blank: np.ndarray  # (N,) bool: nothing to show, the map is 0 everywhere
    relative: np.ndarray  # (N,) bool: the ReLU would have erased it, see `scale`
    layer: str  # name of the layer explained


def grad_cam(
    model: Module,
    images: Tensor,
    classes: Any = None,
    batch_size: int = 64,
    target_layer: Layer = None,
) -> np.ndarray:
    """Grad-CAM maps, float32 (N, S, S) in 0..1, of `images` (N, C, S, S).

    `classes` is 0 or 1 per image, or one for all; None explains the network's own decision. One
    logit is explained for "tumor" (1) and its negative for "no tumor" (0); of several logits the
    class's own is. `target_layer` is a module of `model` or its name, or several of them, whose
    maps are averaged; by default `model.target_layer`. The model is left as it was found: mode,
    hooks and `.grad`.
    """
    return explain(model, images, classes, batch_size, target_layer).maps


def explain(
    model: Module,
    images: Tensor,
    classes: Any = None,
    batch_size: int = 64,
    target_layer: Layer = None,
) -> Maps:
    """Like `grad_cam`, returning `Maps`. Raises DataError on unfit images, classes or layer."""
    layers = find_layers(model, target_layer)
    if len(layers) > 1:
        return _averaged([explain(model, images, classes, batch_size, one) for one in layers])
    layer = layers[0]
    images = torch.as_tensor(images)
    if images.ndim != 4:
        raise DataError("Images must be (N, C, S, S)", found=tuple(images.shape))
    chosen = check_classes(classes, len(images))
    batches = slices(len(images), batch_length(images, batch_size, device_of(model)))
    with evaluating(model), folded(model, [layer]), torch.inference_mode(False):
        parts = [_explain_batch(model, layer, images[b], chosen, b) for b in batches]
    if not parts:
        nothing, none = np.zeros((0, *images.shape[2:]), np.float32), np.zeros(0)
        return Maps(nothing, none, none, none, none, none, layer_name(model, layer))
    raw, classes, scores, rescue = (torch.cat(column) for column in zip(*parts, strict=True))
    maps, (blank, relative) = _scaled(raw, images.shape[2:], rescue)
    stored = _numpy(raw), _numpy(classes), _numpy(scores), _numpy(blank), _numpy(relative)
    return Maps(maps, *stored, layer_name(model, layer))


def _averaged(parts: list[Maps]) -> Maps:
    """The mean of several layers' maps, each over its own maximum, again over its maximum."""
    last = parts[-1]
    maps = np.mean([part.maps for part in parts], axis=0, dtype=np.float32)
    top = maps.max((1, 2), keepdims=True, initial=0)
    return replace(
        last,
        maps=np.divide(maps, top, out=np.zeros_like(maps), where=top > 0),
        blank=np.all([part.blank for part in parts], axis=0),
        relative=np.any([part.relative for part in parts], axis=0),
        layer=", ".join(part.layer for part in parts),
    )


def _numpy(values: Tensor) -> np.ndarray:
    return values.cpu().numpy()


def find_layers(model: Module, target_layer: Layer = None) -> list[Module]:
    """The modules to explain: given, named, or the model's own `target_layer`."""
    layer = target_layer if target_layer is not None else getattr(model, "target_layer", None)
    if isinstance(layer, list | tuple) and layer:
        return [find_layer(model, one) for one in layer]
    return [find_layer(model, layer)]


def find_layer(model: Module, target_layer: Any = None) -> Module:
    """The one module to explain, as `find_layers`; of several the last."""
    layer = target_layer if target_layer is not None else getattr(model, "target_layer", None)
    if isinstance(layer, list | tuple) and layer:
        layer = layer[-1]
    modules = dict(model.named_modules())
    if isinstance(layer, str) and layer in modules:
        return modules[layer]
    if isinstance(layer, torch.nn.Module) and layer in modules.values():
        return layer
    last = [name for name, module in modules.items() if isinstance(module, torch.nn.Conv2d)][-1:]
    raise DataError(
        "The layer to explain is not a module of the network",
        found=layer,
        expected=f"target_layer=, a module or its name; the last convolution is {last}",
    )


def layer_name(model: Module, layer: Module) -> str:
    """Dotted name of a module inside a network."""
    return next(name for name, module in model.named_modules() if module is layer)


def device_of(model: Module) -> Tensor:
    """Device and floating type of a network's parameters, as a tensor to convert to."""
    return next(model.parameters(), torch.zeros(0))


def batch_length(images: Tensor, batch_size: int, like: Tensor) -> int:
    """Images per batch: `batch_size`, fewer on a CPU when the images are large."""
    if batch_size < 1:
        raise DataError("batch_size must be at least 1", found=batch_size)
    if like.device.type != "cpu":
        return int(batch_size)
    pixels = max(1, images.shape[-1] * images.shape[-2])
    return int(min(batch_size, max(1, CPU_BATCH_PIXELS // pixels)))


def channels_last(images: Tensor, like: Tensor) -> Tensor:
    """A channels_last copy of a batch on the network's device and in its floating type.

    Written out because for one channel `.to(memory_format=...)` keeps the slower strides.
    """
    empty = torch.empty(
        images.shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )
    return empty.copy_(images)


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """The network in eval mode; afterwards each of its modules is back in its own mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def activations_and_logits(model: Module, layer: Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Forward pass whose gradients begin at `layer`: (its output, logits (N, classes)).

    The trunk runs without gradients; at the layer a hook cuts the graph and turns them on. What
    follows gets a copy, so an in-place ReLU there cannot change the activations we keep.
    """
    kept: list[Tensor] = []

    def cut(_module: Module, _inputs: Any, output: Any) -> Tensor:
        if not torch.is_tensor(output) or output.ndim not in (3, 4) or len(output) != len(images):
            raise DataError(
                "The layer's output must be one tensor that knows places",
                found=tuple(output.shape) if torch.is_tensor(output) else type(output).__name__,
                expected="feature maps (N, K, h, w) or tokens (N, T, D)",
            )
        kept[:] = [output.detach().requires_grad_()]
        torch.set_grad_enabled(True)
        return kept[0].clone()

    handle = layer.register_forward_hook(cut)
    try:
        with torch.no_grad():
            logits = model(images)
        if kept and not getattr(
            logits, "requires_grad", True
        ):  # the network turned gradients off behind the cut
            with torch.enable_grad():
                logits = model(images)
    finally:
        handle.remove()
    if not kept:
        raise DataError("The layer took no part in the forward pass", found=layer)
    return kept[0], check_outputs(logits, len(images))


def gradients(
    model: Module, layer: Module, images: Tensor, classes: Tensor | None = None
) -> tuple[Tensor, ...]:
    """(activations, gradient of the score in them, logits (N, classes), classes, scores (N,)).

    The first two are (N, K, h, w), tokens put back in their rows. classes: long (N,), None for the
    network's own decisions.
    """
    activations, logits = activations_and_logits(model, layer, images)
    if classes is None:
        classes = decisions(logits.detach())
    elif int(classes.max()) >= max(2, logits.shape[1]):
        raise DataError("Class outside the network's outputs", found=int(classes.max()))
    classes = classes.to(logits.device)
    scores = class_scores(logits, classes)
    gradient = torch.autograd.grad(scores.sum(), activations)[0]
    activations, gradient = spatial(activations.detach()), spatial(gradient)
    return activations, gradient, logits.detach(), classes, scores.detach()


def check_classes(classes: Any, count: int) -> Tensor | None:
    """Classes as a long tensor (count,), or None for the network's own decisions.

    classes: one per image, one for all, or None. DataError where they are too few or negative.
    """
    if classes is None:
        return None
    own = classes if torch.is_tensor(classes) else np.array(classes)  # a copy: pandas' are locked
    chosen = torch.as_tensor(own).long()
    chosen = chosen.expand(count) if chosen.ndim == 0 else chosen
    if chosen.shape != (count,) or (count and int(chosen.min()) < 0):
        raise DataError("One class 0, 1, ... per image", found=classes, expected=f"{count} classes")
    return chosen


def decisions(logits: Tensor) -> Tensor:
    """The network's own class per image: sign of one logit, or the largest of several."""
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(1)


def class_scores(logits: Tensor, classes: Tensor) -> Tensor:
    """Score (N,) of `classes` (N,): a logit, negated for class 0 of a single logit."""
    if logits.shape[1] == 1:
        return torch.where(classes == 1, logits[:, 0], -logits[:, 0])
    return logits.gather(1, classes[:, None])[:, 0]


def class_score_module(model: Module) -> Module:
    """The explained score as a module of (images, classes), which is what captum asks for."""

    class ClassScore(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, images: Tensor, classes: Tensor) -> Tensor:
            return class_scores(check_outputs(self.model(images), len(images)), classes)

    return ClassScore()


def scale(
    raw: Tensor, size: tuple[int, ...], rescue: Tensor, out: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Raw maps (N, h, w) -> (maps (N, S, S) in 0..1, blank (N,), relative (N,)).

    ReLU, bilinear upsampling (align_corners=False), division by each map's maximum, so that 0
    stays "no evidence". `rescue` (N,) marks maps that must not be blank. "No tumor" is often
    argued by absence: every place speaks against it a little and a bias decides, so the ReLU
    erases the whole map. Such a map is shown relative to its lowest value (bright = speaks least
    against the class; even if all places are alike) and is flagged. `out` receives the maps.
    """
    finite = raw.flatten(1).isfinite().all(1)
    raw = torch.where(finite[:, None, None], raw, 0.0)
    erased = (raw <= 0).flatten(1).all(1)
    relative = erased & rescue & finite
    kept = raw.relu()
    if relative.any():
        kept[relative] = _lifted(raw[relative])
    maps = torch.nn.functional.interpolate(
        kept[:, None], size=size, mode="bilinear", align_corners=False
    )[:, 0]
    top = maps.flatten(1).amax(1)
    maps = torch.div(maps, torch.where(top > 0, top, 1.0)[:, None, None], out=out)
    return maps, erased & ~relative, relative


def _lifted(raw: Tensor) -> Tensor:
    """Maps (n, h, w) above their own lowest value; even ones are 1 everywhere."""
    lifted = raw - raw.amin((1, 2), keepdim=True)
    return torch.where(lifted.amax((1, 2), keepdim=True) > 0, lifted, 1.0)


def slices(count: int, step: int) -> list[slice]:
    """Slices of `step` rows, the last one shorter, that cover `count` rows."""
    return [slice(start, min(start + step, count)) for start in range(0, count, step)]


def _explain_batch(
    model: Module, layer: Module, images: Tensor, chosen: Tensor | None, rows: slice
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(raw maps, classes explained, their scores, whether the map must not be blank), a batch's."""
    batch = channels_last(images, device_of(model))
    asked = None if chosen is None else chosen[rows]
    activations, gradient, _logits, classes, scores = gradients(model, layer, batch, asked)
    weights = gradient.mean((2, 3))[:, None]  # a row vector times a matrix: BLAS's quick case
    raw = torch.bmm(weights, activations.flatten(2)).float()
    rescue = torch.zeros_like(classes, dtype=torch.bool)
    if chosen is None:  # a class asked for gets the textbook's map, blank or not
        rescue = (gradient != 0).flatten(1).any(1) & (classes == 0)
    return raw.view(-1, *activations.shape[2:]), classes, scores.float(), rescue


def _scaled(
    raw: Tensor, size: tuple[int, ...], rescue: Tensor, chunk: int = 64
) -> tuple[np.ndarray, list[Tensor]]:
    """Raw maps to (maps (N, S, S) as numpy, (blank, relative)); a chunk at a time, for memory."""
    maps, flags = np.empty((len(raw), *size), np.float32), []
    for rows in slices(len(raw), chunk):
        out = torch.from_numpy(maps[rows]) if raw.device.type == "cpu" else None
        found, *flag = scale(raw[rows], size, rescue[rows], out)
        if out is None:
            maps[rows] = found.cpu().numpy()
        flags.append(flag)
    return maps, [torch.cat(column) for column in zip(*flags, strict=True)]
