"""The wheel carries the folder that `camreader new` lays out; all else is in pyproject.toml."""

import shutil
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
STUDY = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["camreader"]["study"]
UNWANTED = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")


class WithStudy(build_py):
    """Packages as ever, then the study's files below camreader/_study."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout itself is the study folder
            return
        target = Path(self.build_lib) / "camreader" / "_study"
        shutil.rmtree(target, ignore_errors=True)  # of an earlier build
        for name in STUDY:
            source, copy = HERE / name, target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=UNWANTED)
            else:
                shutil.copyfile(source, copy)


setup(cmdclass={"build_py": WithStudy})
