"""A function that somebody wrote in a Python file of their own, named in the configuration.

Only a file that a person names runs: `NETWORK: my_net.py:build`, `METHODS: my_cam.py:my_cam`. A
file of weights or images never does.
"""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camreader.common.errors import DataError
from camreader.common.storage import digest


def place(text: str) -> tuple[Path, str]:
    """(file, function) of "file.py:function"; DataError where it is not of that form."""
    file, colon, name = text.rpartition(":")
    if not colon or not file.endswith(".py") or not name.isidentifier():
        raise DataError("Not a function in a file", found=text, expected="file.py:function")
    return Path(file), name


def function_of(text: str) -> Callable[..., Any]:
    """The function that "file.py:function" names, its file imported.

    Modules beside the file can be imported by it. DataError, in one sentence, where there is no
    such file or function, or where importing it fails.
    """
    path, name = place(text)
    if not path.is_file():
        raise DataError("No such file", file=path, expected="file.py:function")
    module = _module(path)
    found = getattr(module, name, None)
    if not callable(found):
        has = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
        raise DataError("No such function", file=path, found=name, expected=" or ".join(has[:8]))
    return found


def _module(path: Path) -> Any:
    """The module in a file, imported once for each content of it."""
    name = f"own_{path.stem}_{digest(str(path.resolve()), path.read_bytes())[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _beside(path):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise DataError(f"Importing it fails: {said(error)}", file=path) from None
    return module


@contextmanager
def _beside(path: Path) -> Iterator[None]:
    """Modules in the folder of `path` can be imported."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def said(error: BaseException) -> str:
    """An error in one line: its kind and the first line of its words."""
    first = (str(error).strip().splitlines() or [""])[0][:300]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
