"""Every map is computed where its network is, and comes back to the processor.

PyTorch's device "meta" has shapes and no values: an operation that mixes a tensor moved there with
one forgotten on the processor fails as it does on a GPU. What is asked of its values is answered
by stand-ins. Where there is a GPU, the maps themselves are held against the processor's.
"""

import copy

import numpy as np
import pytest
import torch
from own_networks import TinyTransformer
from small_networks import Small, images_of
from torch import nn

from camreader.heatmaps import faithfulness, gradcam, methods
from camreader.training import compute
from camreader.training.networks import GenericCNN
from camreader.training.trainer import predict


class Pooled(nn.Module):
    """A network that CAM was made for."""

    def __init__(self):
        super().__init__()
        self.target_layer = nn.Conv2d(1, 5, 3, padding=1)
        self.head = nn.Linear(5, 1)

    def forward(self, images):
        return self.head(self.target_layer(images).relu().mean((2, 3)))


def network_for(name):
    """A network that the method `name` applies to."""
    torch.manual_seed(3)
    made = {"cam": Pooled, "attention_rollout": TinyTransformer}.get(name, lambda: GenericCNN(16))
    return made().eval()


@pytest.fixture()
def elsewhere(monkeypatch):
    """What is asked of the values of a tensor without any: ones, no, zero."""
    real = {name: getattr(torch.Tensor, name) for name in ("cpu", "__bool__", "item", "__int__")}

    def answer(name, instead):
        def method(tensor, *args, **named):
            if tensor.device.type == "meta":
                return instead(tensor)
            return real[name](tensor, *args, **named)

        monkeypatch.setattr(torch.Tensor, name, method)

    for name in ("allclose", "equal"):
        real[name] = getattr(torch, name)

        def alike(one, other, *rest, compare=real[name], **named):
            return one.is_meta or compare(one, other, *rest, **named)

        monkeypatch.setattr(torch, name, alike)
    answer("cpu", lambda tensor: torch.ones(tensor.shape, dtype=tensor.dtype))
    answer("__bool__", lambda tensor: False)
    answer("item", lambda tensor: 0)
    answer("__int__", lambda tensor: 0)


@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "given"])
def test_a_methods_tensors_are_all_where_the_network_is(name, elsewhere):
    model = network_for(name).to("meta")
    maps = methods.compute(name, model, images_of(0, 3), [1, 0, 1])
    assert maps.shape == (3, 16, 16) and maps.dtype == np.float32


def test_decisions_curves_and_predictions_are_too(elsewhere):
    model, images = GenericCNN(16).to("meta"), images_of(1, 3)
    assert gradcam.grad_cam(model, images).shape == (3, 16, 16)
    assert predict(model, images).device.type == "cpu"
    maps = np.ones((3, 16, 16), np.float32)
    share, gone, come = faithfulness.deletion_insertion(model, images, maps, [1, 0, 1], steps=2)
    assert gone.shape == come.shape == (3, len(share))


def test_a_tensor_forgotten_on_the_processor_fails_here(elsewhere):
    """What the tests above rest on."""
    with pytest.raises(RuntimeError, match="device"):
        GenericCNN(16).to("meta")(images_of(0))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("name", [name for name in methods.METHODS if name != "given"])
def test_a_gpus_maps_are_a_processors(name):
    model, images = network_for(name), images_of(2, 6)
    there = copy.deepcopy(model).to(compute.device())
    ours, theirs = (methods.compute(name, one, images, 1) for one in (model, there))
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_small_network_with_batch_normalisation_too(elsewhere):
    assert gradcam.grad_cam(Small().eval().to("meta"), images_of(0), 1).shape == (5, 16, 16)
