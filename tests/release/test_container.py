"""Dockerfile, devcontainer and pre-commit: each step is one that Debian or this project can do.

No image can be pulled here, so nothing is built: packages are looked up where apt would, make is
asked what it would run, the shell whether it can read the lines.
"""

import fnmatch
import json
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
import yaml
from places import ROOT

INSTRUCTION = re.compile(r"^([A-Z]+) +((?:.*\\\n)*.*)$", re.M)
STEPS = [
    (name, words.replace("\\\n", " "))
    for name, words in INSTRUCTION.findall(
        re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.M)
    )
]
RUNS = [words for name, words in STEPS if name == "RUN"]


def of(name):
    return [words for step, words in STEPS if step == name]


def planned(target):
    """Assert that make knows a target, and what it would run for it."""
    done = subprocess.run(
        ["make", "-n", "CONDA_DEFAULT_ENV=", "VENV=/nowhere", *target],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def ignored(name):
    """Whether .dockerignore keeps a file out: the last line that fits it or a parent decides."""
    out, path = False, PurePosixPath(name)
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.lstrip("!").removeprefix("**/")
        if line and not line.startswith("#"):
            tried = [path, *path.parents] if "/" in pattern or "**" not in line else []
            names = path.parts if line.startswith("**/") else ()
            if any(fnmatch.fnmatchcase(str(p), pattern) for p in (*tried, *names)):
                out = not line.startswith("!")
    return out


def test_the_images_come_without_a_registry_host_and_the_last_runs_without_root():
    assert of("FROM") == ["debian:bookworm-slim AS base", "base"]
    assert of("USER")[-1] != "root"
    assert any(f"useradd --create-home --shell /bin/bash {of('USER')[-1]}" in r for r in RUNS)


@pytest.mark.parametrize("run", RUNS)
def test_the_shell_can_read_a_step(run):
    subprocess.run(["sh", "-n", "-c", run], check=True)


def test_debian_has_every_package_and_its_python_is_ours():
    packages = shlex.split(re.search(r"--no-install-recommends(.*?)&&", " ".join(RUNS))[1])
    if not shutil.which("apt-cache"):
        pytest.skip("not a Debian")
    known = {
        name: subprocess.run(
            ["apt-cache", "show", "--no-all-versions", name], capture_output=True, text=True
        ).stdout
        for name in packages
    }
    release = platform.freedesktop_os_release()
    if release.get("VERSION_CODENAME") != "bookworm" or not any(known.values()):
        pytest.skip("not a bookworm, or `apt-get update` has not run")
    assert all(known.values()), [name for name, said in known.items() if not said]
    assert re.search(r"^Version: 3\.11\.", known["python3"], re.M)
    assert {"git", "make", "python3", "python3-venv"} <= set(packages)  # the README's list


def test_every_make_target_of_the_steps_is_there():
    run = next(run for run in RUNS if run.startswith("make "))
    target = shlex.split(run.replace("$TORCH_INDEX", "https://index"))[1:]
    assert "--index-url https://index" in planned(target)
    assert "--index-url" not in planned(["env", "TORCH_INDEX="])
    command = json.loads(of("CMD")[0])
    assert command[0] == "make" and "camreader report" in planned(command[1:])


def test_the_lab_listens_to_the_containers_door_and_nowhere_else_outside():
    values = dict(word.split("=") for word in of("ENV")[0].split())
    assert "--ServerApp.ip=0.0.0.0" in planned(["lab", f"LAB_IP={values['LAB_IP']}"])
    assert "--ServerApp.ip=127.0.0.1" in planned(["lab"])


def test_what_is_copied_is_the_checkout_without_what_was_made_in_it():
    assert of("COPY")[-1].split()[-2:] == [".", "."]
    said = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    tracked = [name for name in said.stdout.splitlines() if not name.startswith(".")]
    assert not [name for name in tracked if ignored(name)]
    made = ("data/runs/x", "reports/index.html", ".venv/bin/python", "lib/camreader/__pycache__/a")
    assert all(ignored(name) for name in made)


def test_the_development_container_is_the_same_image_before_the_study():
    described = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    build = described["build"]
    assert (ROOT / ".devcontainer" / build["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert f"debian:bookworm-slim AS {build['target']}" in of("FROM")
    assert described["remoteUser"] == of("USER")[-1]
    assert "-m venv" in planned(shlex.split(described["postCreateCommand"])[1:])


def test_pre_commit_runs_the_checks_of_make_lint_and_fetches_nothing():
    subprocess.run([sys.executable, "-m", "pre_commit", "validate-config"], cwd=ROOT, check=True)
    repositories = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    (hook,) = repositories[0]["hooks"]
    assert hook["language"] == "system" and hook["pass_filenames"] is False
    plan = planned(shlex.split(hook["entry"])[1:])
    assert all(tool in plan for tool in ("ruff check", "ruff format", "lint-imports", "mypy"))
    for name in ("lib/camreader/__main__.py", "notebooks/01_ingest.ipynb", "Snakefile"):
        assert re.search(hook["files"], name)
    assert not re.search(hook["files"], "README.md")
