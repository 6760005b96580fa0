"""The small parts of a training: how large a step, how fast, what is varied, how far it is."""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional
from tqdm import tqdm

if TYPE_CHECKING:
    from camreader.training.trainer import Fit

LEAST_BATCH = 16  # batch normalisation estimates its mean and variance from so many images
SHIFT = 0.06  # of the image's side: how far a training image is moved at most


def batch_size(slices: int, largest: int, world: int = 1) -> int:
    """Slices per optimisation step, 16 to `largest`: small cohorts take about 20 steps an epoch."""
    return max(world, min(largest, slices, max(LEAST_BATCH, slices // 20)))


def planned_epochs(steps: int, epochs: int, least_steps: int, most_steps: int) -> int:
    """Passes over the training slices, of `steps` optimisation steps each.

    `epochs`, but more where they are fewer than `least_steps` steps (a small cohort), and fewer
    where they are more than `most_steps` (a large one).
    """
    return max(math.ceil(least_steps / steps), min(epochs, math.ceil(most_steps / steps)))


def warm_cosine(progress: float) -> float:
    """Share of the peak rate: warmed up over a tenth of the way, then falling to 0; in 0..1.

    Cosine annealing (Loshchilov & Hutter 2017, ICLR).
    """
    return min(10 * progress, 0.5 + 0.5 * np.cos(np.pi * progress))


def augment(images: torch.Tensor, rng: np.random.Generator, vertical: bool = False) -> torch.Tensor:
    """Each image (n, 1, S, S) shifted by its own whole pixels and mirrored left to right or not.

    vertical: mirrored top to bottom too, which turns a chest upside down. What a shift uncovers is
    0, the window's black. Whole pixels only: turning or zooming would blur a rim of one pixel.
    """
    count, side = len(images), images.shape[-1]
    most = round(SHIFT * side)
    padded = functional.pad(images, (most, most, most, most))
    places = rng.integers(0, 2 * most + 1, (count, 2))
    mirrored = rng.random((count, 2)) < 0.5
    varied = torch.empty_like(images)
    for image, (top, left), (across, down) in zip(range(count), places, mirrored, strict=True):
        piece = padded[image, :, top : top + side, left : left + side]
        axes = [axis for axis, flip in ((-1, across), (-2, down and vertical)) if flip]
        varied[image] = piece.flip(axes) if axes else piece
    return varied


def progress(fit: "Fit") -> tqdm:
    """A bar over the epochs of the present draw's schedule, with the time left."""
    return tqdm(unit=" slices", mininterval=1, disable=fit.rank > 0, **_place(fit))


def move_on(bar: tqdm, fit: "Fit") -> None:
    """The same bar after an epoch: a new draw begins anew, a network that goes on has further."""
    place = _place(fit)
    bar.total, bar.n = place["total"], place["initial"]
    bar.refresh()


def _place(fit: "Fit") -> dict[str, int]:
    epoch = fit.steps * fit.batch
    return {"total": fit.cycle[1] * epoch, "initial": fit.epoch * epoch}
