"""An example of a network and of a heat-map method of one's own, used by notebook 09.

`build` takes no arguments and gives a torch.nn.Module: images (N, 1, S, S) in 0..1 in, one logit
per image or one per class out. Copy this file, and write your own.
"""

import torch
from torch import nn

WIDTH, SIDE = 64, 8  # numbers per token; tokens along one side


class SmallTransformer(nn.Module):
    """A small vision transformer: a stem of convolutions, then two blocks of attention.

    Two logits: "no tumor" and "tumor". A class token in front gathers the answer. The stem has the
    names and shapes of the workbook's own convolutions, so that it can begin with their weights.
    """

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *convolution(1, 16),
            nn.AvgPool2d(2),
            *convolution(16, 32),
            nn.MaxPool2d(2),
            *convolution(32, 48),
            *convolution(48, WIDTH),
        )
        self.tokens = nn.AdaptiveMaxPool2d(SIDE)
        self.answer = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.place = nn.Parameter(0.02 * torch.randn(1, 1 + SIDE * SIDE, WIDTH))
        block = {"dim_feedforward": 2 * WIDTH, "dropout": 0.0, "batch_first": True}
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(WIDTH, 4, norm_first=True, **block) for _ in range(2)
        )
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        tokens = self.tokens(self.features(images)).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.answer.expand(len(images), -1, -1), tokens], 1) + self.place
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0])


def convolution(channels_in: int, channels_out: int) -> list[nn.Module]:
    """A 3 x 3 convolution, batch normalisation and ReLU."""
    kernel = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)
    return [kernel, nn.BatchNorm2d(channels_out), nn.ReLU()]


def build() -> nn.Module:
    """The network, with random weights."""
    return SmallTransformer()


def blurred_slope(model: nn.Module, images: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Blurred gradient.

    model gives one logit or two; images (N, 1, S, S); classes (N,) of 0 and 1. Returns (N, S, S).
    """
    images = images.clone().requires_grad_()
    logits = model(images)
    if logits.ndim == 1:
        score = torch.where(classes == 1, logits, -logits)
    else:
        score = logits.gather(1, classes[:, None])[:, 0]
    slope = torch.autograd.grad(score.sum(), images)[0].abs()
    return nn.functional.avg_pool2d(slope, 9, stride=1, padding=4)[:, 0]
