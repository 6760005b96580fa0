"""The rival methods against independent implementations: torchcam, captum, and by hand."""

import functools
import subprocess
import sys
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from own_networks import TinyTransformer
from small_networks import Small, images_of, rescaled
from torch import nn

from camreader.common.errors import DataError, NotApplicable
from camreader.heatmaps import gradcam, methods
from camreader.training.networks import GenericCNN

torch.set_num_threads(1)
# apply to other networks than the generic one, or to results without a network
ELSEWHERE = ("cam", "attention_rollout", "given")


class Pooled(nn.Module):
    """A network CAM was made for: global average pooling, then one linear layer."""

    def __init__(self, outputs=1, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.body = nn.Sequential(nn.Conv2d(1, 5, 3, padding=1), nn.ReLU())
        self.head = nn.Linear(5, outputs)
        self.target_layer = self.body

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.fixture(scope="module")
def generic():
    torch.manual_seed(1)
    return GenericCNN(64).eval()


def torchcam_raw(kind, model, images, wanted):
    """torchcam 0.5's raw map (N, h, w) of class `wanted` of several logits."""
    with kind(model, target_layer=model.target_layer) as extractor:
        scores = model(images)
        return extractor(wanted, scores, normalized=False)[0].detach().numpy()


def test_cam_is_torchcams_and_of_one_logit_its_signed_weights():
    from torchcam.methods import CAM

    model, images = Pooled(2).eval(), images_of(0)
    with CAM(model, target_layer=model.body, fc_layer=model.head) as extractor:
        model(images)
        theirs = extractor(1, normalized=False)[0].detach().numpy()
    ours = methods.cam(model, images, torch.ones(5, dtype=torch.long))
    np.testing.assert_allclose(ours, rescaled(theirs, (16, 16)), atol=1e-5)
    one, maps = Pooled(1).eval(), None
    with torch.no_grad():
        maps = torch.einsum("nkhw,k->nhw", one.body(images), one.head.weight[0])
    for wanted, sign in ((1, 1), (0, -1)):
        found = methods.compute("cam", one, images, wanted)
        np.testing.assert_allclose(found, rescaled(sign * maps, (16, 16)), atol=1e-5)


def test_cam_is_grad_cam_where_it_applies():
    """Selvaraju et al. 2017, section 3.1: Grad-CAM generalises CAM."""
    model, images = Pooled(1, seed=3).eval(), images_of(3)
    grad = gradcam.grad_cam(model, images, 1)
    np.testing.assert_allclose(methods.compute("cam", model, images, 1), grad, atol=1e-5)


def test_cam_is_refused_where_it_does_not_apply(generic):
    with pytest.raises(NotApplicable, match="CAM does not apply"):
        methods.compute("cam", generic, images_of(0, 2, 64), 1)


def test_hirescam_is_gradient_times_activation_by_hand():
    model, images = Small(4).eval(), images_of(4)
    activations, logits = gradcam.activations_and_logits(model, model.after, images)
    gradient = torch.autograd.grad(logits.sum(), activations)[0]
    expected = rescaled((activations * gradient).sum(1).detach(), (16, 16))
    found = methods.compute("hirescam", model, images, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_grad_cam_pp_is_the_grad_cam_packages():
    from pytorch_grad_cam import GradCAMPlusPlus
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, images = Small(5, outputs=2).eval(), images_of(5)
    with torch.no_grad():
        model.head.weight.mul_(1000)  # the package adds 1e-6 below, which small slopes would feel
    with GradCAMPlusPlus(model, [model.after]) as package:
        package(images, targets=[ClassifierOutputTarget(1)] * len(images))
        kept = package.activations_and_grads
        activations, gradients = kept.activations[0].numpy(), kept.gradients[0].numpy()
        weights = package.get_cam_weights(images, model.after, None, activations, gradients)
    theirs = np.einsum("nk,nkhw->nhw", weights, activations)
    ours = methods.compute("gradcam_pp", model, images, 1)
    np.testing.assert_allclose(ours, rescaled(theirs, (16, 16)), atol=1e-4)


def of_package(kind, model, layer, images, wanted, reshape=None):
    """The grad-cam package's raw map (N, h, w) of class `wanted` of several logits."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = [ClassifierOutputTarget(wanted)] * len(images)
    with kind(model, [layer], reshape_transform=reshape) as package:
        package(images, targets=targets)
        kept = package.activations_and_grads
        gradients = kept.gradients[0].numpy() if kept.gradients else None
        arguments = (images, layer, targets, kept.activations[0].numpy(), gradients)
        return package.get_cam_image(*arguments, eigen_smooth=False)


def tokens_of(model):
    """The package's reshape of a TinyTransformer's tokens."""
    return lambda t: t[:, model.before :].reshape(len(t), 4, 4, -1).permute(0, 3, 1, 2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), transformer=st.booleans(), outputs=st.sampled_from([2, 3]))
def test_layercam_is_the_grad_cam_packages(seed, transformer, outputs):
    from pytorch_grad_cam import LayerCAM

    model = (TinyTransformer if transformer else Small)(seed, outputs).eval()
    model.target_layer = layer = model.blocks[1].norm1 if transformer else model.after
    images, reshape = images_of(seed), tokens_of(model) if transformer else None
    theirs = of_package(LayerCAM, model, layer, images, 1, reshape)
    ours = methods.compute("layercam", model, images, 1)
    np.testing.assert_allclose(ours, rescaled(theirs, (16, 16)), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), transformer=st.booleans(), outputs=st.sampled_from([2, 3]))
def test_score_cam_is_the_grad_cam_packages(seed, transformer, outputs):
    from pytorch_grad_cam import ScoreCAM

    model = (TinyTransformer if transformer else Small)(seed, outputs).eval().double()
    model.target_layer = layer = model.blocks[1].norm1 if transformer else model.after
    images, reshape = images_of(seed).double(), tokens_of(model) if transformer else None
    aligned = torch.nn.UpsamplingBilinear2d  # corners on corners; the paper's code has cells
    cells = functools.partial(torch.nn.Upsample, mode="bilinear")
    torch.set_default_dtype(torch.float64)  # the package collects its scores in the default
    try:
        with mock.patch("torch.nn.UpsamplingBilinear2d", cells), mock.patch("tqdm.tqdm", list):
            theirs = of_package(ScoreCAM, model, layer, images, 1, reshape)
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.nn.UpsamplingBilinear2d is aligned
    ours = methods.compute("scorecam", model, images, 1, batch_size=4)
    np.testing.assert_allclose(ours, rescaled(theirs, (16, 16)), atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), transformer=st.booleans(), wanted=st.sampled_from([0, 1]))
def test_gradient_times_input_is_its_name(seed, transformer, wanted):
    model = (TinyTransformer if transformer else Small)(seed, 2).eval()
    images = images_of(seed).requires_grad_()
    slope = torch.autograd.grad(model(images)[:, wanted].sum(), images)[0]
    expected = methods.unit((slope * images).detach()[:, 0].numpy())
    found = methods.compute("gradient_input", model, images.detach(), wanted)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_rollout_of_a_transformer_is_refused_for_a_convolutional_network(generic):
    with pytest.raises(NotApplicable, match="transformers"):
        methods.compute("attention_rollout", generic, images_of(0, 2, 64), 1)
    model = TinyTransformer(0).eval()
    model.target_layer = model.blocks[1].norm1
    applies = {k: m.applies(model, images_of(0)) for k, m in methods.METHODS.items()}
    refused = [name for name, reason in applies.items() if reason is not None]
    assert refused == ["cam", "guided_gradcam", "given"]
    maps = methods.compute("attention_rollout", model, images_of(0), [0, 1, 1, 0, 1])
    assert maps.shape == (5, 16, 16) and set(maps.max((1, 2)).round(5)) == {1}


@pytest.mark.parametrize("wanted", [0, 1])
def test_saliency_is_the_absolute_gradient(generic, wanted):
    images = images_of(6, 3, 64).requires_grad_()
    gradient = torch.autograd.grad(generic(images).sum(), images)[0].abs().amax(1)
    expected = methods.unit(gradient.numpy())
    found = methods.compute("saliency", generic, images.detach(), wanted)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_integrated_gradients_add_up_to_the_score(generic):
    """Completeness (Sundararajan et al. 2017, proposition 1), before the sign is cut off."""
    from captum.attr import IntegratedGradients

    images = images_of(7, 2, 64)
    method = IntegratedGradients(gradcam.class_score_module(generic))
    ones = torch.ones(2, dtype=torch.long)
    parts = method.attribute(images, additional_forward_args=ones, n_steps=200)
    with torch.no_grad():
        gain = generic(images) - generic(torch.zeros_like(images))
    np.testing.assert_allclose(parts.sum((1, 2, 3)).detach(), gain, atol=0.02)
    found = methods.compute("integrated_gradients", generic, images, 1, steps=200)
    np.testing.assert_allclose(found, methods.unit(parts.detach()[:, 0].numpy()), atol=0.02)


def test_occlusion_finds_the_only_place_the_score_depends_on():
    class Corner(nn.Module):
        def forward(self, x):
            return x[:, 0, 4:12, 4:12].mean((1, 2))

    images = torch.zeros(2, 1, 48, 48)
    images[:, :, 4:12, 4:12] = 1
    found = methods.compute("occlusion", Corner(), images, 1, window=8, stride=4)
    assert (found[:, 4:12, 4:12] > 0.5).all() and (found[:, 24:] == 0).all()


def test_guided_grad_cam_is_grad_cam_times_guided_backpropagation(generic):
    from captum.attr import GuidedBackprop

    images, ones = images_of(8, 3, 64), torch.ones(3, dtype=torch.long)
    guided = GuidedBackprop(gradcam.class_score_module(generic)).attribute(
        images.requires_grad_(), additional_forward_args=ones
    )
    coarse = gradcam.explain(generic, images.detach(), 1).raw
    large = nn.functional.interpolate(
        torch.tensor(coarse).relu()[:, None], (64, 64), mode="bilinear"
    )
    expected = methods.unit((large * guided).detach()[:, 0].numpy())
    found = methods.compute("guided_gradcam", generic, images.detach(), 1)
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_baselines_know_nothing_of_the_network(generic):
    images = images_of(9, 4, 64)
    for method in methods.baselines():
        ones = methods.compute(method, generic, images, 1)
        np.testing.assert_array_equal(ones, methods.compute(method, None, images, 0))
    centre = methods.compute("centre", None, images, 1)
    assert np.unravel_index(centre[0].argmax(), (64, 64)) == (31, 31)
    assert not np.allclose(*methods.compute("random", None, images, 1)[:2])


@pytest.mark.parametrize("method", [name for name in methods.METHODS if name not in ELSEWHERE])
def test_every_method_gives_maps_in_0_to_1_and_leaves_the_network_alone(generic, method):
    images = images_of(10, 3, 64)
    before = {name: value.clone() for name, value in generic.state_dict().items()}
    generic.train()
    with torch.no_grad():
        maps = methods.compute(method, generic, images, [0, 1, 1])
    assert maps.shape == (3, 64, 64) and maps.dtype == np.float32
    assert maps.min() >= 0 and set(maps.max((1, 2)).round(5)) <= {0, 1}
    assert generic.training and all(p.grad is None for p in generic.parameters())
    assert not any(m._forward_hooks or m._backward_hooks for m in generic.modules())
    assert all(value.equal(before[name]) for name, value in generic.state_dict().items())
    assert methods.compute(method, generic, images[:0], 1).shape == (0, 64, 64)
    generic.eval()


def test_an_unknown_method_is_named():
    with pytest.raises(DataError, match="Unknown heat-map method"):
        methods.compute("eigencam", None, images_of(0), 1)


def test_what_is_not_finite_becomes_blank():
    maps = methods.unit(np.array([[[np.nan, 1.0]], [[-1.0, 2.0]], [[-1.0, -2.0]]]))
    np.testing.assert_array_equal(maps, [[[0, 0]], [[0, 1]], [[0, 0]]])


def test_what_does_not_apply_says_so_by_its_type_and_what_it_needs(generic):
    images = images_of(0, 2, 64)
    applies = {name: method.applies(generic, images) for name, method in methods.METHODS.items()}
    assert [name for name, reason in applies.items() if reason is not None] == list(ELSEWHERE)
    assert isinstance(applies["cam"], NotApplicable) and methods.GLOBAL_POOLING in str(
        applies["cam"]
    )
    assert methods.METHODS["cam"].applies(Pooled().eval(), images) is None
    table = methods.overview(generic, images).set_index("method")
    assert table.loc["cam", "applies"] == f"no; only to {methods.GLOBAL_POOLING}"
    assert table["applies"].eq("yes").sum() == len(methods.METHODS) - len(ELSEWHERE)
    assert table.loc["given", "applies"] == f"no; only to {methods.RESULTS}"
    assert table.loc["hirescam", "what it is"].startswith("HiResCAM (Draelos & Carin 2020")


def test_of_results_without_a_network_only_their_maps_and_the_baselines_are_left():
    table = methods.overview(None, images_of(0)).set_index("method")["applies"]
    assert table.index[table == "yes"].tolist() == ["given", "random", "centre"]
    assert set(table[table != "yes"]) == {f"no; {methods.NO_NETWORK}"}
    with pytest.raises(NotApplicable, match="needs the network"):
        methods.compute("gradcam", None, images_of(0), 1)


def test_guided_grad_cam_is_refused_where_captum_sees_no_relu():
    class Functional(Pooled):
        def forward(self, x):
            return self.head(torch.relu(self.body[0](x)).mean((2, 3)))

    model = Functional().eval()
    model.body = model.target_layer = nn.Sequential(model.body[0])
    with pytest.raises(NotApplicable, match="ReLUs are modules"):
        methods.compute("guided_gradcam", model, images_of(0), 1)


def test_the_registry_tells_what_the_workflow_asks_and_loads_no_torch():
    assert methods.baselines() == ["random", "centre"]
    slow = {name for name, m in methods.METHODS.items() if m.slow}
    assert slow == {"integrated_gradients", "occlusion", "scorecam"}
    quick = {"saliency", "guided_gradcam", "gradient_input"}
    assert set(methods.own_jobs()) == quick | slow
    code = "from camreader.heatmaps import methods; methods.own_jobs(); import sys"
    code += "; assert 'torch.nn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
