"""The heat-map methods: Grad-CAM, those it is compared with, and two baselines any must beat.

One registry. A method is a function `(model, images, classes) -> float32 (N, S, S) in 0..1`, each
map divided by its maximum, under the decorator `register`, which says all that the tables, the
figures, the workflow and the command line have to know of it: adding one means adding it here.

Every method explains the same score (the logit, negated for "no tumor"). Where a method gives
signed values, the positive part (evidence for the class) is shown.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import lazy_loader
import numpy as np

from camreader.common.errors import DataError, NotApplicable
from camreader.heatmaps import attention, gradcam
from camreader.heatmaps.attributions import (
    captum_maps,
    has_feature_maps,
    layer_maps,
    masked_scores,
    unit,
)

if TYPE_CHECKING:
    import pandas as pd
    import torch
    from torch import Tensor
    from torch.nn import Module
else:  # take seconds, and the workflow asks for the methods' names only
    pd, torch = lazy_loader.load("pandas"), lazy_loader.load("torch")

NEEDS = {
    "layer": "a layer to explain",
    "gradient": "a backward pass to that layer",
    "pixels": "a backward pass to every pixel",
    "slow": "hundreds of passes a slice",
}


@dataclass(frozen=True)
class Method:
    """One heat-map method and what the workbook has to know of it."""

    name: str  # in tables and on the command line
    title: str  # in figures and sentences
    function: Callable[..., np.ndarray]
    needs: tuple[str, ...] = ()  # keys of NEEDS
    signed: bool = False  # its values also say what speaks against the class; that part is cut off
    baseline: bool = False  # does not look at the network: a method has to beat it
    viewer: bool = False  # offered in the viewer of notebook 04
    only: str = ""  # the networks it applies to, where these are not all
    own: bool = False  # somebody's function, named in METHODS

    @property
    def slow(self) -> bool:
        """Explains a sample of the slices, because it needs hundreds of passes for each."""
        return "slow" in self.needs

    @property
    def own_job(self) -> bool:
        """Its maps are worth keeping, and a job of their own."""
        return bool({"pixels", "slow"} & set(self.needs))

    def applies(self, model: Module | None, images: Tensor) -> NotApplicable | None:
        """None where the method can explain this network, tried on an image, else the reason.

        model: None where only a network's results were given.
        """
        if model is None and not self.baseline:
            return None if self.name == "given" else NotApplicable(NO_NETWORK)
        try:
            compute(self.name, model, images[:1], 1)
        except NotApplicable as reason:
            return reason
        return None

    def unmet(self, model: Module | None) -> str:
        """Why the method does not apply to a network, where it does not."""
        return NO_NETWORK if model is None else f"only to {self.only}"

    def not_applicable(self) -> NotApplicable:
        """What the method's function raises on a network that it cannot explain."""
        return NotApplicable(f"{self.title} does not apply to this network", expected=self.only)


METHODS: dict[str, Method] = {}
GLOBAL_POOLING = "networks with global average pooling of the target layer, then one linear layer"
RELU_MODULES = "networks with feature maps whose ReLUs are modules, and one layer to explain"
RESULTS = "results that came with maps"
NO_NETWORK = "needs the network, of which only the results were given"
TRANSFORMERS = "transformers whose attention over all tokens can be read"
RANDOMISED = "randomised_weights"  # no method: how like the maps stay while weights are randomised


def register(title: str, *needs: str, name: str = "", **facts: Any) -> Callable:
    """Decorator that enters a function into METHODS; `facts` are the other fields of `Method`."""

    def enter(function: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
        entry = Method(name or function.__name__, title, function, needs, **facts)
        METHODS[entry.name] = entry
        return function

    return enter


def title(name: str) -> str:
    """A method's name in figures and sentences."""
    return METHODS[name].title


def baselines() -> list[str]:
    """Names of the methods that do not look at the network."""
    return [name for name, method in METHODS.items() if method.baseline]


def own_jobs() -> list[str]:
    """Names of the methods whose maps a scheduler makes side by side and keeps."""
    return [name for name, method in METHODS.items() if method.own_job]


def jobs() -> list[str]:
    """What a scheduler makes side by side for notebook 04: these maps, and the randomised ones."""
    return [*own_jobs(), RANDOMISED]


def overview(model: Module | None, images: Tensor) -> pd.DataFrame:
    """One row per method: what it is, what it needs, and whether it applies to this network."""
    rows = []
    for name, method in METHODS.items():
        reason = method.applies(model, images)
        rows.append(
            {
                "method": name,
                "what it is": (method.function.__doc__ or "").partition("\n")[0],
                "needs": ", ".join(NEEDS[need] for need in method.needs) or "nothing",
                "signed": method.signed,
                "baseline": method.baseline,
                "applies": "yes" if reason is None else f"no; {method.unmet(model)}",
            }
        )
    return pd.DataFrame(rows)


def compute(
    method: str, model: Module | None, images: Tensor, classes: Any, **options: Any
) -> np.ndarray:
    """Maps of one method by name, float32 (N, S, S) in 0..1, of images (N, C, S, S).

    classes: 0 or 1 per image, or one for all. NotApplicable where the method cannot explain this
    network; DataError for an unknown method.
    """
    if method not in METHODS:
        raise DataError("Unknown heat-map method", found=method, expected=", ".join(METHODS))
    if model is None and not METHODS[method].baseline:
        raise NotApplicable(NO_NETWORK)
    images = torch.as_tensor(images)
    classes = gradcam.check_classes(classes, len(images))
    return METHODS[method].function(model, images, classes, **options)


@register("Grad-CAM", "layer", "gradient", name="gradcam", signed=True, viewer=True)
def _grad_cam(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """Grad-CAM (Selvaraju et al. 2017, ICCV)."""
    return gradcam.grad_cam(model, images, classes, batch_size)


@register("Grad-CAM++", "layer", "gradient")
def gradcam_pp(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """Grad-CAM++ (Chattopadhay et al. 2018, WACV, equation 19)."""

    def weigh(activations: Tensor, gradient: Tensor, _outputs: Any) -> Tensor:
        square = gradient**2
        below = 2 * square + activations.sum((2, 3), keepdim=True) * gradient**3
        alpha = torch.where(below != 0, square / torch.where(below != 0, below, 1.0), 0.0)
        return torch.einsum("nkhw,nk->nhw", activations, (alpha * gradient.relu()).sum((2, 3)))

    return layer_maps(model, images, classes, batch_size, weigh)


@register("HiResCAM", "layer", "gradient", signed=True, viewer=True)
def hirescam(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """HiResCAM (Draelos & Carin 2020, arXiv 2011.08891): gradient x activation, place by place.

    The mean of Grad-CAM forgets where the gradient was, which matters for a head that, like the
    paper's, weighs each region of the image on its own.
    """
    return layer_maps(model, images, classes, batch_size, lambda a, g, _w: (a * g).sum(1))


@register("CAM", "layer", signed=True, only=GLOBAL_POOLING)
def cam(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """CAM (Zhou et al. 2016, CVPR): feature maps weighed by the last linear layer.

    Only where the logits are that layer applied to the feature maps' means; that is tried on the
    images, and DataError is raised where it does not hold.
    """
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1:]
    two = getattr(model, "two", lambda outputs: outputs)  # how a network of one's own answers

    def weigh(activations: Tensor, _gradient: Tensor, outputs: Any) -> Tensor:
        logits, wanted = outputs
        layer = linear[0] if linear else None
        if layer is None or layer.in_features != activations.shape[1]:
            raise METHODS["cam"].not_applicable()
        with torch.enable_grad():  # the score's slope in the means: of a linear layer its weights
            pooled = activations.mean((2, 3)).requires_grad_()
            again = two(layer(pooled)).reshape(len(logits), -1)
            if again.shape != logits.shape or not torch.allclose(
                again, logits, rtol=1e-3, atol=1e-3
            ):
                raise METHODS["cam"].not_applicable()
            slope = torch.autograd.grad(gradcam.class_scores(again, wanted).sum(), pooled)[0]
        return torch.einsum("nkhw,nk->nhw", activations, slope)

    return layer_maps(model, images, classes, batch_size, weigh)


@register("Saliency", "pixels")
def saliency(model: Module, images: Tensor, classes: Tensor, batch_size: int = 16) -> np.ndarray:
    """Saliency (Simonyan et al. 2014): absolute gradient of the score in each pixel; captum."""
    from captum.attr import Saliency

    return captum_maps(model, images, classes, batch_size, Saliency)


@register("Guided Grad-CAM", "layer", "pixels", signed=True, viewer=True, only=RELU_MODULES)
def guided_gradcam(
    model: Module, images: Tensor, classes: Tensor, batch_size: int = 16
) -> np.ndarray:
    """Guided Grad-CAM (Selvaraju et al. 2017, section 3.2); captum.

    The network's ReLUs must be modules: captum does not see torch.nn.functional.relu.
    """
    from captum.attr import GuidedGradCam

    layers = gradcam.find_layers(model)
    relu = any(isinstance(module, torch.nn.ReLU) for module in model.modules())
    if not relu or len(layers) > 1 or not has_feature_maps(model, layers[0], images):
        raise METHODS["guided_gradcam"].not_applicable()
    method, options = partial(GuidedGradCam, layer=layers[0]), {"interpolate_mode": "bilinear"}
    with warnings.catch_warnings():  # it announces hooks that it then takes away itself
        warnings.filterwarnings("ignore", "Setting backward hooks on ReLU")
        return captum_maps(model, images, classes, batch_size, method, **options)


@register("Integrated gradients", "pixels", "slow", signed=True)
def integrated_gradients(
    model: Module, images: Tensor, classes: Tensor, batch_size: int = 8, steps: int = 16
) -> np.ndarray:
    """Integrated gradients (Sundararajan et al. 2017) from a black slice; captum."""
    from captum.attr import IntegratedGradients

    options = {"n_steps": steps, "internal_batch_size": 16}
    return captum_maps(model, images, classes, batch_size, IntegratedGradients, **options)


@register("Occlusion", "slow", signed=True)
def occlusion(
    model: Module,
    images: Tensor,
    classes: Tensor,
    batch_size: int = 8,
    window: int = 16,
    stride: int = 12,
) -> np.ndarray:
    """Occlusion (Zeiler & Fergus 2014): the loss of score behind a square of the slice's mean.

    `window` and `stride` are in pixels of `images`; captum.
    """
    from captum.attr import Occlusion

    options = {
        "sliding_window_shapes": (images.shape[1], window, window),
        "strides": (images.shape[1], stride, stride),
        "baselines": lambda batch: batch.mean((1, 2, 3), keepdim=True).expand_as(batch),
        "perturbations_per_eval": 2,
    }
    return captum_maps(model, images, classes, batch_size, Occlusion, **options)


@register("LayerCAM", "layer", "gradient")
def layercam(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """LayerCAM (Jiang et al. 2021, IEEE Trans. Image Process. 30:5875): positive gradient x
    activation, place by place."""
    return layer_maps(model, images, classes, batch_size, lambda a, g, _w: (a * g.relu()).sum(1))


@register("Score-CAM", "layer", "slow")
def scorecam(model: Module, images: Tensor, classes: Tensor, batch_size: int = 64) -> np.ndarray:
    """Score-CAM (Wang et al. 2020, CVPR workshops): feature maps weighed by the score that the
    slice keeps behind each of them; without gradients."""

    def weigh(activations: Tensor, _gradient: Tensor, outputs: Any, batch: Tensor) -> Tensor:
        scores = masked_scores(model, activations, batch, outputs[1], batch_size)
        return torch.einsum("nkhw,nk->nhw", activations, scores.softmax(1))

    return layer_maps(model, images, classes, batch_size, weigh, with_images=True)


@register("Gradient x input", "pixels", signed=True)
def gradient_input(
    model: Module, images: Tensor, classes: Tensor, batch_size: int = 16
) -> np.ndarray:
    """Gradient x input (Shrikumar et al. 2016, arXiv 1605.01713); captum."""
    from captum.attr import InputXGradient

    return captum_maps(model, images, classes, batch_size, InputXGradient)


@register("Attention rollout", "layer", only=TRANSFORMERS)
def attention_rollout(
    model: Module, images: Tensor, classes: Tensor, batch_size: int = 16
) -> np.ndarray:
    """Attention rollout (Abnar & Zuidema 2020, ACL): how tokens flow through a transformer's
    layers to its answer; the same for every class."""
    like, maps = gradcam.device_of(model), []
    with gradcam.evaluating(model), torch.no_grad():
        for rows in gradcam.slices(len(images), batch_size):
            layers = attention.matrices(model, gradcam.channels_last(images[rows], like))
            if not layers:
                raise METHODS["attention_rollout"].not_applicable()
            raw = attention.rollout(layers)
            never = torch.zeros(len(raw), dtype=torch.bool, device=raw.device)
            maps.append(gradcam.scale(raw, images.shape[2:], never)[0].cpu().numpy())
    return np.concatenate(maps) if maps else np.zeros((0, *images.shape[2:]), np.float32)


@register("Maps as given", only=RESULTS)
def given(model: Module, images: Tensor, classes: Tensor) -> np.ndarray:
    """The maps that came with a network's results, from whatever program."""
    raise METHODS["given"].not_applicable()


@register("Random map", baseline=True)
def random(
    model: Module, images: Tensor, classes: Tensor, seed: int = 0, cells: int = 16
) -> np.ndarray:
    """Baseline: a seeded random map of `cells` x `cells` cells, upsampled as Grad-CAM's are."""
    generator = torch.Generator().manual_seed(seed)
    raw = torch.rand(len(images), 1, cells, cells, generator=generator)
    return unit(
        torch.nn.functional.interpolate(raw, images.shape[2:], mode="bilinear")[:, 0].numpy()
    )


@register("Centre blob", baseline=True)
def centre(model: Module, images: Tensor, classes: Tensor, width: float = 1 / 6) -> np.ndarray:
    """Baseline: the same Gaussian blob in the middle of every slice, SD `width` of its size."""
    height, breadth = images.shape[2:]
    y = (np.arange(height) + 0.5) / height - 0.5
    x = (np.arange(breadth) + 0.5) / breadth - 0.5
    blob = np.exp(-(y[:, None] ** 2 + x[None] ** 2) / (2 * width**2))
    return unit(np.repeat(blob[None], len(images), 0))
