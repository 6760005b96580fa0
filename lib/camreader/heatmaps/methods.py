"""The methods Grad-CAM is compared with, and two baselines that any method must beat.

Every method is called alike, `METHODS[name](model, images, classes)`, explains the same score
(the logit, negated for "no tumor") and returns float32 (N, S, S) in 0..1, each map divided by its
maximum. Where a method gives signed values, the positive part (evidence for the class) is shown;
saliency is an absolute value by definition.
"""

import warnings

import numpy as np
import torch
from torch import nn

from camreader.common.errors import DataError
from camreader.heatmaps import gradcam

TITLES = {
    "gradcam": "Grad-CAM",
    "gradcam_pp": "Grad-CAM++",
    "hirescam": "HiResCAM",
    "cam": "CAM",
    "saliency": "Saliency",
    "guided_gradcam": "Guided Grad-CAM",
    "integrated_gradients": "Integrated gradients",
    "occlusion": "Occlusion",
    "random": "Random map",
    "centre": "Centre blob",
}
BASELINES = ("random", "centre")


class ClassScore(nn.Module):
    """The explained score as a module of (images, classes), which is what captum asks for."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images, classes):
        logits = self.model(images).reshape(len(images), -1)
        return gradcam.class_scores(logits, classes)


def unit(maps):
    """Positive part of maps (N, S, S), each divided by its maximum; not finite = blank."""
    maps = np.maximum(np.asarray(maps, np.float32), 0)
    maps[~np.isfinite(maps).all((1, 2))] = 0
    top = maps.max((1, 2), keepdims=True, initial=0)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)


def compute(method, model, images, classes, **options):
    """Maps of one method by name, float32 (N, S, S); DataError where the method does not apply."""
    if method not in METHODS:
        raise DataError("Unknown heat-map method", found=method, expected=", ".join(METHODS))
    images = torch.as_tensor(images)
    classes = gradcam.check_classes(classes, len(images))
    return METHODS[method](model, images, classes, **options)


def gradcam_pp(model, images, classes, batch_size=64):
    """Grad-CAM++ (Chattopadhay et al. 2018, WACV, equation 19)."""

    def weigh(activations, gradient, _weight):
        square = gradient**2
        below = 2 * square + activations.sum((2, 3), keepdim=True) * gradient**3
        alpha = torch.where(below != 0, square / torch.where(below != 0, below, 1.0), 0.0)
        return torch.einsum("nkhw,nk->nhw", activations, (alpha * gradient.relu()).sum((2, 3)))

    return _layer_maps(model, images, classes, batch_size, weigh)


def hirescam(model, images, classes, batch_size=64):
    """HiResCAM (Draelos & Carin 2020, arXiv 2011.08891): gradient x activation, place by place.

    The mean of Grad-CAM forgets where the gradient was, which matters for a head that, like the
    paper's, weighs each region of the image on its own.
    """
    return _layer_maps(model, images, classes, batch_size, lambda a, g, _w: (a * g).sum(1))


def cam(model, images, classes, batch_size=64):
    """CAM (Zhou et al. 2016, CVPR): feature maps weighed by the last linear layer.

    Only where the logits are that layer applied to the feature maps' means; that is tried on the
    images, and DataError is raised where it does not hold.
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)][-1:]

    def weigh(activations, _gradient, logits_and_classes):
        logits, wanted = logits_and_classes
        layer = linear[0] if linear else None
        if layer is None or layer.in_features != activations.shape[1]:
            raise _no_cam()
        if not torch.allclose(layer(activations.mean((2, 3))), logits, rtol=1e-3, atol=1e-3):
            raise _no_cam()
        sign = (2.0 * wanted - 1)[:, None] if len(layer.weight) == 1 else 1.0
        rows = wanted if len(layer.weight) > 1 else torch.zeros_like(wanted)
        return torch.einsum("nkhw,nk->nhw", activations, sign * layer.weight[rows])

    return _layer_maps(model, images, classes, batch_size, weigh)


def saliency(model, images, classes, batch_size=16):
    """Saliency (Simonyan et al. 2014): absolute gradient of the score in each pixel; captum."""
    from captum.attr import Saliency

    return _captum(model, images, classes, batch_size, lambda score: Saliency(score).attribute)


def guided_gradcam(model, images, classes, batch_size=16):
    """Guided Grad-CAM (Selvaraju et al. 2017, section 3.2); captum.

    The network's ReLUs must be modules: captum does not see nn.functional.relu.
    """
    from captum.attr import GuidedGradCam

    layer = gradcam.find_layer(model)

    def method(score):
        guided = GuidedGradCam(score, layer)
        return lambda images, **others: guided.attribute(
            images, interpolate_mode="bilinear", **others
        )

    with warnings.catch_warnings():  # it announces hooks that it then takes away itself
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        return _captum(model, images, classes, batch_size, method)


def integrated_gradients(model, images, classes, batch_size=8, steps=16):
    """Integrated gradients (Sundararajan et al. 2017) from a black slice; captum."""
    from captum.attr import IntegratedGradients

    def method(score):
        path = IntegratedGradients(score)
        return lambda images, **others: path.attribute(
            images, n_steps=steps, internal_batch_size=16, **others
        )

    return _captum(model, images, classes, batch_size, method)


def occlusion(model, images, classes, batch_size=8, window=16, stride=12):
    """Occlusion (Zeiler & Fergus 2014): the loss of score behind a square of the slice's mean.

    `window` and `stride` are in pixels of `images`; captum.
    """
    from captum.attr import Occlusion

    def method(score):
        occluder = Occlusion(score)
        return lambda images, **others: occluder.attribute(
            images,
            sliding_window_shapes=(images.shape[1], window, window),
            strides=(images.shape[1], stride, stride),
            baselines=images.mean((1, 2, 3), keepdim=True).expand_as(images),
            perturbations_per_eval=2,
            **others,
        )

    return _captum(model, images, classes, batch_size, method)


def random(model, images, classes, seed=0, cells=16):
    """Baseline: a seeded random map of `cells` x `cells` cells, upsampled as Grad-CAM's are."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.rand(len(images), 1, cells, cells, generator=generator)
    return unit(nn.functional.interpolate(raw, images.shape[2:], mode="bilinear")[:, 0])


def centre(model, images, classes, width=1 / 6):
    """Baseline: the same Gaussian blob in the middle of every slice, SD `width` of its size."""
    height, breadth = images.shape[2:]
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(breadth) + 0.5) / breadth - 0.5
    blob = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * width**2))
    return unit(np.repeat(blob[None], len(images), 0))


def _grad_cam(model, images, classes, batch_size=64):
    return gradcam.grad_cam(model, images, classes, batch_size)


METHODS = {
    "gradcam": _grad_cam,
    "gradcam_pp": gradcam_pp,
    "hirescam": hirescam,
    "cam": cam,
    "saliency": saliency,
    "guided_gradcam": guided_gradcam,
    "integrated_gradients": integrated_gradients,
    "occlusion": occlusion,
    "random": random,
    "centre": centre,
}


def _layer_maps(model, images, classes, batch_size, weigh):
    """Maps of a method that combines the target layer's activations and gradients."""
    layer, like = gradcam.find_layer(model), gradcam.device_of(model)
    step = gradcam.batch_length(images, batch_size, like)
    maps = np.zeros((len(images), *images.shape[2:]), np.float32)
    with gradcam.evaluating(model), torch.inference_mode(False):
        for start in range(0, len(images), step):
            rows = slice(start, start + step)
            batch = gradcam.channels_last(images[rows], like)
            found = gradcam.gradients(model, layer, batch, classes[rows])
            activations, gradient, logits, wanted, _scores = found
            with torch.no_grad():
                raw = weigh(activations, gradient, (logits, wanted)).float()
            shown, *_flags = gradcam.scale(raw, images.shape[2:], torch.zeros_like(wanted).bool())
            maps[rows] = shown.cpu()
    return maps


def _captum(model, images, classes, batch_size, method):
    """Maps of a captum method: `method(score)` gives its attribute function."""
    like = gradcam.device_of(model)
    maps = []
    with gradcam.evaluating(model), torch.inference_mode(False):
        attribute = method(ClassScore(model))
        for start in range(0, len(images), batch_size):
            batch = gradcam.channels_last(images[start : start + batch_size], like)
            wanted = classes[start : start + batch_size].to(like.device)
            with torch.set_grad_enabled(True):
                values = attribute(batch.requires_grad_(), additional_forward_args=wanted)
            maps.append(values.detach().amax(1).cpu().numpy())
    return unit(np.concatenate(maps) if maps else np.zeros((0, *images.shape[2:])))


def _no_cam():
    return DataError(
        "CAM does not apply to this network",
        expected="global average pooling of the target layer, then one linear layer",
    )
