"""Small random networks and images, for tests of heat-maps."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Small(nn.Module):
    """A small random network; `outputs` logits, optionally an in-place ReLU after the target."""

    def __init__(self, seed=0, outputs=1, channels=6, inplace=False, frozen=False):
        super().__init__()
        torch.manual_seed(seed)
        self.first = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.last = nn.Conv2d(4, channels, 3, padding=1)
        self.after = nn.ReLU(inplace=inplace)
        self.drop = nn.Dropout(0.5)
        self.norm = nn.BatchNorm1d(channels)
        self.head = nn.Linear(channels, outputs)
        self.frozen = frozen
        self.target_layer = self.after

    def forward(self, x):
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            x = self.after(self.last(self.first(x)))
        pooled = x.mean((2, 3)) + x.amax((2, 3))
        logits = self.head(self.drop(self.norm(pooled)))
        return logits[:, 0] if logits.shape[1] == 1 else logits


def images_of(seed, count=5, size=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, size, size, generator=generator)


def rescaled(raw, size):
    """The textbook's ReLU, upsampling and division by the maximum, in numpy."""
    maps = F.interpolate(torch.as_tensor(raw).relu()[:, None], size, mode="bilinear")[:, 0].numpy()
    top = maps.max((1, 2), keepdims=True)
    return np.divide(maps, top, out=np.zeros_like(maps), where=top > 0)
