"""Which modules stand behind a notebook or a module, and a digest of their code.

What was made by other code is made again, and nothing else is: editing the statistics of several
readers must not retrain a network.
"""

import ast
import functools
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import grimp

from camreader.common.storage import digest

PACKAGE = Path(__file__).parents[1]


@functools.cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("camreader", cache_dir=None)


def _path(module: str) -> Path:
    stem = PACKAGE.joinpath(*module.split(".")[1:])
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def _public(room: str) -> dict[str, str]:
    """{name: module} of a room's public interface, from its stub `__init__.pyi`."""
    stub = _path(room).with_suffix(".pyi")
    nodes = ast.parse(stub.read_text(encoding="utf-8")).body if stub.exists() else []
    return {
        alias.asname or alias.name: f"{room}.{node.module}"
        if node.module
        else f"{room}.{alias.name}"
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def _find(name: str) -> set[str]:
    """Modules that hold the dotted `name`: itself, or what a room's public name leads to."""
    if name in _graph().modules:
        return {name}
    room, _dot, last = name.rpartition(".")
    return {room, *filter(None, [_public(room).get(last)])} if room in _graph().modules else set()


def _imported(source: str) -> set[str]:
    """Modules of the package that Python source imports, rooms' public names followed."""
    found, rooms, tree = set(), {}, ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "camreader":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found |= _find(name)
                rooms[alias.asname or alias.name] = name
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            room = rooms.get(node.value.id)
            found |= _find(f"{room}.{node.attr}") if room else set()
    return found


def _behind(start: Iterable[str]) -> set[str]:
    start = set(start)
    return start.union(*(_graph().find_upstream_modules(module) for module in start))


def notebook_code(path: Path) -> str:
    """A notebook's code, without outputs or run counts."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def modules_behind(what: str | Path) -> list[str]:
    """Source files of every module that a notebook (a path) or a module (its name) rests on.

    A notebook's are those its code cells import, a room's public names followed to their module;
    a module's include itself. The scripts, styles and templates of a room come along. Sorted
    paths, relative to where the process runs, wherever the package is installed.
    """
    path = Path(what)
    if path.suffix == ".ipynb":
        start = _imported(re.sub(r"^\s*[%!].*$", "", notebook_code(path), flags=re.M))
    else:
        start = {f"camreader.{what}"}
    files = {_path(module) for module in _behind(start)}
    rooms = {file.parent for file in files}
    assets = {path for room in rooms for path in (*room.glob("*.html"), *room.glob("static/*.*"))}
    return sorted(os.path.relpath(file) for file in files | assets)


def code_digest(module: str, rooms: Iterable[str]) -> str:
    """SHA-256 (hex) of the source of `module` and of what it rests on inside some rooms.

    module: such as "phantom.write". rooms: such as ("phantom",); code of other rooms does not
    decide what comes out.
    """
    inside = {f"camreader.{room}" for room in rooms}
    names = sorted(_behind({f"camreader.{module}"}))
    return digest(*(_path(name) for name in names if ".".join(name.split(".")[:2]) in inside))
