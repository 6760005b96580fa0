"""What the configuration says of a network: understood from anywhere, or refused in words."""

import os

import pytest
from own_networks import write_code

from camreader.common.errors import DataError
from camreader.training import description
from camreader.training.description import Description, described


def test_a_description_is_the_same_from_wherever_it_is_read(tmp_path, monkeypatch):
    write_code(tmp_path)
    (tmp_path / "w.safetensors").write_bytes(b"weights")
    base, found = tmp_path / "data" / "runs" / "x", []
    (tmp_path / "notebooks").mkdir()
    for folder, way in (("", ""), ("notebooks", "../")):
        monkeypatch.chdir(tmp_path / folder)
        own = Description(f"{way}my_net.py:build", f"{way}w.safetensors", "use")
        found.append(own.settled(os.path.relpath(base)))
    assert found[0] == found[1] and found[0].digest
    assert found[0].network == "../../../my_net.py:build"
    opened = found[0].opened(base)
    assert opened.files() and all(path.is_file() for path in opened.files())
    (tmp_path / "my_net.py").write_text("changed = 1")
    with pytest.raises(DataError, match="files changed since this run"):
        found[0].opened(base)


def test_names_of_folders_do_not_travel_on(tmp_path):
    assert Description("/home/meier/my_net.py:build").said == "my_net.py:build"
    assert Description("results:/home/meier/vendor").said == "results:vendor"
    assert Description("timm:vit_tiny_patch16_224").said == "timm:vit_tiny_patch16_224"


def test_parameters_and_options_give_the_same_description():
    import argparse

    values = {"NETWORK": "timm:resnet18", "OUTPUTS": ["a", "b"], "CLASS": "b", "MEAN": [0.5]}
    mine = description.from_parameters(values | {"EPOCHS": 3})
    parser = argparse.ArgumentParser()
    description.add_arguments(parser)
    words = ["--network", "timm:resnet18", "--outputs", '["a", "b"]', "--class", "b"]
    options = parser.parse_args([*words, "--mean", "[0.5]"])
    assert description.from_options(options) == mine and mine.class_ == "b"


def test_what_to_write_into_the_configuration_is_read_back(tmp_path, monkeypatch):
    import yaml

    monkeypatch.chdir(tmp_path)
    own = Description("my_net.py:build", outputs=("a", "b"), class_="b", std=(0.5,), input_size=64)
    said = yaml.safe_load(description.as_yaml(own, ".."))["parameters"]["02_train"]
    assert said.pop("NETWORK") == f"{tmp_path.name}/my_net.py:build"
    assert said == {"OUTPUTS": ["a", "b"], "CLASS": "b", "STD": [0.5], "INPUT_SIZE": 64}


def test_paths_move_and_names_do_not():
    values = {"NETWORK": "a/my_net.py:build", "WEIGHTS": "w.pt", "METHODS": "m.py:f, n.py:g"}
    moved = description.moved(values, lambda path: f"../{path}")
    assert moved["NETWORK"] == "../a/my_net.py:build" and moved["WEIGHTS"] == "../w.pt"
    assert moved["METHODS"] == "../m.py:f, ../n.py:g"
    assert description.moved({"NETWORK": "timm:vit"}, lambda p: f"../{p}")["NETWORK"] == "timm:vit"
    commas = description.moved({"NETWORK": "a, b/my_net.py:build"}, lambda path: f"../{path}")
    assert commas["NETWORK"] == "../a, b/my_net.py:build"
    for kind in ("exported:p.pt2", "results:folder"):
        assert "../" in description.moved({"NETWORK": kind}, lambda p: f"../{p}")["NETWORK"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"network": "resnet18"}, "NETWORK is not understood"),
        ({"network": "nowhere.py:build"}, "No such file"),
        ({"network": "results:nowhere"}, "No such folder of results"),
        ({"network": "exported:{code}", "train": "train"}, "cannot be trained here"),
        ({"train": "finetune"}, "TRAIN is not understood"),
        ({"weights": "w.pt"}, "WEIGHTS is given without a NETWORK"),
        ({"channels": 3}, "CHANNELS is given without a NETWORK"),
        ({"network": "{code}:build", "weights": "{code}"}, "begins with random ones"),
        ({"network": "torchvision:resnet18", "train": "use"}, "network of random weights"),
        ({"network": "{code}:build", "channels": 2}, "expected: 1 or 3"),
        ({"network": "{code}:build", "mean": [1, 2]}, "MEAN has another length"),
        ({"network": "{code}:build", "std": [0]}, "STD must be above 0"),
        ({"network": "{code}:build", "window": "narrow"}, "WINDOW is not understood"),
        ({"network": "{code}:build", "window": "50 0"}, "WINDOW is not understood"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(tmp_path, values, words):
    code = write_code(tmp_path)
    said = {k: v.format(code=code) if isinstance(v, str) else v for k, v in values.items()}
    with pytest.raises(DataError, match=words) as error:
        described(**said)
    assert "\n" not in str(error.value)
