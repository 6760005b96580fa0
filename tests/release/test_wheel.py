"""The release as a user gets it: archive, wheel, an installation elsewhere, a study elsewhere."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from places import ROOT

from camreader import __version__
from camreader.report.catalogue import PARTS

# What a build makes of the folder it runs in, without asking the network for a build tool.
BUILD = "import sys; from setuptools import build_meta as b; getattr(b, sys.argv[1])(sys.argv[2])"


def python(*words, cwd, **environment):
    """What a Python process says; it knows of no checkout."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, *map(str, words)]
    done = subprocess.run(
        command, cwd=cwd, env=inherited | environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return done.stdout + done.stderr


def tracked():
    """Files of the checkout that git knows or would take, but for its own."""
    said = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True
    )
    if said.returncode:
        pytest.skip("not a git checkout")
    names = [name for name in said.stdout.decode().split("\0") if name]
    return [name for name in names if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The source archive, built from a copy of the checkout."""
    folder = tmp_path_factory.mktemp("release")
    for name in tracked():
        (folder / "checkout" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "checkout" / name).write_bytes((ROOT / name).read_bytes())
    python("-c", BUILD, "build_sdist", folder, cwd=folder / "checkout")
    return folder / f"camreader-{__version__}.tar.gz"


@pytest.fixture(scope="module")
def wheel(archive):
    """The wheel, built from the unpacked archive and from nothing else."""
    with tarfile.open(archive) as packed:
        packed.extractall(archive.parent / "unpacked", filter="data")
    source = archive.parent / "unpacked" / f"camreader-{__version__}"
    python("-c", BUILD, "build_wheel", archive.parent, cwd=source)
    return archive.parent / f"camreader-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def study(wheel):
    """(folder, environment) of a study made by the package installed in a folder of its own."""
    site, folder = wheel.parent / "site", wheel.parent / "my study"
    words = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", site, wheel]
    python(*words, cwd=wheel.parent)
    environment = {"PYTHONPATH": str(site)}
    said = python("-m", "camreader", "new", folder, cwd="/", **environment)
    assert "camreader report" in said
    return folder, environment


def test_the_archive_holds_all_that_is_tracked_but_what_serves_the_checkout_alone(archive):
    with tarfile.open(archive) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    missing = set(tracked()) - names
    assert not [name for name in missing if not name.startswith(".")], sorted(missing)


def test_the_wheel_holds_every_file_of_the_package(wheel):
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = {name.removeprefix("lib/") for name in tracked() if name.startswith("lib/")}
    assert files <= packed, sorted(files - packed)
    assert "camreader/_study/Snakefile" in packed


def test_the_installed_package_plans_the_whole_study_in_another_folder(study):
    folder, environment = study
    said = python("-m", "camreader", "report", "--", "-n", cwd=folder, **environment)
    for notebook in PARTS:
        assert f"reports/notebooks/{notebook}.ipynb" in said
    assert "lib/camreader" not in said and "site/camreader/report/template.html" in said


def test_make_works_there_with_the_installed_package(study):
    """What notebooks and documentation say, `make report`, holds in such a folder, too."""
    folder, environment = study
    bin_folder = Path(environment["PYTHONPATH"]) / "bin"
    path = f"{bin_folder}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["make", "-n", "report", "SEEDS=2"],
        cwd=folder,
        env=os.environ | environment | {"PATH": path, "CONDA_DEFAULT_ENV": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[:2] == [str(bin_folder / "camreader"), "report"]
    assert "pip" not in done.stdout and "--seeds 2" in done.stdout


@pytest.mark.long
def test_a_notebook_runs_there_and_does_not_run_again(study):
    """05 needs no other: the whole way from `camreader report` to a notebook's tables."""
    folder, environment = study
    target = "reports/notebooks/05_reader_results.ipynb"
    python("-m", "camreader", "report", "--cores", "1", "--", target, cwd=folder, **environment)
    assert sorted(path.name for path in (folder / "reports/notebooks").iterdir()) == [
        Path(target).name
    ]
    findings = json.loads((folder / "reports/tables/05_reader_results_findings.json").read_text())
    assert findings["sentences"]
    said = python("-m", "camreader", "report", "--", "-n", target, cwd=folder, **environment)
    assert "Nothing to be done" in said
