"""Every command of README, CONTRIBUTING and docs/ is run, or run as far as a test may.

A command that would install five gigabytes, train for minutes or wait for a person is asked what
it would do (`make -n`), and what it would start is asked for its help. A command that nobody has
told this file how to try fails the test, so that none is forgotten.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands():
    """(page, command) of every line in a sh code block, comments taken off, once each."""
    found = {}
    for page in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in block.replace("\\\n", " ").splitlines():
                if command := line.split(" #")[0].strip().removeprefix("$ "):
                    found.setdefault(command, page.name)
    return [pytest.param(command, id=f"{page}: {command}") for command, page in found.items()]


def shell(command):
    """(exit status, everything said) of a command in the checkout, after a set-up environment.

    make is told that the environment of these tests is the project's, and installed.
    """
    prefix = Path(sys.prefix)
    environment = {**os.environ, "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("CONDA_DEFAULT_ENV", None)
    if command.startswith("make "):
        settled = shlex.join(["-o", str(prefix / ".camreader-installed"), f"VENV={prefix}"])
        command = command.replace("make ", f"make {settled} ", 1)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, shell=True, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def planned(command):
    """Lines that `make ...` would run, without running them."""
    status, words = shell(f"{command} -n")
    assert status == 0, words
    return [line.strip() for line in words.replace("\\\n", " ").splitlines() if line.strip()]


def asked_for_help(command, _folder):
    """A make target: what it would start is asked for its help, and knows every option given."""
    lines = planned(command)
    words = shlex.split(lines[-1].split("&&")[-1])
    status, help_text = shell(shlex.join([*program_words(words), "--help"]))
    assert status == 0, help_text
    for option in [w.split("=")[0] for w in words if re.match(r"--\w", w)]:
        of_the_lab = option.startswith(("--ServerApp", "--LabApp"))
        assert of_the_lab or option in help_text, (option, command)


def program_words(words):
    """The part of a command that names the program: camreader and its verbs, a file, or a tool."""
    if Path(words[0]).name == "camreader":
        return words[: 3 if words[2:3] and words[2].isalpha() else 2]
    return words[: 2 if words[0].endswith("python") else 1]


def run_dry(command, folder):
    """make report: Snakemake itself plans the whole study, from a folder that is given."""
    match = re.search(r"DATA=(\S+)", command)
    (folder / "DL_info.csv").touch()
    command = command.replace(match[1], str(folder)) if match else command
    status, words = shell(f"{command} ARGS=-n")
    assert status == 0, words[-3000:]
    assert "Building DAG" in words or "Nothing to be done" in words, words[-3000:]


def environment_is_described(command, _folder):
    """conda itself is not at hand: its file must name a Python, pip and the same pins."""
    described = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert described["name"] == "camreader"
    assert any(str(d).startswith("python=3.11") for d in described["dependencies"])
    pip = next(d["pip"] for d in described["dependencies"] if isinstance(d, dict))
    assert "-r requirements.txt" in pip


def set_up(command, folder):
    """make env: with nothing installed it would make an environment and install the pins."""
    status, words = shell(f"{command} -n VENV={shlex.quote(str(folder / 'none'))}")
    assert status == 0 and "-m venv" in words and "-r requirements.txt" in words
    for name, value in re.findall(r"(\w+)=(\S+)", command):
        assert name == "TORCH_INDEX" and f"--index-url {value}" in words


def lint_and_tests(command, _folder):
    """make test, lint: ruff and pytest would run; the tests named are there."""
    lines = " ".join(planned(command))
    assert "ruff check" in lines
    for path in re.findall(r"ARGS=(tests/\S+)", command):
        assert (ROOT / path).exists()


def python_parses(command, _folder):
    """python -c: the code is Python."""
    ast.parse(shlex.split(command)[2])


def camreader_knows(command, _folder):
    """camreader: the program knows the command and each of its options."""
    words = shlex.split(command)
    status, help_text = shell(shlex.join([*program_words(words), "--help"]))
    assert status == 0, help_text
    for option in [word for word in words if word.startswith("--")]:
        assert option.split("=")[0] in help_text, option


def really_run(command, _folder):
    status, words = shell(command)
    assert status == 0, words


def names_are_known(command, _folder):
    """export: every variable is one that the package asks the environment for."""
    code = (ROOT / "lib/camreader/cohorts/pacs.py").read_text()
    for name in re.findall(r"(\w+)=", command):
        assert name in code, name


def clone(command, folder):
    """git clone: this checkout's last commit is cloned instead, and holds what README names."""
    name = command.rsplit("/", 1)[1].removesuffix(".git")
    status, words = shell(shlex.join(["git", "clone", "-q", str(ROOT), str(folder / name)]))
    assert status == 0, words
    assert (folder / name / "Makefile").exists()


def wheel_of_this_version(command, _folder):
    """pip install ...whl: named as a build names it; tests/release builds and installs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"dist/camreader-{project['version']}-py3-none-any.whl" in command
    for path in re.findall(r"-c (\S+)", command):
        assert (ROOT / path).exists()


# The first pattern that fits says how a command is tried.
WAYS = [
    (r"make report\b", run_dry),
    (r"make env\b", set_up),
    (r"make (test|lint)\b", lint_and_tests),
    (r"make (lab|read|paper|gallery|bench|deeplesion)\b", asked_for_help),
    (r"make help$", really_run),
    (r"make (dist|docs)$", lambda command, _folder: planned(command)),
    (r"pip install .*\.whl$", wheel_of_this_version),
    (r"conda ", environment_is_described),
    (r"python(3|3\.11)? -c", python_parses),
    (r"camreader ", camreader_knows),
    (r"git clone \S+$", clone),
    (r"export CAMREADER_", names_are_known),
    (r"cd camreader$", lambda _command, folder: clone("git clone x/camreader", folder)),
]


@pytest.mark.parametrize("command", commands())
def test_command(command, tmp_path):
    way = next((way for pattern, way in WAYS if re.match(pattern, command)), None)
    assert way, f"tell tests/test_readme.py how to try: {command}"
    way(command, tmp_path)


def test_every_picture_and_page_that_is_linked_is_there():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_file_named_in_the_readme_is_there():
    for name in re.findall(r"`((?:docs|notebooks|tests|lib|data)/[\w./-]+)`", PAGES[0].read_text()):
        assert (ROOT / name).exists() or name.startswith("data/"), name


def test_every_function_that_the_map_names_is_there():
    """`room.module.function` in docs/architecture.md, looked up in the source."""
    package, found = ROOT / "lib" / "camreader", 0
    rooms = {path.parent.name for path in package.glob("*/__init__.py")}
    page = (ROOT / "docs" / "architecture.md").read_text()
    for name in re.findall(r"`(\w+(?:\.\w+)+)`", page):
        room, *rest = name.split(".")
        if room not in rooms:
            continue
        found += 1
        path = package / room
        while rest and ((path / rest[0]).is_dir() or (path / f"{rest[0]}.py").exists()):
            path = path / rest.pop(0)
        if not rest:
            continue
        scope = ast.parse(path.with_suffix(".py").read_text()).body
        for part in rest:
            nodes = [node for node in scope if getattr(node, "name", "") == part]
            assert nodes, f"docs/architecture.md: {name} is not there"
            scope = nodes[0].body
    assert found > 30


def test_the_map_names_every_room():
    page = (ROOT / "docs" / "architecture.md").read_text()
    for path in (ROOT / "lib" / "camreader").glob("*/__init__.py"):
        assert f"`{path.parent.name}`" in page, path.parent.name
