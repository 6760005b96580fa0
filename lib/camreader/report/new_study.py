"""`camreader new FOLDER`: a study folder from the installed package, ready to run.

An installed package has no checkout round it. It carries the checkout's study (notebooks,
Snakefile, config.yaml, profiles, published tables, documentation: `tool.camreader` in
pyproject.toml) in `camreader/_study`; setup.py puts it there. In a checkout, its own files are
copied.
"""

import os
import shlex
import shutil
import tempfile
import tomllib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from camreader.common.errors import DataError
from camreader.common.source import PACKAGE

CARRIED = PACKAGE / "_study"
PROJECT = PACKAGE.parents[1] / "pyproject.toml"  # of the checkout, where this is one
LEFT = {"__pycache__", ".ipynb_checkpoints"}


def study_files() -> Iterator[tuple[Path, Path]]:
    """(file, its path in a study folder) of every file of a study.

    DataError where the package holds none: it was built without setup.py.
    """
    if CARRIED.is_dir():
        base, names = CARRIED, [path.name for path in CARRIED.iterdir()]
    elif PROJECT.is_file():
        base = PROJECT.parent
        names = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["tool"]["camreader"]["study"]
    else:
        raise DataError("The package carries no study", file=CARRIED, expected="a released wheel")
    for name in names:
        found = [base / name] if (base / name).is_file() else (base / name).rglob("*")
        for path in found:
            if path.is_file() and not LEFT & set(path.relative_to(base).parts):
                yield path, path.relative_to(base)


def lay_out(folder: str | Path) -> Path:
    """Copy a study into `folder`, which may exist if it is empty; the whole of it, or nothing.

    DataError where `folder` holds something or cannot be written.
    """
    folder = Path(folder).absolute()
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise DataError("The folder is not empty", file=folder, expected="a new or empty folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as part:
            whole = Path(part) / "study"
            for source, inside in study_files():
                (whole / inside).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, whole / inside)  # writable, whatever the package is
            os.replace(whole, folder)
    except OSError as error:
        words = f"The folder cannot be made: {error.strerror}"
        raise DataError(words, file=folder, expected="a folder that can be written") from None
    return folder


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of `camreader new`."""
    parser.add_argument("folder", help="where the study goes: a new or an empty folder")


def run(options: Namespace) -> None:
    """Lay out a study and say the next command."""
    lay_out(options.folder)
    print(f"A study is ready in {options.folder}. Next:")
    print(f"  cd {shlex.quote(options.folder)}")
    print("  camreader report          # the whole study -> reports/index.html")
    print("  jupyter lab notebooks     # or step by step")
