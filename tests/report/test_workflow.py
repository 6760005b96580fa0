"""What the Snakefile and `make report` ask of the package: settings, last words, write access."""

import os
import subprocess
import sys
import time
from dataclasses import fields

import pytest
from places import ROOT

from camreader.common import configuration
from camreader.report import repair, workflow
from camreader.training import experiments

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
    known = {f"--{field.name.replace('_', '-')}" for field in fields(experiments.Settings)}
    assert set(asked) <= known


def test_values_from_a_config_cannot_become_shell_commands():
    words = workflow.training_options({"ARCHITECTURE": "generic; touch /tmp/x", "EPOCHS": 2})
    assert words == "--architecture 'generic; touch /tmp/x' --epochs 2"


def test_every_run_of_the_study_is_known_to_the_command_line():
    done = subprocess.run(
        [sys.executable, "-m", "camreader", "train", "--help"], capture_output=True, text=True
    )
    said = " ".join(done.stdout.split()).replace("- ", "-")
    assert all(name in said for name in experiments.PLANS)


def test_the_last_error_of_every_new_log_is_told(tmp_path):
    old, new, fine = (tmp_path / "a" / f"{name}.log" for name in ("old", "new", "fine"))
    new.parent.mkdir()
    old.write_text("ValueError: long ago\n")
    since = time.time() + 1
    last = "camreader.common.errors.DataError: Slice not found (file: a.png)"
    new.write_text(f"KeyError: 'x'\n\n{last}\n")
    fine.write_text("all well\n")
    for path in (new, fine):
        os.utime(path, (since + 1, since + 1))
    assert workflow.last_words(tmp_path, since) == [(new, last)]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "reports").write_text("a file, not a folder")
    with pytest.raises(SystemExit, match=r"reports: cannot be written .*; nothing was run"):
        repair.check_writable([tmp_path, tmp_path / "reports"])
