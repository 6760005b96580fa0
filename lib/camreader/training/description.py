"""A network of one's own, as the configuration describes it: which, with which weights, asked how.

Only words and files here, no torch: the workflow reads it before anything runs.
"""

import argparse
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from camreader.cohorts.folder import Folder
from camreader.cohorts.windows import WINDOWS, given_window
from camreader.common import own_code
from camreader.common.errors import DataError
from camreader.common.storage import digest

TRAIN = ("train", "transfer", "fine-tune", "use")
LIBRARIES = ("torchvision", "timm")
FORMS = (
    "file.py:function, torchvision:name, timm:name, exported:file.pt2 or results:folder "
    "(empty: the workbook's own network)"
)


@dataclass(frozen=True)
class Description:
    """What NETWORK and the parameters beside it say; empty: the workbook's own network."""

    network: str = ""  # my_net.py:build, torchvision:resnet18, timm:..., exported:..., results:...
    weights: str = ""  # .safetensors, or a state dict that needs no pickled code
    train: str = "train"  # from random weights; "transfer": from those of these that fit;
    #                       "fine-tune": from these, gently; "use": as they are
    channels: int = 1  # 3: the slice three times
    outputs: tuple[str, ...] = ()  # their names, where these are several
    class_: str = ""  # which of them is the finding: a name or a number from 0
    input_size: int = 0  # side of its images in pixels; 0: the cohort's
    window: str = ""  # a window's name, or its centre and width, such as "60 160"
    mean: tuple[float, ...] = ()  # of normalisation, one per channel or one for all
    std: tuple[float, ...] = ()
    layers: tuple[str, ...] = ()  # to explain; empty: the last that still knows places
    source: str = ""  # the folder that 01 read, by whose file names results may call images
    digest: str = ""  # of the files, once `settled`

    def __post_init__(self) -> None:
        for name in ("outputs", "mean", "std", "layers"):  # lists from YAML and JSON
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "class_", str(self.class_))

    @property
    def own(self) -> bool:
        """Whether a network other than the workbook's is described."""
        return bool(self.network)

    @property
    def kind(self) -> str:
        """ "code", "torchvision", "timm", "exported" or "results"; DataError for another form."""
        first, colon, rest = self.network.partition(":")
        if colon and rest and first in (*LIBRARIES, "exported", "results"):
            return first
        if not self.network.rpartition(":")[0].endswith(".py"):
            raise DataError("NETWORK is not understood", found=self.network, expected=FORMS)
        own_code.place(self.network)
        return "code"

    @property
    def target(self) -> str:
        """What stands after the kind: a name, a file or a folder; for code the whole text."""
        return self.network if self.kind == "code" else self.network.partition(":")[2]

    @property
    def used(self) -> bool:
        """Whether nothing is trained: the network is used as it is, or only its results are."""
        return self.train == "use" or (self.own and self.kind == "results")

    @property
    def said(self) -> str:
        """What it is called in tables and sentences: without folders, which may hold names."""
        if self.kind in LIBRARIES:
            return self.network
        path = Path(self.target.rpartition(":")[0] or self.target)
        ending = ":" + self.target.rpartition(":")[2] if self.kind == "code" else ""
        return f"{'' if self.kind == 'code' else self.kind + ':'}{path.name}{ending}"

    def files_named(self) -> list[str]:
        """The files of code, program and weights as they are written, whether they are there."""
        found = [self.weights] if self.weights else []
        if self.own and self.kind in ("code", "exported"):
            found.append(self.target.rpartition(":")[0] or self.target)
        return found

    def files(self) -> list[Path]:
        """Files that decide the network: its code or program, its weights, or a whole folder."""
        found = [Path(self.weights)] if self.weights else []
        if self.own and self.kind == "code":
            found.append(own_code.place(self.network)[0])
        elif self.own and self.kind == "exported":
            found.append(Path(self.target))
        elif self.own and self.kind == "results":
            there = Path(self.target)
            found += [there / name for name in Folder(there).files] if there.is_dir() else []
        return found

    def moved(self, move: Callable[[str], str]) -> "Description":
        """The same with each path changed by `move`."""
        values = {"NETWORK": self.network, "WEIGHTS": self.weights, "SOURCE": self.source}
        found = moved(values, move)
        return replace(self, **{PARAMETERS[name]: value for name, value in found.items()})

    def settled(self, base: str | Path) -> "Description":
        """Paths relative to the folder `base` and a digest of the files; checked in words.

        The same from wherever it is called, so that a run made from the shell is recognised in a
        notebook.
        """
        self.check()
        contents = [digest(path) for path in self.files()]
        top = os.path.abspath(base)
        found = self if self.own and self.kind == "results" else replace(self, source="")
        found = found.moved(lambda path: os.path.relpath(os.path.abspath(path), top))
        return replace(found, digest=digest(*contents)[:16] if contents else "")

    def opened(self, base: str | Path) -> "Description":
        """The settled description with paths from here; DataError where its files changed since."""
        found = self.moved(lambda path: os.path.relpath(os.path.join(base, path)))
        missing = next((path for path in found.files() if not path.is_file()), None)
        if missing is not None:
            raise DataError("A file of the network is gone", file=missing)
        if self.digest and digest(*map(digest, found.files()))[:16] != self.digest:
            words = "The network's files changed since this run; `make report` makes it anew"
            raise DataError(words, file=found.said)
        return found

    def check(self) -> None:
        """DataError, in one sentence, for what cannot be meant; nothing is loaded for it."""
        if self.train not in TRAIN:
            raise DataError("TRAIN is not understood", found=self.train, expected=", ".join(TRAIN))
        if not self.own:
            _only_with_network(self)
            return
        kind = self.kind
        if kind == "results" and not Path(self.target).is_dir():
            raise DataError("No such folder of results", file=self.target)
        for path in self.files():
            if not path.is_file():
                raise DataError("No such file", file=path)
        if kind == "exported" and self.train != "use":
            words = "An exported program cannot be trained here"
            raise DataError(words, found=f"TRAIN: {self.train}", expected="TRAIN: use")
        if kind in ("exported", "results") and self.weights:
            raise DataError(f"WEIGHTS do not belong to {kind}:, which brings its own")
        if self.train == "train" and self.weights:
            raise DataError(
                "WEIGHTS are given, but TRAIN: train begins with random ones",
                expected="TRAIN: transfer, fine-tune or use",
            )
        if self.train == "use" and kind in LIBRARIES and not self.weights:
            words = f"{self.network} without WEIGHTS is a network of random weights"
            raise DataError(words, expected="WEIGHTS: a file, or TRAIN: train")
        self._check_values()

    def _check_values(self) -> None:
        """DataError for values that do not fit one another."""
        if self.train == "transfer" and not self.weights:
            raise DataError("TRAIN: transfer takes what fits from WEIGHTS", expected="WEIGHTS")
        if self.channels not in (1, 3):
            raise DataError("CHANNELS are not understood", found=self.channels, expected="1 or 3")
        for name, values in (("MEAN", self.mean), ("STD", self.std)):
            if len(values) not in (0, 1, self.channels):
                words = f"{name} has another length than CHANNELS"
                raise DataError(words, found=list(values), expected=f"{self.channels} numbers")
        if any(not value > 0 for value in self.std):
            raise DataError("STD must be above 0", found=list(self.std))
        if self.window and self.window not in WINDOWS:
            given_window(self.window)


def _only_with_network(description: Description) -> None:
    """DataError where something is said of a network that is not named."""
    default = Description(train=description.train, source=description.source)
    for field in fields(Description):
        if getattr(description, field.name) != getattr(default, field.name):
            name = field.name.rstrip("_").upper()
            raise DataError(f"{name} is given without a NETWORK", expected=FORMS)


NO_OWN = Description()  # the workbook's own network
PARAMETERS = {
    field.name.rstrip("_").upper(): field.name
    for field in fields(Description)
    if field.name != "digest"
}  # a notebook's parameter: the field it sets


def described(**values: Any) -> Description:
    """Description of a notebook's parameters, by their names in small letters, `class_` for CLASS.

    Checked, so that what cannot be meant is said before anything is trained.
    """
    found = Description(**values)
    found.check()
    return found


def from_parameters(values: Mapping[str, Any]) -> Description:
    """Description of the parameters of notebook 02, {name: value}; others are passed over."""
    return Description(**{PARAMETERS[k]: v for k, v in values.items() if k in PARAMETERS})


def as_yaml(own: Description, project: str = "..") -> str:
    """The description as lines for config.yaml, whose paths start from the folder `project`."""
    own = own.moved(lambda path: os.path.relpath(path, project))
    default, lines = Description(), ["parameters:", "  02_train:"]
    for name, field in PARAMETERS.items():
        value = getattr(own, field)
        if value != getattr(default, field) and name != "SOURCE":
            written = list(value) if isinstance(value, tuple) else value
            lines.append(f"    {name}: {json.dumps(written, ensure_ascii=False)}")
    return "\n".join(lines)


def moved(values: Mapping[str, Any], move: Callable[[str], str]) -> dict[str, Any]:
    """Parameters with the paths in NETWORK, WEIGHTS, SOURCE and METHODS changed by `move`."""
    found = dict(values)
    if found.get("NETWORK"):
        found["NETWORK"] = _moved(found["NETWORK"], move)
    if found.get("METHODS"):
        parts = (part.strip() for part in found["METHODS"].split(","))
        found["METHODS"] = ", ".join(_moved(part, move) for part in parts)
    for name in ("WEIGHTS", "SOURCE"):
        if found.get(name):
            found[name] = move(found[name])
    return found


def _moved(text: str, move: Callable[[str], str]) -> str:
    first, colon, rest = text.partition(":")
    if first in LIBRARIES or not colon:
        return text
    if first in ("exported", "results"):
        return f"{first}:{move(rest)}"
    file, _colon, function = text.rpartition(":")
    return f"{move(file)}:{function}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An option for each parameter: --network, --weights, ... Lists are written as JSON."""
    for name, field in PARAMETERS.items():
        default = getattr(Description(), field)
        kind: Any = json.loads if isinstance(default, tuple) else type(default)
        parser.add_argument(f"--{name.lower().replace('_', '-')}", type=kind, default=default)


def from_options(options: argparse.Namespace) -> Description:
    """Description of parsed options."""
    return Description(**{field: getattr(options, k.lower()) for k, field in PARAMETERS.items()})
