"""The generic CNN of the paper's Figure 4, and ResNet-18 beside it.

The paper lists its blocks (Conv2d, MaxPool2d, AvgPool2d, Flatten, Dropout, Linear, Sigmoid) but
neither their order nor their sizes; both are our choice and are parameters here. Two blocks are our
addition. ReLU between the convolutions: the paper names no activation but the sigmoid, and without
one the stack of convolutions would be a single linear filter. Batch normalisation after each
convolution: without it the network stays near the majority-class baseline on small sets of real
images (Ioffe & Szegedy 2015, ICML).
"""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

from camreader.common.errors import DataError

ARCHITECTURES = ("generic", "resnet18")
NO_NETWORK = "not at hand: only the results of the network were given"


class ReLU(nn.ReLU):
    """A ReLU in place where no gradient is asked for: quicker, and a third less memory held."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return F.relu(values, inplace=not torch.is_grad_enabled())


class GenericCNN(nn.Module):
    """Is there a tumor on this slice? (N, 1, S, S) float32 in 0..1 -> (N,) logits.

    Each convolution is followed by batch normalisation and a ReLU, neither of which the paper
    lists among its blocks.

    The last two of four convolutions stay at a quarter of the image's side, so the last feature
    map, `target_layer`, which Grad-CAM explains, is S/4 x S/4. With one more halving in between
    accuracy was the same on the phantom, but the map's maximum lay beside the lesion: a cell eight
    pixels wide answers to what is in the cells around it. The head keeps the strongest response
    of each of `regions` x `regions` parts of the image and weighs them; one part, the default,
    means that a lesion counts the same wherever it is.
    """

    def __init__(
        self,
        image_size: int = 128,
        channels: tuple[int, int, int, int] = (16, 32, 48, 64),
        regions: int = 1,
        hidden: int = 64,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if image_size % (4 * regions):
            raise DataError(
                "Image size does not fit the network",
                found=image_size,
                expected=f"a multiple of {4 * regions}",
            )
        c1, c2, c3, c4 = channels
        self.features = nn.Sequential(
            *_convolution(1, c1),
            nn.AvgPool2d(2),  # averages noise away before the edges are looked for
            *_convolution(c1, c2),
            nn.MaxPool2d(2),
            *_convolution(c2, c3),
            *_convolution(c3, c4),
        )
        side = image_size // 4 // regions
        first = math.gcd(side, 4)  # in two steps: the gradient of one large pooling is slow
        self.head = nn.Sequential(
            nn.MaxPool2d(first),
            nn.MaxPool2d(side // first),
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(c4 * regions * regions, hidden),
            ReLU(),
            nn.Linear(hidden, 1),
        )
        self.sigmoid = nn.Sigmoid()
        self.apply(_start)

    @property
    def target_layer(self) -> nn.Module:
        """The layer that Grad-CAM explains; as an attribute it would be registered twice."""
        return self.features[-1]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N,), positive for "tumor"; training uses them (BCE with logits is stable)."""
        return self.head(self.features(images)).squeeze(1)

    def predict_proba(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (N,) of "tumor": the paper's sigmoid output."""
        return self.sigmoid(self(images))


def _convolution(channels_in: int, channels_out: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """A 3 x 3 convolution, batch normalisation (whose shift replaces a bias) and ReLU."""
    convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return convolution, nn.BatchNorm2d(channels_out), ReLU()


def _start(module: nn.Module) -> None:
    """Initial weights after He et al. 2015 (ICCV), made for ReLU."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


class GrayscaleResNet18(nn.Module):
    """torchvision's ResNet-18 from scratch with a one-channel stem and one logit."""

    def __init__(self) -> None:
        super().__init__()
        from torchvision.models import resnet18  # slow to import, so only where it is used

        self.network = resnet18(weights=None, num_classes=1)
        self.network.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
        self.sigmoid = nn.Sigmoid()
        self.network.layer4[-1].relu = nn.ReLU()  # not in place: Grad-CAM reads its output

    @property
    def target_layer(self) -> nn.Module:
        """The layer that Grad-CAM explains; as an attribute its weights would be saved twice."""
        return self.network.layer4

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(N, 1, S, S) -> logits (N,)."""
        return self.network(images).squeeze(1)

    def predict_proba(self, images: torch.Tensor) -> torch.Tensor:
        """Probabilities (N,) of "tumor"."""
        return self.sigmoid(self(images))


def build(architecture: str = "generic", image_size: int = 128, **sizes: Any) -> nn.Module:
    """The network called `architecture`, channels-last in memory (faster on CPU and GPU)."""
    if architecture not in ARCHITECTURES:
        raise DataError(
            "Unknown architecture", found=architecture, expected=" or ".join(ARCHITECTURES)
        )
    generic = architecture == "generic"
    network = GenericCNN(image_size, **sizes) if generic else GrayscaleResNet18()
    return network.to(memory_format=torch.channels_last)


def layers(network: nn.Module | None, image_size: int = 128) -> pd.DataFrame:
    """One row per block, in the order the image meets them: layer, block, output, parameters.

    output: the shape (channels, height, width) of one image's values after the block. Of a
    network whose results alone were given (None) the one row says so.
    """
    if network is None:
        row = {"layer": NO_NETWORK, "block": "", "output": "", "parameters": 0}
        return pd.DataFrame([row])
    rows: list[dict[str, Any]] = []
    for name, module, output in trace(network, torch.zeros(1, 1, image_size, image_size)):
        count = sum(p.numel() for p in module.parameters())
        shape = " x ".join(str(size) for size in output.shape[1:]) or "1"
        rows.append({"layer": name, "block": type(module).__name__, "output": shape})
        rows[-1]["parameters"] = count
    return pd.DataFrame(rows)


@torch.no_grad()
def trace(network: nn.Module, images: torch.Tensor) -> list[tuple[str, nn.Module, torch.Tensor]]:
    """[(name, module, output)] of every block, in the order that images (N, 1, S, S) pass them.

    Blocks that give something else than one tensor are passed over.
    """
    kept: list[tuple[str, nn.Module, torch.Tensor]] = []
    hooks = []

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any, output: Any) -> None:
            if torch.is_tensor(output):
                kept.append((name, module, output.clone()))

        return hook

    for name, module in network.named_modules():
        if not list(module.children()):
            hooks.append(module.register_forward_hook(keep(name)))
    was_training, device = network.training, next(network.parameters()).device
    network.eval().predict_proba(images.to(device))  # type: ignore[operator]  # both have it
    network.train(was_training)
    for hook in hooks:
        hook.remove()
    return kept
