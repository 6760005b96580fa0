"""Where lesions are, as a second target of the training on slices that have boxes.

One convolution of 1 x 1 beside the head says of each cell of the last feature map whether it lies
in a box. A label says that there is a tumor somewhere; on a few hundred patients that is little,
and a network finds what tells these patients apart before it finds tumors. The convolution is left
behind when the training ends: the network that is tested and explained is the same as without
boxes, and is given nothing but the image. The paper describes no such target.
"""

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from camreader.cohorts.masks import box_masks

RARE = -3.0  # the first answer for every cell, as a logit: about one in twenty lies in a box


class WithPlaces(nn.Module):
    """`network` with the convolution beside it; in training only.

    (N, 1, S, S) -> logits (N,) of the network, logits (N, 1, h, w) of the cells of its last map.
    """

    def __init__(self, network: nn.Module, images: torch.Tensor) -> None:
        super().__init__()
        self.network = network
        network.eval()  # a look at the map's channels, which changes nothing
        with torch.no_grad():
            maps = self._maps(images[:1])[1]
        self.cells = nn.Conv2d(maps.shape[1], 1, 1)
        nn.init.constant_(self.cells.bias, RARE)  # type: ignore[arg-type]  # it has one

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, maps = self._maps(images)
        return logits, self.cells(maps)

    def _maps(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits, and the feature map that Grad-CAM explains; no hook is left behind."""
        kept = []
        hook = self.network.target_layer.register_forward_hook(  # type: ignore[union-attr,operator]
            lambda _module, _inputs, output: kept.append(output)
        )
        try:
            return self.network(images), kept[0]
        finally:
            hook.remove()


def inside_boxes(frame: pd.DataFrame, size: int) -> torch.Tensor | None:
    """uint8 (n, 1, size, size): 1 in a box of a slice labelled tumor; None where there is no box.

    A slice labelled free has none, whatever is known of it: the label is what is learned.
    """
    if "boxes" not in frame or not _boxed(frame).any():
        return None
    masks = box_masks(frame, size) & (frame["label"] == 1).to_numpy()[:, None, None]
    return torch.from_numpy(masks[:, None].astype("uint8"))


def places_known(frame: pd.DataFrame) -> torch.Tensor:
    """bool (n,): slices labelled free, and tumor slices with a box."""
    return torch.from_numpy((_boxed(frame) | (frame["label"] == 0)).to_numpy(bool, copy=True))


def _boxed(frame: pd.DataFrame) -> pd.Series:
    return (frame["label"] == 1) & (frame["boxes"] != "[]")


def place_loss(cells: torch.Tensor, inside: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """How wrong the cells' logits (N, 1, h, w) are, per cell in a box; 0 where nothing is `known`.

    inside: (N, 1, S, S) of 0 and 1, of which each cell takes its share; known: bool (N,). Focal
    weights of exponent 2 (Lin et al. 2017, ICCV), because almost all cells lie in no box.
    """
    wanted = functional.adaptive_avg_pool2d(inside.float(), (cells.shape[-2], cells.shape[-1]))
    cells = cells.float()
    found = torch.sigmoid(cells)
    weight = (wanted * (1 - found) + (1 - wanted) * found) ** 2 * known[:, None, None, None]
    loss = functional.binary_cross_entropy_with_logits(cells, wanted, reduction="none")
    return (weight * loss).sum() / (wanted * known[:, None, None, None]).sum().clamp(min=1)
