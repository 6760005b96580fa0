"""What the Snakefile and `make report` ask of the package: settings, refusals, one at a time."""

import argparse
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from places import ROOT

from camreader.common import configuration
from camreader.common.errors import DataError
from camreader.report import failures, workflow
from camreader.training import description, experiments

TRAINING_NOTEBOOKS = ("02_train", "03_evaluate", "06_region_subexperiment")


@pytest.mark.parametrize("notebook", TRAINING_NOTEBOOKS)
def test_a_training_job_has_the_settings_that_its_notebook_would_use(notebook):
    """Else the notebook would find another fingerprint and train again."""
    values = configuration.parameter_values(ROOT / "notebooks" / f"{notebook}.ipynb") | {
        "EPOCHS": 3
    }
    words = workflow.training_options(values).split()
    asked = dict(zip(words[::2], words[1::2], strict=True))
    assert asked["--epochs"] == "3" and asked["--architecture"] == values["ARCHITECTURE"]
    known = {field.name.upper() for field in fields(experiments.Settings)}
    known = {f"--{name.lower().replace('_', '-')}" for name in known | set(description.PARAMETERS)}
    assert set(asked) <= known and asked["--train"] == "train"
    code = "".join(
        "".join(cell["source"])
        for cell in json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text())["cells"]
    )
    used = re.findall(r"[(, ](\w+)=([A-Z_]+)[,)]", code)  # of the notebook's own Settings
    of_training = {value for name, value in used if f"--{name.replace('_', '-')}" in known}
    missing = {name for name in of_training if f"--{name.lower().replace('_', '-')}" not in asked}
    assert not missing, f"the notebook trains with {missing}, the job does not"


def test_a_description_of_a_network_reaches_the_training_job_whole():
    values = {"NETWORK": "my net.py:build", "OUTPUTS": ["a b", "c"], "CLASS": "c", "STD": [0.5]}
    parser = argparse.ArgumentParser()
    description.add_arguments(parser)
    options = parser.parse_args(shlex.split(workflow.training_options(values)))
    assert description.from_options(options) == description.from_parameters(values)


def test_a_network_that_does_not_fit_is_said_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "my_net.py").write_text("from torch import nn\ndef build(): return nn.Flatten(0)\n")
    config = {"parameters": {"02_train": {"NETWORK": f"{tmp_path}/my_net.py:build"}}}
    with pytest.raises(DataError, match="output for 4 image"):
        workflow.check_own(config)
    config = {"parameters": {"04_gradcam": {"METHODS": f"{tmp_path}/my_net.py:cam"}}}
    with pytest.raises(DataError, match="No such function"):
        workflow.check_own(config)
    workflow.check_own({"parameters": {"02_train": {"EPOCHS": 3}, "04_gradcam": None}})


def test_values_from_a_config_cannot_become_shell_commands():
    words = workflow.training_options({"ARCHITECTURE": "generic; touch /tmp/x", "EPOCHS": 2})
    assert words == "--architecture 'generic; touch /tmp/x' --epochs 2"


def test_every_run_of_the_study_is_known_to_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "camreader", "train", "--help"], capture_output=True, text=True
    )
    said = " ".join(done.stdout.split()).replace("- ", "-")
    assert all(name in said for name in experiments.PLANS)


def test_a_named_file_is_made_without_the_longest_way_through_the_study():
    """Snakemake makes what is prioritised, asked for or not."""
    options = Namespace(profile=None, cores="1")
    assert "--prioritize" in workflow.snakemake_command(options, "reports", ["-n"])
    named = ["reports/notebooks/05_reader_results.ipynb"]
    assert "--prioritize" not in workflow.snakemake_command(options, "reports", named)


def test_any_change_in_the_source_folder_is_seen(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "real")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    image = tmp_path / "real" / "a.png"
    image.write_bytes(b"one")
    states = [workflow.state_of(tmp_path / "in")]
    for change in (
        lambda: os.utime(image, ns=(1, 1)),
        lambda: image.write_bytes(b"another"),
        lambda: image.rename(tmp_path / "real" / "b.png"),
        lambda: (tmp_path / "in" / "lesion_truth.csv").write_text("x"),
        lambda: (tmp_path / "in" / "lesion_truth.csv").unlink(),
    ):
        change()
        states.append(workflow.state_of(tmp_path / "in"))
    assert len(set(states[:-1])) == 5 and states[-1] == states[-3]
    assert workflow.state_of("") == ""


def test_a_second_run_waits_and_says_so(tmp_path, capsys):
    path = tmp_path / "run.lock"
    script = (
        "import sys; from pathlib import Path; from camreader.report import workflow;"
        "handle = workflow.wait_for_turn(Path(sys.argv[1])); print('my turn')"
    )
    with open(path, "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        second = subprocess.Popen(
            [sys.executable, "-u", "-c", script, path], stdout=subprocess.PIPE, text=True
        )
        assert "waiting for it to end" in second.stdout.readline()
        assert second.poll() is None
    assert second.stdout.readline() == "my turn\n"
    second.wait()


def test_a_lock_dies_with_its_process(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from camreader.report import workflow;"
        "workflow.wait_for_turn(Path(sys.argv[1])); os.kill(os.getpid(), 9)"
    )
    path = tmp_path / "run.lock"
    assert subprocess.run([sys.executable, "-c", script, path]).returncode == -9
    workflow.wait_for_turn(path).release()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": "none"}, "No such folder"),
        ({"data": "empty"}, "The folder is empty"),
        ({"config": "broken.yaml"}, "line 2"),
        ({"config": "five.yaml"}, "five.yaml: 02_train: EPOCHS: a whole number is expected"),
        ({"seeds": 0}, "seeds: at least one value"),
        ({"seeds": -1}, "seeds: at least one value"),
    ],
)
def test_what_cannot_run_is_refused_before_snakemake_starts(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    (tmp_path / "config.yaml").symlink_to(ROOT / "config.yaml")
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    (tmp_path / "empty" / ".DS_Store").touch()
    (tmp_path / "broken.yaml").write_text("seeds: [0\nparameters: {}}\n")
    (tmp_path / "five.yaml").write_text("parameters:\n  02_train: {EPOCHS: five}\n")
    monkeypatch.setattr(workflow, "run_to_its_end", lambda *_: pytest.fail("Snakemake started"))
    given = {
        "data": None,
        "seeds": None,
        "cores": "1",
        "profile": None,
        "config": None,
        "extra": [],
    }
    with pytest.raises(DataError) as raised:
        workflow.run(Namespace(**given | change))
    assert words in str(raised.value)
    assert not (tmp_path / ".snakemake").exists()


def test_kernels_draw_into_their_notebooks(monkeypatch):
    """A backend that a shell chose would leave every executed notebook without a figure."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    options = Namespace(profile=None, extra=[])
    assert "MPLBACKEND" not in workflow.environment_of(options)


def test_the_closing_words_name_what_to_mend(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = {"reports": "reports"}
    assert "no job says why" in workflow.closing_words(config, 1, False)[0]
    failures.keep({"02_train": ["code cell 3, line 1: x", "DataError: Gone"]})
    words = "\n".join(workflow.closing_words(config, 1, False))
    assert "run it again after mending:\n  02_train: code cell 3" in words
    assert "    DataError: Gone" in words and "reports/logs/" in words
    assert workflow.closing_words(config, 1, True)[0].startswith("Stopped.")
    assert workflow.closing_words(config, 0, False) == []
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "index.html").touch()
    assert workflow.closing_words(config, 0, False)[0].startswith("The report: file://")


def test_values_reach_the_notebook_as_they_are_in_any_locale():
    """Papermill reads them with PyYAML; JSON's two halves of an emoji would stay halves."""
    values = {"SOURCE": "in/tumor\U0001f600 {v2} 肺 'a\" \\ud83d", "SEEDS": [0], "X": {"ä": 1.5}}
    text = workflow.as_yaml(values)
    assert text.isascii() and yaml.safe_load(text) == values


def test_a_folder_whose_path_is_no_utf8_is_refused_in_words(tmp_path):
    folder = os.fsencode(tmp_path) + b"/M\xfcller"
    os.mkdir(folder)
    with pytest.raises(DataError, match=r"not UTF-8.*M.xfcller.*renamed"):
        workflow.check_source(os.fsdecode(folder))
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".DS_Store").write_bytes(b"x")
    with pytest.raises(DataError, match=r"empty.*nothing but 1 hidden or system file"):
        workflow.check_source(str(tmp_path / "hidden"))
    if os.name == "posix":
        with pytest.raises(DataError, match="/mnt/d/"):
            workflow.check_source("D:\\study\\slices")


def test_the_environments_own_kernel_runs_the_notebooks(tmp_path, monkeypatch):
    """JUPYTER_PATH of a hub names a `python3` of another Python; so may the user's folder."""
    for place in (tmp_path / "hub", tmp_path / "data"):
        spec = place / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text('{"argv": ["/nowhere/python"], "display_name": "x", "language": "python"}')
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "hub"))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    environment = workflow.environment_of(Namespace(profile=None, extra=[]))
    code = "from jupyter_client.kernelspec import get_kernel_spec as g; print(g('python3').argv[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout and "/nowhere" not in done.stdout


def test_a_home_that_cannot_be_written_is_replaced_inside_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert workflow.places_to_write({"HOME": str(tmp_path)}) == {}
    found = workflow.places_to_write({"HOME": str(tmp_path / "gone"), "IPYTHONDIR": "mine"})
    assert Path(found["XDG_CACHE_HOME"]).is_dir() and "IPYTHONDIR" not in found
    assert all(Path(place).is_relative_to(tmp_path / ".snakemake") for place in found.values())
