"""Grad-CAM against captum, grad-cam and the textbook; and the ways peers go wrong."""

import numpy as np
import pytest
import torch
from captum.attr import LayerActivation, LayerGradCam, LayerGradientXActivation
from hypothesis import given, settings
from hypothesis import strategies as st
from own_networks import TinyTransformer
from small_networks import Small, images_of, rescaled
from torch import nn

from camreader.common.errors import DataError
from camreader.heatmaps import faithfulness, gradcam, methods
from camreader.training.description import Description
from camreader.training.networks import GenericCNN
from camreader.training.own_networks import OwnNetwork

torch.set_num_threads(1)


def captum_raw(model, layer, images, classes):
    """captum's Grad-CAM (N, h, w) of the class score, negated for class 0 of one logit."""
    sign = torch.as_tensor(classes) * 2.0 - 1

    def score(x):
        logits = model(x)
        return logits * sign if logits.ndim == 1 else logits.gather(1, classes[:, None])[:, 0]

    return LayerGradCam(score, layer).attribute(images)[:, 0].detach()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    outputs=st.sampled_from([1, 2, 3]),
    wanted=st.sampled_from([0, 1]),
    batch=st.integers(1, 7),
)
def test_agrees_with_captum(seed, outputs, wanted, batch):
    # in double precision: a map divided by a small maximum shows rounding
    model, images = Small(seed, outputs).eval().double(), images_of(seed).double()
    classes = torch.full((len(images),), wanted)
    ours = gradcam.explain(model, images, classes, batch_size=batch)
    theirs = captum_raw(model, model.after, images, classes)
    np.testing.assert_allclose(ours.raw, theirs, atol=1e-5)
    np.testing.assert_allclose(ours.maps, rescaled(theirs, (16, 16)), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), wanted=st.sampled_from([0, 1]))
def test_agrees_with_grad_cam_package(seed, wanted):
    """grad-cam 1.5.7 also subtracts each map's minimum; given that, the maps are the same."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import RawScoresOutputTarget

    model, images = Small(seed).eval(), images_of(seed)
    sign = 1 if wanted else -1

    class Signed(RawScoresOutputTarget):
        def __call__(self, output):
            return sign * output

    with GradCAM(model, [model.after]) as package:
        package(images, targets=[Signed()] * len(images))
        weights = package.get_cam_weights(
            images,
            model.after,
            None,
            package.activations_and_grads.activations[0].numpy(),
            package.activations_and_grads.gradients[0].numpy(),
        )
        activations = package.activations_and_grads.activations[0].numpy()
    theirs = np.einsum("nk,nkhw->nhw", weights, activations)
    ours = gradcam.explain(model, images, wanted)
    np.testing.assert_allclose(ours.raw, theirs, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    outputs=st.sampled_from([1, 2, 3]),
    before=st.sampled_from([0, 1, 5]),
    block=st.sampled_from([0, 1]),
)
def test_a_transformers_maps_are_captums_with_tokens_put_back(seed, outputs, before, block):
    """captum's layer gradients and the grad-cam package's reshape of tokens, by their formulas."""
    model = TinyTransformer(seed, outputs, before=before).eval()
    layer, images = model.blocks[block].norm1, images_of(seed)
    wanted = torch.full((len(images),), seed % max(2, outputs))
    score = gradcam.class_score_module(model)
    sizes = LayerActivation(score, layer), LayerGradientXActivation(score, layer)
    activations, product = (m.attribute(images, additional_forward_args=wanted) for m in sizes)
    kept = [v[:, before:].transpose(1, 2).unflatten(2, (4, 4)) for v in (activations, product)]
    slope = torch.where(kept[0] != 0, kept[1] / kept[0], 0.0)
    theirs = (slope.mean((2, 3), keepdim=True) * kept[0]).sum(1).detach()
    ours = gradcam.explain(model, images, wanted, target_layer=layer)
    assert ours.raw.shape == (5, 4, 4)
    np.testing.assert_allclose(ours.raw, theirs, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), before=st.sampled_from([0, 1]))
def test_a_transformers_maps_are_the_grad_cam_packages(seed, before):
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = TinyTransformer(seed, before=before).eval(), images_of(seed)

    def reshape(tokens):
        return tokens[:, before:].reshape(len(tokens), 4, 4, -1).permute(0, 3, 1, 2)

    layer = model.blocks[1].norm1
    with GradCAM(model, [layer], reshape_transform=reshape) as package:
        package(images, targets=[ClassifierOutputTarget(1)] * len(images))
        kept = package.activations_and_grads
        activations, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
        weights = package.get_cam_weights(images, layer, None, activations, gradients)
    theirs = np.einsum("nk,nkhw->nhw", weights, activations)
    ours = gradcam.explain(model, images, 1, target_layer=layer)
    np.testing.assert_allclose(ours.raw, theirs, atol=1e-5)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), place=st.sampled_from([0, 1, 2]))
def test_a_network_of_ones_own_is_explained_for_its_own_class(seed, place):
    """The map of "the finding" is captum's of that output, whichever it is."""
    inner, images = Small(seed, 3).eval(), images_of(seed)
    own = OwnNetwork(inner, Description("x.py:f", layers=("after",)))
    own.outputs, own.answer = 3, place
    theirs = captum_raw(inner, inner.after, images, torch.full((5,), place))
    np.testing.assert_allclose(gradcam.explain(own.eval(), images, 1).raw, theirs, atol=1e-5)


def test_maps_of_several_layers_are_averaged_each_over_its_maximum():
    model, images = Small(3).eval(), images_of(3)
    layers = [model.first, model.after]
    both = gradcam.explain(model, images, 1, target_layer=layers)
    alone = [gradcam.explain(model, images, 1, target_layer=layer) for layer in layers]
    mean = np.mean([part.maps for part in alone], 0)
    top = mean.max((1, 2), keepdims=True)
    np.testing.assert_allclose(both.maps, mean / np.where(top > 0, top, 1), atol=1e-6)
    assert both.layer == "first, after"
    own = OwnNetwork(model, Description("x.py:f", layers=("first", "after"))).eval()
    np.testing.assert_allclose(gradcam.grad_cam(own, images, 1), both.maps, atol=1e-6)
    hires = methods.compute("hirescam", own, images, 1)
    assert hires.shape == (5, 16, 16) and set(hires.max((1, 2)).round(5)) <= {0, 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda out: (out, out), "no tensor"),
        (lambda out: out.sigmoid(), "probabilities"),
        (lambda out: out[:, None, None, None].expand(-1, 1, 8, 8), "not one answer each"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(change, words):
    class Changed(Small):
        def forward(self, x):
            return change(super().forward(x))

    with pytest.raises(DataError, match=words):
        gradcam.grad_cam(Changed(0).eval(), images_of(0), 1)
    if words != "probabilities":  # without gradients a sigmoid is not seen
        with pytest.raises(DataError, match=words):
            faithfulness.probability(Changed(0).eval(), images_of(0), 1)


@pytest.mark.parametrize("wanted", [0, 1])
def test_generic_network_at_full_size_agrees_with_captum(wanted):
    torch.manual_seed(3)  # in double precision: a map divided by a small maximum shows rounding
    model, images = GenericCNN(128).eval().double(), images_of(3, 4, 128).double()
    theirs = captum_raw(model, model.target_layer, images, torch.full((4,), wanted))
    ours = gradcam.grad_cam(model, images, classes=[wanted] * 4, batch_size=3)
    np.testing.assert_allclose(ours, rescaled(theirs, (128, 128)), atol=1e-5)
    assert ours.dtype == np.float32 and ours.shape == (4, 128, 128)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), outputs=st.sampled_from([1, 2]), bias=st.floats(-3, 3))
def test_no_blank_map_for_a_predicted_negative_with_a_gradient(seed, outputs, bias):
    model, images = Small(seed, outputs, channels=2).eval(), images_of(seed)
    with torch.no_grad():
        model.head.bias[0] += bias
    result = gradcam.explain(model, images)
    activations, logits = gradcam.activations_and_logits(model, model.after, images)
    scores = gradcam.class_scores(logits, torch.zeros(len(images), dtype=torch.long))
    gradient = torch.autograd.grad(scores.sum(), activations)[0]
    moved = (gradient != 0).flatten(1).any(1).numpy()
    negative = result.explained_class == 0
    assert (result.maps.max((1, 2))[negative & moved] == 1).all()
    assert not (result.blank & negative & moved).any()


def test_a_map_the_relu_would_erase_is_relative_and_flagged():
    raw = torch.tensor([[[-3.0, -1.0], [-2.0, -2.0]]])
    maps, blank, relative = gradcam.scale(raw, (2, 2), torch.tensor([True]))
    np.testing.assert_allclose(maps[0], [[0, 1], [0.5, 0.5]])
    assert relative.tolist() == [True] and blank.tolist() == [False]
    maps, blank, relative = gradcam.scale(raw, (2, 2), torch.tensor([False]))
    assert maps.max() == 0 and blank.tolist() == [True] and relative.tolist() == [False]


def test_negative_is_explained_by_the_negated_logit():
    model, images = Small(1).eval(), images_of(1)
    for wanted, sign in ((0, -1), (1, 1)):
        result = gradcam.explain(model, images, wanted)
        np.testing.assert_allclose(result.score, sign * model(images).detach(), atol=1e-6)
    own = gradcam.explain(model, images)
    np.testing.assert_array_equal(own.explained_class, (model(images) > 0).int())
    assert (own.score >= 0).all()


def test_each_map_is_scaled_to_its_own_maximum_and_batches_do_not_matter():
    model, images = Small(2, 2).eval(), images_of(2, 9)
    one = gradcam.grad_cam(model, images, 1, batch_size=1)
    many = gradcam.grad_cam(model, images, 1, batch_size=64)
    np.testing.assert_allclose(one, many, atol=1e-6)
    assert set(one.max((1, 2)).round(6)) <= {0.0, 1.0} and one.min() >= 0


def test_in_place_relu_after_the_target_changes_nothing():
    raws = [
        gradcam.explain(Small(4, inplace=inplace).eval(), images_of(4), 1, target_layer="last").raw
        for inplace in (False, True)
    ]
    assert raws[0].any()
    np.testing.assert_allclose(raws[0], raws[1], atol=1e-7)


def test_the_model_is_left_as_it_was_found():
    model, images = Small(5).train(), images_of(5)
    model.norm.eval()
    model.head.weight.grad = torch.ones_like(model.head.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    gradcam.grad_cam(model, images)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())
    assert (model.head.weight.grad == 1).all() and model.last.weight.grad is None
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters()) and torch.is_grad_enabled()


def test_a_failing_model_leaves_no_hook_and_its_mode():
    model = Small(6).train()
    with pytest.raises(RuntimeError):
        gradcam.grad_cam(model, torch.rand(2, 3, 16, 16))
    assert model.training and not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()


def test_nan_and_zero_images_are_blank_and_spoil_no_neighbour():
    model, images = Small(7).eval(), images_of(7)
    clean = gradcam.grad_cam(model, images, 1)
    images[2] = float("nan")
    result = gradcam.explain(model, images, 1)
    assert result.blank[2] and (result.maps[2] == 0).all() and np.isfinite(result.maps).all()
    keep = [0, 1, 3, 4]
    np.testing.assert_allclose(result.maps[keep], clean[keep], atol=1e-6)
    assert not gradcam.explain(model, images).relative[2]
    with torch.no_grad():
        model.last.weight.zero_(), model.last.bias.fill_(-1)
    dead = gradcam.explain(model, images_of(7), 1)
    assert dead.blank.all() and (dead.maps == 0).all()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_works_where_gradients_are_off(context):
    model, images = Small(8).eval(), images_of(8)
    plain = gradcam.grad_cam(model, images)
    with context():
        np.testing.assert_allclose(gradcam.grad_cam(model, images_of(8)), plain, atol=1e-7)
    frozen = Small(8, frozen=True).eval()
    np.testing.assert_allclose(gradcam.grad_cam(frozen, images), plain, atol=1e-7)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    np.testing.assert_allclose(gradcam.grad_cam(model, images), plain, atol=1e-7)


def test_other_networks_dtypes_and_inputs():
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(num_classes=2).train()
    images = torch.rand(3, 3, 64, 64)
    result = gradcam.explain(model, images, target_layer=model.layer4)
    assert result.maps.shape == (3, 64, 64) and result.layer == "layer4" and model.training
    double = Small(9).double()
    assert gradcam.grad_cam(double, images_of(9).numpy()).dtype == np.float32
    empty = gradcam.explain(Small(9), images_of(9)[:0])
    assert empty.maps.shape == (0, 16, 16) and empty.blank.shape == (0,)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"images": torch.rand(3, 16, 16)}, "Images must be"),
        ({"classes": [0, 1]}, "One class"),
        ({"classes": 2}, "Class outside"),
        ({"classes": [-1] * 5}, "One class"),
        ({"target_layer": "nowhere"}, "the last convolution is"),
        ({"target_layer": "head"}, "must be one"),
        ({"target_layer": "unused"}, "took no part"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_unfit_requests_are_refused_in_words(change, words):
    model = Small(0)
    model.unused = nn.Conv2d(1, 1, 1)
    with pytest.raises(DataError, match=words):
        gradcam.grad_cam(**{"model": model, "images": images_of(0)} | change)
