"""The generic CNN: exactly the paper's blocks, one logit, a map fine enough for small lesions."""

import pytest
import torch
from torch import nn

from camreader.common.errors import DataError
from camreader.training import network_plots as draw
from camreader.training.networks import ARCHITECTURES, GenericCNN, ReLU, build, layers, trace

PAPER_BLOCKS = {
    nn.Conv2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.Flatten,
    nn.Dropout,
    nn.Linear,
    nn.Sigmoid,
}  # paper, section 2, list (1)-(7)


def test_generic_cnn_is_made_of_the_papers_blocks_relu_and_normalisation():
    leaves = [m for m in GenericCNN().modules() if not list(m.children())]
    assert {type(m) for m in leaves} == PAPER_BLOCKS | {ReLU, nn.BatchNorm2d}
    assert issubclass(ReLU, nn.ReLU)
    after = [type(m) for place in _convolutions(leaves) for m in leaves[place + 1 : place + 3]]
    assert after == [nn.BatchNorm2d, ReLU] * 4


def _convolutions(leaves):
    return [place for place, m in enumerate(leaves) if isinstance(m, nn.Conv2d)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("size", (64, 128))
def test_one_logit_per_image_whatever_the_batch(architecture, size):
    torch.manual_seed(0)
    network = build(architecture, size).eval()
    images = torch.rand(3, 1, size, size)
    with torch.no_grad():
        logits = network(images)
        alone = torch.cat([network(image[None]) for image in images])
        probabilities = network.predict_proba(images)
    assert logits.shape == (3,)
    torch.testing.assert_close(logits, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(probabilities, torch.sigmoid(logits))


def test_target_layer_is_the_relu_of_the_last_convolution_and_not_in_place():
    network = GenericCNN(image_size=128)
    maps = []
    network.target_layer.register_forward_hook(lambda module, inputs, output: maps.append(output))
    network(torch.rand(2, 1, 128, 128))
    leaves = [m for m in network.modules() if not list(m.children())]
    assert leaves[_convolutions(leaves)[-1] + 2] is network.target_layer
    assert isinstance(network.target_layer, nn.ReLU) and not network.target_layer.inplace
    assert maps[0].shape[2:] == (32, 32)
    assert maps[0].min() >= 0


def test_resnet_target_layer_keeps_its_output():
    network = build("resnet18", 64)
    kept = []
    network.target_layer.register_forward_hook(lambda module, inputs, output: kept.append(output))
    network(torch.rand(2, 1, 64, 64)).sum().backward()
    assert kept[0].min() >= 0 and kept[0].shape[1] == 512


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_trace_holds_every_block_in_order_and_leaves_the_network_as_it_was(architecture):
    torch.manual_seed(0)
    network, image = build(architecture, 64).train(), torch.rand(1, 1, 64, 64)
    kept = trace(network, image)
    assert network.training and not any(m._forward_hooks for m in network.modules())
    with torch.no_grad():
        torch.testing.assert_close(kept[-1][2], network.eval().predict_proba(image))
    first = kept[0][2]
    torch.testing.assert_close(first, kept[0][1](image))  # no later block wrote into it
    table = layers(network, 64)
    assert table["layer"].tolist() == [name for name, _module, _output in kept]
    assert table.drop_duplicates("layer")["parameters"].sum() == sum(
        p.numel() for p in network.parameters()
    )
    assert draw.components(network, image[0, 0].numpy()).axes[3].get_title().startswith("Last")


def test_what_does_not_fit_is_refused_in_words():
    with pytest.raises(DataError, match="multiple of 4"):
        GenericCNN(image_size=102)
    with pytest.raises(DataError, match="generic or resnet18"):
        build("vgg")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_parameter_receives_a_finite_gradient(architecture):
    torch.manual_seed(0)
    network = build(architecture, 64)
    network(torch.rand(8, 1, 64, 64)).square().mean().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name
