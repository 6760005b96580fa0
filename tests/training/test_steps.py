"""The small parts of a training: sizes of steps, number of epochs, what is varied."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from camreader.training.steps import (
    SHIFT,
    augment,
    batch_size,
    move_on,
    planned_epochs,
    progress,
    warm_cosine,
)


def varied(vertical=False, count=64, side=32):
    """Images that differ in every pixel, and what augmentation makes of them."""
    images = torch.arange(1.0, side * side + 1).reshape(1, 1, side, side).repeat(count, 1, 1, 1)
    return images, augment(images, np.random.default_rng(0), vertical)


def test_every_image_is_moved_and_mirrored_on_its_own():
    images, found = varied()
    assert found.shape == images.shape and len(torch.unique(found, dim=0)) > 30
    side, most = images.shape[-1], round(SHIFT * images.shape[-1])
    flips = set()
    for image in found[:, 0]:
        inner = image[most:-most, most:-most]
        across, down = (inner[0, 1] - inner[0, 0]).item(), (inner[1, 0] - inner[0, 0]).item()
        assert abs(across) == 1 and down == side  # whole pixels, and never upside down
        flips.add(across)
        top, left = divmod(int(inner.min()) - 1, side)
        assert abs(top - most) <= most and min(abs(left - most), abs(left - side + 1)) <= 2 * most
    assert flips == {1, -1}


def test_chests_are_turned_upside_down_only_when_asked():
    _images, found = varied(vertical=True)
    down = found[:, 0, 16, 16] - found[:, 0, 15, 16]
    assert set(down.tolist()) == {32.0, -32.0}


def test_the_same_seed_varies_alike():
    assert torch.equal(varied()[1], varied()[1])


@pytest.mark.parametrize(
    ("slices", "steps"), [(40, 16), (200, 16), (400, 20), (1364, 32), (100_000, 32)]
)
def test_a_step_takes_16_to_32_slices(slices, steps):
    assert batch_size(slices, 32) == steps


@pytest.mark.parametrize(
    ("slices", "epochs"),
    [(160, 100), (202, 84), (1364, 30), (742_000, 2)],  # 10, 12, 42 and 23,187 steps an epoch
)
def test_small_cohorts_are_passed_over_more_often_and_large_ones_less(slices, epochs):
    steps = slices // batch_size(slices, 32)
    assert planned_epochs(steps, 30, 1000, 30_000) == epochs


def test_the_rate_warms_up_and_ends_at_nothing():
    rates = [warm_cosine(progress) for progress in np.linspace(0, 1, 101)]
    assert rates[0] == 0 and rates[-1] == pytest.approx(0) and max(rates) > 0.97
    assert np.argmax(rates) <= 10


def test_the_bar_begins_anew_with_a_new_draw_and_grows_with_an_extension():
    fit = SimpleNamespace(steps=10, batch=16, epoch=3, cycle=[0, 5], rank=0)
    bar = progress(fit)
    assert (bar.n, bar.total) == (480, 800)
    fit.epoch, fit.cycle = 5, [5, 7]
    move_on(bar, fit)
    assert (bar.n, bar.total) == (800, 1120)
    fit.epoch, fit.cycle = 0, [0, 5]
    move_on(bar, fit)
    assert (bar.n, bar.total) == (0, 800)
    bar.close()
