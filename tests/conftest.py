"""What several test files share: the real sample where it is at hand, and a small checkout."""

import os
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def sample():
    """The 90 real slices of DeepLesion; they are not part of the project."""
    folder = SHARED / "deeplesion-sample"
    if not folder.exists():
        pytest.skip("the real DeepLesion sample is not at hand (../shared/deeplesion-sample)")
    return folder


def copy_checkout(target):
    """Copy what a run needs into `target`, so that a test may edit, kill and repeat it there."""
    for name in ("Snakefile", "config.yaml", "Makefile"):
        shutil.copy(ROOT / name, target / name)
    for name in ("notebooks", "lib", "data/published", "profiles"):
        if (ROOT / name).exists():
            ignored = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.egg-info")
            shutil.copytree(ROOT / name, target / name, ignore=ignored)
    return target


def checkout_environment(checkout):
    """Environment of a process that works in a copied checkout, on that copy's package."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(checkout / "lib"), "PATH": path}
