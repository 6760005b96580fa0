"""The doors of a run: parameters checked first, the right things repeated, one run at a time."""

import fcntl
import json
import os
import subprocess
import sys

import pytest
import yaml
from places import ROOT
from slices_fixture import slice_hu, write_png
from study_run import QUICK, copy_checkout, run

from camreader.common import configuration
from camreader.report import workflow


def write_notebook(folder, source, name="01_x"):
    cells = [
        {
            "cell_type": "code",
            "metadata": {"tags": ["parameters"]},
            "source": "A = 1  # one\nB = 2",
        },
        {"cell_type": "code", "metadata": {}, "source": source},
    ]
    path = folder / f"{name}.ipynb"
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4}))
    return path


def test_parameter_names_are_read_without_running_the_notebook(tmp_path):
    notebook = write_notebook(tmp_path, "raise SystemExit('never run')")
    assert configuration.parameter_names(notebook) == ["A", "B"]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"01_x": {"C": 1}}, "no parameter 'C'; it has A, B"),
        ({"01_y": {}}, "01_y: no such notebook"),
    ],
)
def test_misspelt_names_stop_the_run(tmp_path, parameters, words):
    write_notebook(tmp_path, "")
    with pytest.raises(SystemExit, match=words):
        workflow.check_parameters({"parameters": parameters}, tmp_path)


def test_correct_names_pass(tmp_path):
    write_notebook(tmp_path, "")
    workflow.check_parameters({"parameters": {"01_x": {"A": 3, "B": 4}}}, tmp_path)


def test_config_names_only_what_the_notebooks_have():
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    workflow.check_parameters(config, ROOT / "notebooks")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"source": "", "cohort": ""}, "phantom"),
        ({"source": "some/where/mine", "cohort": ""}, "mine"),
        ({"source": "some/where/mine", "cohort": "ours"}, "ours"),
    ],
)
def test_cohort_name(config, name):
    assert configuration.cohort_name(config) == name


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


def test_an_image_replaced_repeats_the_study_and_names_may_hold_spaces(tmp_path):
    checkout, source = tmp_path / "my check out", tmp_path / "my slices"
    checkout.mkdir()
    copy_checkout(checkout)
    (checkout / "config.yaml").write_text(yaml.safe_dump(QUICK))
    for index in range(16):
        kind = "tumor" if index % 2 else "no tumor"
        write_png(source / kind / f"{index}.png", slice_hu(index))
    targets = ["data/runs/my slices/paper-first-seed0/trained"]
    status, words = run(checkout, "--data", str(source), "--", *targets)
    assert status == 0, words[-3000:]
    status, words = run(checkout, "--data", str(source), "--", "-n", *targets)
    assert status == 0 and "Nothing to be done" in words
    image = source / "tumor" / "1.png"
    before = image.stat()
    write_png(image, slice_hu(1) + 1)
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))  # older than the cohort
    status, words = run(checkout, "--data", str(source), "--", "-n", *targets)
    assert status == 0 and "rule ingest:" in words and "rule training:" in words


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


def test_a_missing_source_folder_is_named():
    command = [sys.executable, "-m", "camreader", "report", "--data", "no/such/folder"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and "No such folder (file: no/such/folder" in done.stderr
