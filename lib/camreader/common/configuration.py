"""What config.yaml and the notebooks' parameter cells say, read and checked without running them.

Papermill's own inspection of parameters is held against `parameter_values` in the tests. It is not
used here: it takes 1.5 s to load, gives values as text, and passes over a line with two "=".
"""

import ast
import hashlib
import json
import math
import os
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from camreader.common.errors import DataError

PHANTOM = "phantom"  # the study drawn where no folder is given
Values = dict[str, Any]
DEFAULTS: Values = {  # of config.yaml, but for `parameters`
    "source": "",
    "cohort": "",
    "data": "data",
    "reports": "reports",
    "seeds": [0],
}
TYPES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "names with values",
}
LIMITS: dict[str, tuple[float, float]] = {  # (least, most); any other number: 0 or more
    "SLICES": (1, math.inf),
    "PREVALENCE": (0, 0.99),  # 0 in notebook 08: that of the study
    "IMAGE_SIZE": (32, 1024),
    "TEST_SHARE": (0.01, 0.9),
    "EPOCHS": (1, math.inf),
    "DRAWS": (1, math.inf),
    "SHOWN": (1, math.inf),
    "CASES": (1, math.inf),
    "READERS": (1, math.inf),
    "ERROR_SHARE": (0, 1),
    "POWER": (0.01, 0.99),
}
NUMBER_OR_NAME = ("CLASS",)  # texts that may be written as a whole number
CHOICES: dict[str, tuple[Any, ...]] = {
    "NEGATIVES": ("auto", "verified", "neighbour", "lesion_extent"),
    "PROTOCOL": ("sound", "paper"),
    "DESIGN": (  # the presets of session.stages, which stands above this room
        "",
        "answer_then_map",
        "sequential",
        "map_first",
        "crossover",
        "with_or_without_map",
        "placebo_map",
        "four_conditions",
    ),
    "TRAIN": ("train", "transfer", "fine-tune", "use"),
    "CHANNELS": (1, 3),
}


def parameter_values(notebook: str | Path) -> Values:
    """{name: value} of a notebook's cell tagged `parameters`, in order, without running it."""
    cells = json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"]
    source = next(
        "".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])
    )
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return {ast.unparse(node.targets[0]): ast.literal_eval(node.value) for node in nodes}


def origin_of(source: str | Path) -> str:
    """What stands in a cohort's card for where its slices came from: a digest of the folder's path.

    The path itself is not kept: it may hold a name, and a report may be shared.
    """
    return hashlib.sha256(os.fsencode(Path(source).resolve())).hexdigest()[:16]


def cohort_name(config: Mapping[str, Any]) -> str:
    """The study's name: as configured, else after the source folder, else "phantom".

    Two folders never share a name taken from them: characters that some program reads as more than
    a letter are replaced, and a digest of the path is appended where that happened, where the name
    is the phantom's, or where a study of another folder has it already.
    """
    if config["cohort"] or not config["source"]:
        return config["cohort"] or PHANTOM
    name = Path(config["source"]).resolve().name
    safe = re.sub(r"[^\w.+ -]+", "_", unicodedata.normalize("NFC", name)).strip("._") or "slices"
    origin = origin_of(config["source"])
    if safe != name or safe == PHANTOM or _other_owner(config, safe, origin):
        return f"{safe}-{origin[:8]}"
    return safe


def _other_owner(config: Mapping[str, Any], name: str, origin: str) -> bool:
    """True where a study of that name was made from another folder."""
    card = Path(config.get("data", "data")) / "cohorts" / name / "cohort.json"
    try:
        return json.loads(card.read_text(encoding="utf-8")).get("origin", origin) != origin
    except (OSError, ValueError, AttributeError):
        return False


def read_configuration(path: str | Path) -> Values:
    """A configuration file with its defaults; DataError names the line where it is no YAML."""
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise DataError("No such configuration file", file=path) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        row = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        problem = f"Not valid YAML: {error.problem or error.context}"
        raise DataError(problem, file=path, row=row, expected="name: value") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"Not valid YAML: {error}", file=path) from None
    if not isinstance(found, dict):
        raise DataError("Not a configuration", file=path, expected="lines of `name: value`")
    return DEFAULTS | {"parameters": {}} | found


def check_configuration(
    config: Values, folder: str | Path = "notebooks", file: str | Path = "config.yaml"
) -> None:
    """DataError with everything that is wrong in a configuration, before anything runs.

    Names of notebooks and parameters must be known, and each value of its default's type and
    within its limits. folder: of the notebooks; file: named in the message.
    """
    known = {**DEFAULTS, "parameters": {}}
    problems = [
        f"no setting {name!r}; known: {', '.join(known)}" for name in config if name not in known
    ]
    problems += [
        f"{name}: {wrong}"
        for name, default in DEFAULTS.items()
        if name in config and (wrong := problem(name, config[name], default))
    ]
    problems += [
        f"{name}: {wrong} stand in a name that others have to read, not {config[name]!r}"
        for name, signs, wrong in (
            ("cohort", r"[{}/\\]", "no braces or slashes may"),
            ("data", r"[{}]", "no braces may"),
            ("reports", r"[{}]", "no braces may"),
        )
        if re.search(signs, str(config.get(name, "")))
    ]
    parameters = config.get("parameters") or {}
    for notebook, values in parameters.items():
        problems += _problems_of(Path(folder) / f"{notebook}.ipynb", values or {})
    if problems:
        raise DataError(f"{file}: " + f"\n{file}: ".join(problems))


def _problems_of(path: Path, values: Values) -> list[str]:
    """What is wrong with the values given for one notebook, each in words."""
    if not path.exists():
        return [f"{path.stem}: no such notebook in {path.parent}/"]
    defaults, found = parameter_values(path), []
    for name, value in values.items():
        if name not in defaults:
            found.append(f"{path.stem}: no parameter {name!r}; it has {', '.join(defaults)}")
        elif wrong := problem(name, value, defaults[name]):
            found.append(f"{path.stem}: {name}: {wrong}")
    return found


def problem(name: str, value: Any, default: Any) -> str:
    """What is wrong with a parameter's value, in words; empty where nothing is."""
    if name in NUMBER_OR_NAME and type(value) is int:
        value = str(value)
    # a whole number is a number, true is neither
    if type(value) not in ((int, float) if isinstance(default, float) else (type(default),)):
        return f"{TYPES[type(default)]} is expected, such as {default!r}, not {value!r}"
    if name in CHOICES and value not in CHOICES[name]:
        return f"one of {', '.join(map(str, CHOICES[name]))} is expected, not {value!r}"
    if isinstance(default, list):
        if default and not value:
            return f"at least one value is expected, such as {default!r}"
        wrong = (problem(name, item, default[0]) for item in value if default)
        return next((words for words in wrong if words), "")
    if isinstance(default, int | float) and not isinstance(default, bool):
        low, high = LIMITS.get(name, (0, math.inf))
        if not low <= value <= high:
            limits = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            return f"{limits} is expected, not {value!r}"
    return ""
