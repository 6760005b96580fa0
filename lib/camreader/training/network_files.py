"""Files of a network somebody else made: weights and exported programs, read without running code.

A state dict saved by torch.save is a pickle, which can run code when it is read; it is read with
weights_only=True, which refuses that. An exported program holds pickles too, and names of the
functions it calls: it is looked through first, and only torch's own numerical operations pass.
"""

import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from camreader.common.errors import DataError
from camreader.common.own_code import said

# What an exported program may hold, and call. Anything else could run code when it is opened.
MEMBERS = re.compile(
    r"(\.data/.*|byteorder|archive_\w+|version|\.format/\w+|models/model\.json"
    r"|data/(weights|constants)/(weight_\d+|tensor_\d+|model_\w+_config\.json)"
    r"|data/sample_inputs/model\.pt|extra/.*)"
)
TARGETS = re.compile(
    r"(torch\.ops\.aten\.\w+(\.\w+)?|_operator\.(add|sub|mul|truediv|floordiv|mod|neg|getitem|pow"
    r"|eq|ne|lt|le|gt|ge)|torch\.sym_(int|max|min|not|ite)|math\.(ceil|floor|trunc|sqrt))"
)
SYMBOL = re.compile(r"Symbol\('\w+'(, \w+=(True|False))*\)")
EXPRESSION = re.compile(
    r"([\s+\-*/(),<>=\d.]|\b(Max|Min|Mod|FloorDiv|CeilDiv|Integer|True|False)\b)*"
)


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """{name: tensor} of a .safetensors file or a state dict; DataError for anything else.

    A state dict inside "state_dict" or "model" and names that begin with "module." are understood.
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError("No such file of weights", file=path) from None
    except SafetensorError as error:
        raise DataError(f"Weights cannot be read: {said(error)}", file=path) from None
    except Exception as error:  # torch names what it met in many kinds of errors
        unsafe = "weights_only" in str(error) or "Unsupported" in str(error)
        words = "Weights cannot be read: no state dict of PyTorch, or damaged"
        if unsafe:
            words = "Weights are refused: a pickle with more than tensors, which may run code"
        expected = "a .safetensors file, or torch.save(network.state_dict(), file)"
        raise DataError(words, file=path, expected=expected) from None
    return _tensors(found, path)


def _tensors(found: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise DataError("Weights are no state dict: names with tensors are expected", file=path)
    if found and all(name.startswith("module.") for name in found):
        return {name.removeprefix("module."): value for name, value in found.items()}
    return dict(found)


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], file: str | Path) -> None:
    """Load `weights` into `network`; DataError, in one sentence, where one does not fit exactly."""
    own = network.state_dict()
    missing, extra = [k for k in own if k not in weights], [k for k in weights if k not in own]
    if missing or extra:
        parts = [
            f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
            for what, names in (("missing", missing), ("that it does not have", extra))
            if names
        ]
        raise DataError(
            f"Weights are not this network's: {' and '.join(parts)}", file=Path(file).name
        )
    for name, value in own.items():
        if value.shape != weights[name].shape:
            raise DataError(
                f"Weights are not this network's: {name} has another shape",
                file=Path(file).name,
                found=tuple(weights[name].shape),
                expected=tuple(value.shape),
            )
    network.load_state_dict(dict(weights))


def put_fitting(network: nn.Module, weights: Mapping[str, Tensor], file: str | Path) -> None:
    """Load those of `weights` whose name and shape are one's in `network`; the others stay random.

    DataError where not one fits.
    """
    own = network.state_dict()
    fits = {k: v for k, v in weights.items() if k in own and v.shape == own[k].shape}
    if not fits:
        raise DataError(
            "Not one of these weights fits the network by name and shape",
            file=Path(file).name,
            found=", ".join(list(weights)[:3]),
            expected=f"such as {', '.join(list(own)[:3])}",
        )
    network.load_state_dict(fits, strict=False)


def load_exported(path: str | Path) -> nn.Module:
    """The program that torch.export.save wrote, as a module with the submodules it was made from.

    DataError where it holds what could run code, or cannot be read by this version of torch.
    """
    _look_through(Path(path))
    try:
        with _no_pickles(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            network = torch.export.unflatten(torch.export.load(str(path)))
    except Exception as error:
        words = f"The exported program cannot be read: {said(error)}"
        raise DataError(words, file=Path(path).name) from None
    for module in network.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.clear()  # what it was traced with, which cannot be copied
    return network


def _look_through(path: Path) -> None:
    """DataError where an exported program is not of plain tensors and torch's own operations."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.partition("/")[2]: name for name in archive.namelist()}
            graph = json.loads(archive.read(names["models/model.json"]))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        words = "Not an exported program"
        expected = "a file of torch.export.save"
        raise DataError(words, file=path.name, expected=expected) from None
    odd = [name for name in names if not MEMBERS.fullmatch(name)]
    odd += [text for key, text in _texts(graph) if not _harmless(key, text)]
    if odd:
        words = "The exported program is refused: it holds more than tensors and torch's operations"
        raise DataError(words, file=path.name, found=odd[0][:80])


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """(key, text) of every text in a JSON value."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
    elif isinstance(value, str):
        yield key, value


def _harmless(key: str, text: str) -> bool:
    """Whether a text of a program names an allowed operation, or an expression of sizes."""
    if key == "target":
        return bool(TARGETS.fullmatch(text))
    if key == "expr_str":
        return bool(EXPRESSION.fullmatch(SYMBOL.sub("", text)))
    return True


@contextmanager
def _no_pickles() -> Iterator[None]:
    """torch.load with weights_only=True, whatever its caller asks for."""
    load = torch.load

    def only_weights(*args: Any, **options: Any) -> Any:
        return load(*args, **(options | {"weights_only": True}))

    torch.load = only_weights
    try:
        yield
    finally:
        torch.load = load
