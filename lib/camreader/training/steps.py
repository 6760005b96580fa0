"""The small parts of a training: how large a step, how fast, what is varied, how far it is."""

import numpy as np
from tqdm import tqdm


def batch_size(slices, largest, world=1):
    """Slices a step: small cohorts take small steps, so that an epoch has about 20 of them."""
    return max(world, min(largest, slices, max(4, slices // 20)))


def warm_cosine(progress):
    """Share of the peak rate: warmed up over a tenth of the way, then falling to 0; in 0..1."""
    return min(10 * progress, 0.5 + 0.5 * np.cos(np.pi * progress))


def augmentation():
    """Light and cheap: one random flip and shift for all slices of a step.

    Whole pixels only: turning or zooming would blur a rim that is one pixel wide.
    """
    from torchvision.transforms import v2  # slow to import, so only where it is used

    return v2.Compose(
        [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            v2.RandomAffine(degrees=0, translate=(0.06, 0.06)),
        ]
    )


def progress(fit):
    """A bar over all planned epochs of the present draw, close-ups included, with the time left."""
    epoch = (len(fit.rows) // fit.batch) * fit.batch
    close = fit.settings.closeups * fit.closeups.slices
    done = close - fit.to_close_up * fit.closeups.slices + fit.epoch * epoch
    total = close + fit.settings.epochs * epoch
    return tqdm(total=total, initial=done, unit=" slices", mininterval=1, disable=fit.rank > 0)
