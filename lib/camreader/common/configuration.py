"""What config.yaml and the notebooks' parameter cells say, without running them."""

import ast
import json
from pathlib import Path


def _parameters(notebook):
    """The assignments of a notebook's cell tagged `parameters`."""
    cells = json.loads(Path(notebook).read_text())["cells"]
    source = next(
        "".join(c["source"]) for c in cells if "parameters" in c["metadata"].get("tags", [])
    )
    return [n for n in ast.parse(source).body if isinstance(n, ast.Assign)]


def parameter_names(notebook):
    """Names set in a notebook's cell tagged `parameters`, in order."""
    return [n.targets[0].id for n in _parameters(notebook)]


def parameter_values(notebook):
    """{name: value} of that cell, without running it."""
    return {n.targets[0].id: ast.literal_eval(n.value) for n in _parameters(notebook)}


def cohort_name(config):
    """The study's name: as configured, else the source folder's name, else "phantom"."""
    source = config["source"]
    return config["cohort"] or (Path(source).resolve().name if source else "phantom")
