"""Folded networks answer as they did, whichever layer is explained, and are left as they were."""

import copy

import pytest
import torch
from small_networks import images_of
from torch import nn

from camreader.heatmaps import gradcam
from camreader.training.folding import folded
from camreader.training.networks import GenericCNN, GrayscaleResNet18


def lived_in(model):
    """Batch normalisation with statistics and weights that change something, as after training."""
    chance = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias.data):
                values.normal_(generator=chance)
            for values in (module.running_var, module.weight.data):
                values.uniform_(0.5, 2, generator=chance)
    return model.eval()


def networks():
    torch.manual_seed(0)
    stack = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 3))
    tail = [nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1)]
    return [GenericCNN(32), GrayscaleResNet18(), nn.Sequential(*stack, *tail)]


@pytest.mark.parametrize("model", map(lived_in, networks()), ids=["generic", "resnet", "stack"])
def test_a_folded_network_answers_as_it_did(model):
    images, overridden = torch.rand(5, 1, 32, 32), []
    with torch.no_grad():
        before = model(images)
        with folded(model, []):
            after = model(images)
            overridden = [m for m in model.modules() if "forward" in vars(m)]
    assert len(overridden) >= 4, "nothing was folded"
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4)
    assert not [m for m in model.modules() if "forward" in vars(m)]
    with torch.no_grad():
        assert model(images).equal(before)


@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_maps_of_every_layer_are_those_of_the_plain_network(place, kind):
    """By hand: eval mode, no folding, gradient of the logit in the layer's output."""
    model = lived_in(networks()[2]).to(kind)
    images = torch.rand(3, 1, 16, 16, dtype=kind)
    kept = []
    handle = model[place].register_forward_hook(lambda _m, _i, out: kept.append(out))
    logits = model(images)
    handle.remove()
    gradient = torch.autograd.grad(logits.sum(), kept[0])[0]
    by_hand = (gradient.mean((2, 3), keepdim=True) * kept[0]).sum(1)
    ours = gradcam.explain(model, images, 1, target_layer=model[place]).raw
    torch.testing.assert_close(
        torch.as_tensor(ours), by_hand.detach().float(), rtol=1e-4, atol=1e-5
    )


def test_what_has_a_hook_or_is_used_twice_stays():
    shared = nn.BatchNorm2d(4)
    twice = nn.Sequential(nn.Conv2d(4, 4, 1), shared, nn.Conv2d(4, 4, 1), shared)
    seen = []
    hooked = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    hooked[1].register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0]))
    values = torch.rand(2, 4, 5, 5)
    for model in (lived_in(twice), lived_in(hooked)):
        with torch.no_grad():
            plain = copy.deepcopy(model)(values)
            with folded(model, []):
                assert not [m for m in model.modules() if "forward" in vars(m)]
                assert model(values).equal(plain)
    assert seen[0].equal(hooked[0](values).detach())


def test_with_gradients_it_trains_as_ever():
    model = lived_in(GenericCNN(32))
    images = images_of(0)[:2, :, :16, :16].repeat(1, 1, 2, 2)
    plain = torch.autograd.grad(model(images).sum(), list(model.parameters()))
    with folded(model, []):
        inside = torch.autograd.grad(model(images).sum(), list(model.parameters()))
    assert all(one.equal(other) for one, other in zip(plain, inside, strict=True))


def test_an_error_inside_leaves_the_network_as_it_was():
    model = lived_in(GenericCNN(32))
    with pytest.raises(ZeroDivisionError), folded(model, []):
        raise ZeroDivisionError
    assert not [m for m in model.modules() if "forward" in vars(m)]
