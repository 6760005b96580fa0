"""Each adapter gives logits as the network had them before its last step."""

from collections import namedtuple

import pytest
import torch
from torch import nn

from camreader.common.errors import DataError
from camreader.heatmaps import gradcam
from camreader.training.adapters import Adapted

Out = namedtuple("Out", "hidden logits")


class Net(nn.Module):
    """One convolution and a head of `outputs`; `end` makes of the logits what a user's does."""

    def __init__(self, outputs=1, end=None):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU())
        self.head, self.end, self.target_layer = nn.Linear(4, outputs), end, self.body

    def forward(self, x):
        hidden = self.body(x)
        logits = self.head(hidden.mean((2, 3)))
        return self.end(hidden, logits) if self.end else logits


IMAGES = torch.rand(3, 1, 16, 16)
WAYS = {
    "part:logits of a dict": ("part:logits", lambda h, y: {"logits": y, "h": h}, 2),
    "part:logits of a named output": ("part:logits", lambda h, y: Out(h, y), 1),
    "part:1 of a tuple": ("part:1", lambda h, y: (h, y), 1),
    "part:0 of a list": ("part:0", lambda h, y: [y], 2),
    "log_odds of a sigmoid": ("log_odds", lambda h, y: y.sigmoid(), 1),
    "log_odds of a softmax": ("log_odds", lambda h, y: y.softmax(1), 3),
}


@pytest.mark.parametrize("way", WAYS)
def test_maps_are_those_of_the_network_without_its_end(way):
    take, end, outputs = WAYS[way]
    with pytest.raises(DataError, match=r"Adapted\(network, "):
        gradcam.explain(Net(outputs, end), IMAGES)
    # of a softmax only the log-probabilities are left, logits up to what all classes share
    same = (lambda h, y: y.log_softmax(1)) if outputs == 3 else None
    plain = gradcam.explain(Net(outputs, same), IMAGES, 0)
    found = gradcam.explain(Adapted(Net(outputs, end), take), IMAGES, 0)
    assert abs(found.maps - plain.maps).max() < 1e-3
    assert (gradcam.explain(Adapted(Net(outputs, end), take), IMAGES).explained_class).tolist() == (
        gradcam.explain(Net(outputs), IMAGES).explained_class
    ).tolist()


def test_a_map_is_read_by_its_mean_or_its_largest_value():
    head = nn.Conv2d(4, 2, 1)
    network = Net(end=lambda h, y: head(h))
    with pytest.raises(DataError, match=r"one answer each.*Adapted\(network, 'mean'\)"):
        gradcam.explain(network, IMAGES)
    whole = head(network.body(IMAGES))
    assert torch.allclose(Adapted(network, "mean")(IMAGES), whole.mean((2, 3)), atol=1e-6)
    assert torch.equal(Adapted(network, "largest")(IMAGES), whole.amax((2, 3)))
    assert gradcam.explain(Adapted(network, "mean"), IMAGES, 1).maps.shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("take", "end", "words"),
    [
        ("sum", None, "Unknown adapter.*log_odds"),
        ("part:2", lambda h, y: (h, y), "no such part.*0, 1"),
        ("part:scores", lambda h, y: Out(h, y), "no such part.*hidden, logits"),
        ("log_odds", lambda h, y: y + 5, "probabilities.*0 to 1"),
        ("mean", None, "takes a map"),
        ("mean", lambda h, y: (h, y), "takes a tensor.*part"),
    ],
)
def test_what_an_adapter_cannot_take_is_said(take, end, words):
    with pytest.raises(DataError, match=words):
        Adapted(Net(1, end), take)(IMAGES)
