"""Weights and programs: read, or refused, and nothing in them runs."""

import json
import os
import pickle
import zipfile

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from camreader.common.errors import DataError
from camreader.training import network_files


def small():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()


class Evil:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def test_weights_are_read_from_each_form(tmp_path):
    network, other = small(), small()
    state = network.state_dict()
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state, tmp_path / "w.pt")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pt", "w.pth"):
        nn.init.zeros_(other[3].weight)
        network_files.put_weights(other, network_files.read_weights(tmp_path / name), name)
        assert all(v.equal(state[k]) for k, v in other.state_dict().items())


@pytest.mark.parametrize("how", ["torch", "pickle", "inside"])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path, how):
    path, left = tmp_path / "w.pt", tmp_path / "ran"
    if how == "pickle":
        path.write_bytes(pickle.dumps(Evil(left)))
    else:
        torch.save(Evil(left) if how == "torch" else {"a": torch.ones(1), "b": Evil(left)}, path)
    with pytest.raises(DataError, match="pickle with more than tensors, which may run code"):
        network_files.read_weights(path)
    assert not left.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("3.weight"), r"1 missing \(3.weight\)"),
        (lambda s: s.update(extra=torch.ones(1)), r"1 that it does not have \(extra\)"),
        (lambda s: s.update({"3.weight": torch.ones(3, 4)}), r"3.weight has another shape"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, words):
    state = dict(small().state_dict())
    change(state)
    with pytest.raises(DataError, match=words):
        network_files.put_weights(small(), state, "w.pt")


def test_what_fits_is_taken_and_the_rest_stays_random():
    state = {k: v + 1 for k, v in small().state_dict().items() if k != "3.weight"}
    state |= {"3.bias": torch.ones(5), "extra": torch.ones(1)}
    network, before = small(), small().state_dict()
    network_files.put_fitting(network, state, "w.pt")
    for name, value in network.state_dict().items():
        assert value.equal(before[name] if name.startswith("3.") else state[name])
    with pytest.raises(DataError, match="Not one of these weights fits"):
        network_files.put_fitting(small(), {"other": torch.ones(2)}, "w.pt")


def test_what_is_no_state_dict_is_said(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"no weights")
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    torch.save([torch.ones(1)], tmp_path / "list.pt")
    for name in ("w.pt", "w.safetensors", "list.pt", "absent.pt"):
        with pytest.raises(DataError, match=r"[Ww]eights"):
            network_files.read_weights(tmp_path / name)


@pytest.fixture
def program(tmp_path):
    batch = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(small(), (torch.rand(2, 1, 16, 16),), dynamic_shapes=batch)
    torch.export.save(program, tmp_path / "net.pt2")
    return tmp_path / "net.pt2"


def test_an_exported_program_answers_as_its_network_and_has_its_modules(program):
    found, images = network_files.load_exported(program), torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(found(images), small()(images))
    kept = []
    found.get_submodule("0").register_forward_hook(lambda m, i, o: kept.append(o))
    found(images)
    assert kept[0].shape == (3, 4, 16, 16)


def rewritten(path, change):
    """The program with its files changed by change({name: bytes})."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    top = next(iter(parts)).partition("/")[0]
    change(parts, top)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def in_graph(old, new):
    def change(parts, top):
        name = f"{top}/models/model.json"
        assert old in parts[name].decode()
        parts[name] = parts[name].decode().replace(old, new).encode()

    return change


def custom_object(parts, top):
    parts[f"{top}/data/constants/custom_obj_0"] = pickle.dumps(Evil("x"))


def old_format(parts, top):
    parts[f"{top}/serialized_state_dict.pt"] = b""


@pytest.mark.parametrize(
    "change",
    [
        in_graph("torch.ops.aten.relu.default", "torch.os.system"),
        in_graph("positive=True, integer=True)", "positive=True).__class__"),
        custom_object,
        old_format,
    ],
)
def test_a_program_that_could_run_code_is_refused(program, change):
    rewritten(program, change)
    with pytest.raises(DataError, match="refused: it holds more than tensors"):
        network_files.load_exported(program)


def test_pickled_weights_in_a_program_do_not_run(program, tmp_path):
    """A program may keep a tensor as a pickle; one with code in it is not opened."""
    left = tmp_path / "ran"

    def change(parts, top):
        torch.save(Evil(left), tmp_path / "evil")
        name = f"{top}/data/weights/model_weights_config.json"
        config = json.loads(parts[name])
        for entry in config["config"].values():
            entry["use_pickle"] = True
            parts[f"{top}/data/weights/{entry['path_name']}"] = (tmp_path / "evil").read_bytes()
        parts[name] = json.dumps(config).encode()
        parts[f"{top}/data/sample_inputs/model.pt"] = (tmp_path / "evil").read_bytes()

    rewritten(program, change)
    with pytest.raises(DataError, match="cannot be read"):
        network_files.load_exported(program)
    assert not left.exists()


def test_what_is_no_program_is_said(tmp_path):
    (tmp_path / "net.pt2").write_bytes(b"nothing")
    with pytest.raises(DataError, match="Not an exported program"):
        network_files.load_exported(tmp_path / "net.pt2")
