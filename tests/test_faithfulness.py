"""Are maps faithful: the measures on networks whose reasons are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from camreader import faithfulness, rivals
from test_heatmaps import Small, images_of

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
        areas[name] = faithfulness.curve_table(share, gone, come, ["a", "a", "b"])
    right, wrong = areas["right"].mean(numeric_only=True), areas["wrong"].mean(numeric_only=True)
    assert right["deletion"] < wrong["deletion"] and right["insertion"] > wrong["insertion"]
    assert right["insertion_minus_deletion"] > 0.3 > 0 > wrong["insertion_minus_deletion"]
    assert areas["right"]["patient_id"].tolist() == ["a", "a", "b"]


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
    assert faithfulness.likeness(one, np.zeros_like(one)).tolist() == [0, 0, 0]


def test_overlap_of_the_hottest_tenth():
    one = np.zeros((1, 10, 10))
    one[0, 0] = np.arange(10, 0, -1)
    half = np.roll(one, 5, axis=2)
    assert faithfulness.hot_overlap(one, one)[0] == 1
    assert faithfulness.hot_overlap(one, np.roll(one, 5, axis=1))[0] == 0
    assert faithfulness.hot_overlap(one, half)[0] == 1  # the same ten pixels in another order


def test_randomised_weights_change_grad_cam_but_not_a_map_that_ignores_the_network():
    model, images = Small(2, channels=8).eval(), images_of(2, 6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    table = faithfulness.randomisation(model, images, 1, ("gradcam", "centre"), seed=1)
    steps = table.pivot(index="step", columns="method", values="likeness")
    np.testing.assert_allclose(steps.loc[0], 1)
    assert steps["gradcam"].iloc[-1] < 0.7
    np.testing.assert_allclose(steps["centre"], 1)
    layers = table.drop_duplicates("step")["layer"].tolist()
    assert layers == ["none", "head", "norm", "last", "first.0"]
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    again = faithfulness.randomisation(model, images, 1, ("gradcam", "centre"), seed=1)
    np.testing.assert_array_equal(again["likeness"], table["likeness"])


def test_no_images_no_rows():
    table = faithfulness.randomisation(Small(0), images_of(0)[:0], 1, rivals.METHODS)
    assert table.empty and list(table) == ["method", "step", "layer", "likeness", "n"]


@pytest.mark.parametrize("size", [16, 64])
def test_the_blur_keeps_the_mean_and_hides_a_small_lesion(size):
    images = torch.zeros(1, 1, size, size)
    images[..., size // 2, size // 2] = 1
    blurred = faithfulness.blur(images)
    assert blurred.max() < 0.15 and float(blurred.sum()) == pytest.approx(1, rel=0.05)
