"""Are maps faithful: the measures on networks whose reasons are known."""

from itertools import count

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from small_networks import Small, images_of
from torch import nn

from camreader.heatmaps import faithfulness
from camreader.heatmaps import methods as rivals

torch.set_num_threads(1)


class Patch(nn.Module):
    """A network that looks at one place only."""

    def forward(self, x):
        return 16 * x[:, 0, 12:16, 4:8].mean((1, 2)) - 8


def patch_images(count=3, size=32):
    images = 0.2 * torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(0))
    images[:, :, 12:16, 4:8] = 1
    return images


def patch_map(count=3, size=32):
    maps = np.zeros((count, size, size), np.float32)
    maps[:, 12:16, 4:8] = 1
    return maps


def test_the_right_map_falls_at_once_and_rises_at_once():
    images, right = patch_images(), patch_map()
    wrong = 1 - right
    areas = {}
    for name, maps in (("right", right), ("wrong", wrong)):
        share, gone, come = faithfulness.deletion_insertion(Patch(), images, maps, 1)
        areas[name] = faithfulness.curve_table(share, gone, come)
    right, wrong = areas["right"].mean(), areas["wrong"].mean()
    assert right["deletion"] < wrong["deletion"] and right["insertion"] > wrong["insertion"]
    assert right["insertion_minus_deletion"] > 0.3 > 0 > wrong["insertion_minus_deletion"]


def test_curves_start_and_end_at_the_slice_and_its_blur():
    model, images = Small(0).eval(), images_of(0, 4)
    maps = np.random.default_rng(0).random((4, 16, 16))
    share, gone, come = faithfulness.deletion_insertion(model, images, maps, 1, steps=4)
    whole = faithfulness.probability(model, images, 1)
    blurred = faithfulness.probability(model, faithfulness.blur(images), 1)
    assert share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    np.testing.assert_allclose(gone[:, [0, -1]], np.stack([whole, blurred], 1), atol=1e-6)
    np.testing.assert_allclose(come[:, [0, -1]], np.stack([blurred, whole], 1), atol=1e-6)


def test_probability_of_one_logit_and_of_several():
    model, images = Small(1).eval(), images_of(1, 5)
    with torch.no_grad():
        expected = model(images).sigmoid().numpy()
        two = Small(1, outputs=3).eval()
        softmax = two(images).softmax(1).numpy()
    np.testing.assert_allclose(faithfulness.probability(model, images, 1), expected, atol=1e-6)
    np.testing.assert_allclose(faithfulness.probability(model, images, 0), 1 - expected, atol=1e-6)
    found = faithfulness.probability(two, images, [2, 0, 1, 1, 0], batch_size=2)
    np.testing.assert_allclose(found, softmax[np.arange(5), [2, 0, 1, 1, 0]], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_every_pixel_goes_once_and_hot_ones_first(seed):
    maps = np.random.default_rng(seed).integers(0, 4, (2, 7, 7))  # many ties
    ranks = faithfulness.hottest_first(maps, seed)
    for heat, rank in zip(maps, ranks, strict=True):
        assert sorted((rank * 49).round().astype(int).ravel()) == list(range(49))
        ordered = heat.ravel()[np.argsort(rank.ravel())]
        assert (np.diff(ordered) <= 0).all()


def test_ties_are_broken_without_favour():
    """A blank map must be a random one: not the first rows of the picture."""
    rank = faithfulness.hottest_first(np.zeros((1, 64, 64)))[0]
    assert abs(rank[:32].mean() - 0.5) < 0.02 and abs(rank[:, :32].mean() - 0.5) < 0.02


def test_likeness_is_scipys_rank_correlation():
    one, two = np.random.default_rng(3).random((2, 3, 32, 32))
    expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(one, two, strict=True)]
    np.testing.assert_allclose(faithfulness.likeness(one, two), expected, atol=1e-9)
    np.testing.assert_allclose(faithfulness.likeness(one, one), 1)
    assert np.isnan(faithfulness.likeness(one, np.zeros_like(one))).all()


def randomised(untrained, methods=("gradcam", "centre"), draws=3):
    model = Small(2, channels=8).eval()
    return faithfulness.randomisation(model, untrained, images_of(2, 6), 1, methods, draws)


def untrained(seeds):
    """A function that gives networks of other seeds, one after the other."""
    return lambda: Small(next(seeds), channels=8)


def test_randomised_weights_change_grad_cam_but_not_a_map_that_ignores_the_network():
    table = randomised(untrained(count(5)))
    steps = table.pivot(index="step", columns="method", values="likeness")
    np.testing.assert_allclose(steps.loc[0], 1)
    assert steps["gradcam"].iloc[-1] < 0.7
    np.testing.assert_allclose(steps["centre"], 1)
    layers = table.drop_duplicates("step")["layer"].tolist()
    assert layers == ["none", "head", "norm", "last", "first.0"]
    last = table.query("method == 'gradcam'").iloc[-1]
    assert last["maps"] == 18 and last["lowest"] < last["likeness"] < last["highest"]
    again = randomised(untrained(count(5)))
    np.testing.assert_array_equal(again["likeness"], table["likeness"])


def test_the_last_step_is_the_untrained_network_itself():
    model, images, other = Small(2, channels=8).eval(), images_of(2, 6), Small(5, channels=8)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    table = faithfulness.randomisation(model, lambda: other, images, 1, ("gradcam",), draws=1)
    maps = (rivals.compute("gradcam", m, images, 1) for m in (model, other))
    assert table["likeness"].iloc[-1] == np.nanmean(faithfulness.likeness(*maps))
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_blank_maps_are_counted_and_no_sign_of_a_good_method():
    def dead():
        network = Small(5, channels=8)
        torch.nn.init.constant_(network.head.weight, -1)  # no place speaks for the class
        return network

    last = randomised(dead, ("gradcam",)).iloc[-1]
    assert last["blank"] == last["maps"] == 18 and np.isnan(last["likeness"])


def test_no_images_no_rows():
    table = faithfulness.randomisation(Small(0), Small, images_of(0)[:0], 1, rivals.METHODS)
    columns = ["method", "step", "layer", "likeness", "lowest", "highest", "maps", "blank"]
    assert table.empty and list(table) == columns


@pytest.mark.parametrize("size", [16, 64])
def test_the_blur_keeps_the_mean_and_hides_a_small_lesion(size):
    images = torch.zeros(1, 1, size, size)
    images[..., size // 2, size // 2] = 1
    blurred = faithfulness.blur(images)
    assert blurred.max() < 0.15 and float(blurred.sum()) == pytest.approx(1, rel=0.05)
