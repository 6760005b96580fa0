"""One list of pins: complete for each Python that the package says it runs on."""

import re
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ALLOWED = SpecifierSet(PROJECT["requires-python"])
PINS = [
    Requirement(line)
    for line in (ROOT / "requirements.txt").read_text().splitlines()
    if line and not line.startswith("#")
]
PYTHONS = ("3.11", "3.12", "3.13")


def pinned(python):
    """{package: pin} on Linux with one Python; AssertionError where a package has two."""
    here = {"python_version": python, "python_full_version": f"{python}.5"}
    here |= {"sys_platform": "linux", "os_name": "posix", "platform_machine": "x86_64"}
    fitting = [p for p in PINS if p.marker is None or p.marker.evaluate(here)]
    found = {canonicalize_name(p.name): str(p.specifier) for p in fitting}
    assert len(found) == len(fitting)
    return found


def test_the_allowed_pythons_are_those_that_the_pins_were_resolved_for():
    tried = [f"3.{minor}" for minor in range(8, 20)]
    assert [python for python in tried if f"{python}.5" in ALLOWED] == list(PYTHONS)


@pytest.mark.parametrize("python", PYTHONS)
def test_each_direct_dependency_has_one_pin_that_fits(python):
    pins = pinned(python)
    extras = PROJECT["optional-dependencies"].values()
    for text in (*PROJECT["dependencies"], *(text for extra in extras for text in extra)):
        wanted = Requirement(text)
        pin = pins[canonicalize_name(wanted.name)]
        assert re.fullmatch(r"==[\w.]+", pin)
        assert wanted.specifier.contains(pin.removeprefix("==")), text


def test_conda_and_make_take_a_python_that_is_allowed():
    described = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    conda = next(str(d) for d in described if str(d).startswith("python="))
    assert f"{conda.removeprefix('python=')}.5" in ALLOWED
    makefile = (ROOT / "Makefile").read_text()
    low, high = re.search(r"\((3, \d+)\) <= v <= \((3, \d+)\)", makefile).groups()
    assert (low, high) == tuple(p.replace(".", ", ") for p in (PYTHONS[0], PYTHONS[-1]))


def test_pytorchs_own_index_gives_the_versions_that_are_pinned():
    """`make env TORCH_INDEX=...` names them before the pins are read."""
    makefile, pins = (ROOT / "Makefile").read_text(), pinned("3.11")
    for name in ("torch", "torchvision"):
        assert f" {name}{pins[name]} " in makefile
