"""A network of one's own: what fits answers, what does not is said in one sentence beforehand."""

import importlib.util
import pickle

import numpy as np
import pytest
import torch
from own_networks import TinyTransformer, write_code
from safetensors.torch import save_file
from torch import nn

from camreader.common.errors import DataError
from camreader.common.own_code import function_of
from camreader.training import own_networks, results
from camreader.training.description import Description
from camreader.training.own_networks import OwnNetwork, ready

SIZE = 32
needs_timm = pytest.mark.skipif(not importlib.util.find_spec("timm"), reason="timm is absent")


@pytest.fixture
def code(tmp_path):
    return write_code(tmp_path)


def evil(path):
    path.write_bytes(pickle.dumps(print))  # a function, which is no tensor
    return str(path)


def weights_of(code, tmp_path, change):
    state = dict(function_of(f"{code}:build")().state_dict())
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    return str(tmp_path / "w.safetensors")


WRONG = {
    "other number of channels": ({"network": "{code}:colour"}, "does not take images of shape"),
    "another output shape": ({"network": "{code}:a_map"}, r"not one answer each.*\(4, 8, 16, 16\)"),
    "missing weights": ({"weights": lambda s: s.pop("3.bias")}, r"1 missing \(3.bias\)"),
    "extra weights": ({"weights": lambda s: s.update(z=torch.ones(1))}, "does not have"),
    "pickle with code": ({"weights": evil}, "may run code"),
    "output of NaN": ({"network": "{code}:nan"}, "not finite"),
    "class that is none": ({"network": "{code}:three_classes", "class_": "3"}, "none of the"),
    "class not said": ({"network": "{code}:three_classes"}, "CLASS must say which output"),
    "names of other classes": ({"outputs": ("a", "b", "c")}, "OUTPUTS are not the network's"),
    "a tuple": ({"network": "{code}:a_tuple"}, "no tensor.*tuple of 2"),
    "probabilities": ({"network": "{code}:probabilities"}, "probabilities.*softmax"),
    "a sigmoid": ({"network": "{code}:sigmoid"}, "probabilities.*sigmoid"),
    "layer that is none": ({"layers": ("9.conv",)}, "LAYERS names a layer that the network does"),
    "layer without places": ({"layers": ("3",)}, "whose output has no places"),
    "import that fails": ({"network": "{broken}:build"}, "Importing it fails: ValueError"),
    "no network given": ({"network": "{code}:no_network"}, "gives no network"),
    "function that wants more": ({"network": "{code}:needs_argument"}, "fails: TypeError"),
    "stuck in training mode": ({"network": "{code}:stuck"}, "an image alone otherwise|one image"),
    "fails in training mode": (
        {"network": "{code}:wide", "train": "train"},
        "fails in training mode: ValueError: Expected more than 1 value",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_one_sentence_before_anything_runs(case, code, tmp_path):
    values, words = WRONG[case]
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('no licence')\n")
    said = {"network": f"{code}:build", "train": "use"} | values
    said["network"] = said["network"].format(code=code, broken=broken)
    if change := said.get("weights"):
        file = evil(tmp_path / "w.pt") if change is evil else weights_of(code, tmp_path, change)
        said["weights"] = file
    with pytest.raises(DataError, match=words) as error:
        own_networks.tried(Description(**said), SIZE)
    assert "\n" not in str(error.value) and str(tmp_path) not in str(error.value).split("(file")[0]


@pytest.mark.parametrize(
    ("maps", "words"),
    [
        (np.ones((2, 8, 8)), "names 3 images, but maps.npy holds another number"),
        (np.ones((3, 8)), "holds another number of maps"),
        (np.array([None] * 3), "Maps cannot be read: Array can't be memory-mapped"),
    ],
)
def test_results_with_the_wrong_maps_are_refused_beforehand(tmp_path, maps, words):
    rows = [f"own_{n:06d},0.5" for n in range(3)]
    (tmp_path / "predictions.csv").write_text("\n".join(["image,probability", *rows]))
    np.save(tmp_path / "maps.npy", maps, allow_pickle=True)
    with pytest.raises(DataError, match=words):
        own_networks.tried(Description(f"results:{tmp_path}"), SIZE)
    assert results.STACK == "maps.npy"


def answers_as(network, inner, images, place):
    """Its log-odds are the class's probability under the softmax of `inner`."""
    with torch.no_grad():
        expected = inner(images).softmax(1)[:, place]
        torch.testing.assert_close(network.predict_proba(images), expected)


@pytest.mark.parametrize(("function", "class_", "place"), [("build", "", 1), ("build", "0", 0)])
def test_two_logits_answer_with_their_softmax(code, function, class_, place):
    network = ready(Description(f"{code}:{function}", train="use", class_=class_), SIZE)
    images = torch.rand(5, 1, SIZE, SIZE)
    answers_as(network, network.network, images, place)
    assert network(images)[:, 1].equal(network.network(images)[:, place])
    assert network.layers == ["0"]  # the last with feature maps


def test_of_three_classes_one_is_held_against_the_rest(code):
    own = Description(f"{code}:three_classes", train="use", outputs=("a", "b", "c"), class_="c")
    network, images = ready(own, SIZE), torch.rand(5, 1, SIZE, SIZE)
    answers_as(network, network.network, images, 2)
    assert network.facts == {"outputs": 3, "answer": 2, "layers": ["0"]}


def test_one_logit_is_itself(code):
    network, images = ready(Description(f"{code}:one_logit"), SIZE), torch.rand(3, 1, SIZE, SIZE)
    assert network(images).equal(network.network(images)) and network(images).shape == (3,)


def test_size_channels_and_normalisation_are_the_networks(code):
    own = Description(f"{code}:colour", channels=3, input_size=16, mean=(0.1, 0.2, 0.3), std=(2,))
    network, image = ready(own, SIZE), torch.full((1, 1, SIZE, SIZE), 0.5)
    seen = network.prepared(image)
    assert seen.shape == (1, 3, 16, 16) and seen.is_contiguous()
    torch.testing.assert_close(seen[0, :, 3, 3], torch.tensor([0.2, 0.15, 0.1]))


def test_weights_and_a_finished_run_give_the_same_network_back(code, tmp_path):
    made = function_of(f"{code}:build")()
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    own = Description(f"{code}:build", str(tmp_path / "w.safetensors"), "use")
    network = ready(own, SIZE)
    assert all(v.equal(made.state_dict()[k]) for k, v in network.network.state_dict().items())
    again = own_networks.restored(own, network.facts)
    again.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, SIZE, SIZE)
    assert again.eval()(images).equal(network(images)) and again.target_layer is again.network[0]


def test_resnet18_of_torchvision_takes_its_weights_and_one_channel(tmp_path):
    from torchvision.models import resnet18

    torch.manual_seed(0)
    file, made = tmp_path / "r.pth", resnet18(num_classes=2).eval()
    torch.save(made.state_dict(), file)
    own = Description("torchvision:resnet18", str(file), "use", channels=3)
    network, images = ready(own, 64), torch.rand(2, 1, 64, 64)
    torch.testing.assert_close(network.raw(images), made(images.expand(-1, 3, -1, -1)))
    assert network.layers == ["layer4"]
    grey = ready(Description("torchvision:resnet18", str(file), "use"), 64)
    torch.testing.assert_close(grey.raw(images), network.raw(images), rtol=1e-4, atol=1e-4)
    fine = ready(Description("torchvision:resnet18", str(file), "fine-tune"), 64)
    assert fine.outputs == 1  # a new head, on the stored body
    assert fine.network.layer1[0].conv1.weight.equal(made.layer1[0].conv1.weight)
    with pytest.raises(DataError, match="torchvision has no such network"):
        ready(Description("torchvision:resnet19"), 64)


@needs_timm
def test_timm_adapts_the_stem_of_stored_weights(tmp_path):
    import timm

    made = timm.create_model("resnet10t", num_classes=2)
    save_file(made.state_dict(), tmp_path / "t.safetensors")
    own = Description("timm:resnet10t", str(tmp_path / "t.safetensors"), "use", channels=3)
    network, images = ready(own, 64), torch.rand(2, 1, 64, 64)
    made.eval()
    torch.testing.assert_close(network.raw(images), made(images.expand(-1, 3, -1, -1)))
    grey = ready(Description("timm:resnet10t", own.weights, "use"), 64)
    torch.testing.assert_close(grey.raw(images), network.raw(images), rtol=1e-3, atol=1e-3)


@needs_timm
def test_timms_transformers_are_explained_at_their_last_first_norm():
    own = Description("timm:vit_tiny_patch16_224", input_size=32, channels=3)
    assert ready(own, SIZE).layers == ["blocks.11.norm1"]


def test_without_timm_its_absence_is_said(monkeypatch):
    import builtins

    real = builtins.__import__
    monkeypatch.setattr(
        builtins, "__import__", lambda name, *rest: 1 / 0 if name == "timm" else real(name, *rest)
    )

    def refuse(name, *rest):
        if name.startswith("timm"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(DataError, match="needs the package timm"):
        ready(Description("timm:resnet10t"), SIZE)


@pytest.mark.parametrize(
    ("before", "layer"), [(1, "blocks.1.norm1"), (5, "blocks.1.norm1"), (0, "norm")]
)
def test_a_transformers_layer_is_the_last_whose_places_decide(before, layer):
    network = OwnNetwork(TinyTransformer(before=before), Description("x.py:f"))
    network.outputs, network.answer = 2, 1
    own_networks.choose_layers(network.eval(), torch.rand(2, 1, 16, 16))
    assert network.layers == [layer]


def test_torchvisions_transformer_has_a_layer_although_its_head_begins_at_zero():
    from torchvision.models import VisionTransformer

    inner = VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=2)
    network = OwnNetwork(inner, Description("x.py:f", channels=3))
    network.outputs, network.answer = 2, 1
    own_networks.choose_layers(network.eval(), torch.rand(2, 1, 32, 32))
    assert network.layers == ["encoder.layers.encoder_layer_1.ln_1"]


def test_a_network_without_places_cannot_be_explained(tmp_path):
    (tmp_path / "flat.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))\n"
    )
    with pytest.raises(DataError, match="no layer that still knows places"):
        ready(Description(f"{tmp_path}/flat.py:build"), SIZE)


def test_random_weights_are_new_ones_or_shuffled_ones(code, tmp_path):
    network = ready(Description(f"{code}:build", train="use"), SIZE)
    torch.manual_seed(1)
    fresh = own_networks.untrained(network)
    assert not fresh.network[3].weight.equal(network.network[3].weight)
    assert not fresh.network[3].weight.sort()[0].equal(network.network[3].weight.sort()[0])
    fixed = tmp_path / "fixed.py"  # loads its own weights: what it builds is never random
    fixed.write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n    torch.manual_seed(3)\n    return nn.Sequential(nn.Conv2d(1, 2, 3), "
        "nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(2, 2))\n"
    )
    network = ready(Description(f"{fixed}:build", train="use"), SIZE)
    fresh = own_networks.untrained(network)
    mine, theirs = (n.network[0].weight.flatten() for n in (network, fresh))
    assert not mine.equal(theirs) and mine.sort()[0].equal(theirs.sort()[0])


def test_an_exported_program_is_used_with_its_layers(tmp_path, code):
    made = function_of(f"{code}:build")().eval()
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(made, (torch.rand(2, 1, SIZE, SIZE),), dynamic_shapes=batch)
    torch.export.save(program, tmp_path / "net.pt2")
    network = ready(Description(f"exported:{tmp_path}/net.pt2", train="use"), SIZE)
    images = torch.rand(3, 1, SIZE, SIZE)
    torch.testing.assert_close(network.raw(images), made(images))
    assert network.layers == ["0"] and isinstance(network.target_layer, nn.Module)
    assert not own_networks.untrained(network)(images).equal(network(images))
