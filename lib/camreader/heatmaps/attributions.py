"""How maps are computed, a batch at a time: from a layer's activations and gradients, or by captum.

Tested in tests/heatmaps/test_methods.py, as the methods that are made of these.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from camreader.heatmaps import gradcam
from camreader.training.outputs import check_outputs

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module
else:
    torch = lazy_loader.load("torch")


def unit(maps: np.ndarray) -> np.ndarray:
    """Positive part of maps (N, S, S), each divided by its maximum; not finite = blank."""
    maps = np.maximum(np.asarray(maps, np.float32), 0)
    maps[~np.isfinite(maps).all((1, 2))] = 0
    top = maps.max((1, 2), keepdims=True, initial=0)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def masked_scores(
    model: Module, activations: Tensor, images: Tensor, classes: Tensor, step: int
) -> Tensor:
    """Score (n, K) of each image behind each of its feature maps (n, K, h, w), scaled to 0..1."""
    rows = []
    for maps, image, wanted in zip(activations, images, classes, strict=True):
        masks = torch.nn.functional.interpolate(maps[:, None], image.shape[1:], mode="bilinear")
        low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
        masks = (masks - low) / torch.where(high > low, high - low, 1.0)
        found = [
            gradcam.class_scores(
                check_outputs(model(image * part), len(part)), wanted.expand(len(part))
            )
            for part in masks.split(step)
        ]
        rows.append(torch.cat(found))
    return torch.stack(rows)


def layer_maps(
    model: Module,
    images: Tensor,
    classes: Tensor,
    batch_size: int,
    weigh: Callable[..., Tensor],
    with_images: bool = False,
) -> np.ndarray:
    """Maps of a method that combines the target layer's activations and gradients.

    weigh: (activations, gradient, (logits, classes)) -> raw maps (n, h, w) of a batch;
    with_images: it gets the batch's images as well. Maps of several layers are averaged.
    """
    like, parts = gradcam.device_of(model), []
    step = gradcam.batch_length(images, batch_size, like)
    for layer in gradcam.find_layers(model):
        maps = np.zeros((len(images), *images.shape[2:]), np.float32)
        with gradcam.evaluating(model), torch.inference_mode(False):
            for rows in gradcam.slices(len(images), step):
                batch = gradcam.channels_last(images[rows], like)
                found = gradcam.gradients(model, layer, batch, classes[rows])
                activations, gradient, logits, wanted, _scores = found
                with torch.no_grad():
                    more = (batch,) if with_images else ()
                    raw = weigh(activations, gradient, (logits, wanted), *more).float()
                never = torch.zeros_like(wanted).bool()
                maps[rows] = gradcam.scale(raw, images.shape[2:], never)[0].cpu()
        parts.append(maps)
    return parts[0] if len(parts) == 1 else unit(np.mean(parts, axis=0))


def has_feature_maps(model: Module, layer: Module, images: Tensor) -> bool:
    """Whether a layer gives feature maps (N, K, h, w), tried on one image; True without any."""
    if not len(images):
        return True
    one = gradcam.channels_last(images[:1], gradcam.device_of(model))
    with gradcam.evaluating(model):
        return gradcam.activations_and_logits(model, layer, one)[0].ndim == 4


def captum_maps(
    model: Module,
    images: Tensor,
    classes: Tensor,
    batch_size: int,
    method: Callable,
    **options: Any,
) -> np.ndarray:
    """Maps of a captum method, `method(score).attribute`.

    options: of that function; one that depends on the batch is a function of it.
    """
    like = gradcam.device_of(model)
    maps = []
    with gradcam.evaluating(model), torch.inference_mode(False):
        attribute = method(gradcam.class_score_module(model)).attribute
        for rows in gradcam.slices(len(images), batch_size):
            batch = gradcam.channels_last(images[rows], like)
            wanted = classes[rows].to(like.device)
            more = {k: value(batch) if callable(value) else value for k, value in options.items()}
            with torch.set_grad_enabled(True):
                batch.requires_grad_()
                values = attribute(batch, additional_forward_args=wanted, **more)
            maps.append(values.detach().amax(1).cpu().numpy())
    return unit(np.concatenate(maps) if maps else np.zeros((0, *images.shape[2:])))
