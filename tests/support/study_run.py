"""A copy of the checkout with quick parameters, and runs of `make report` on it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import yaml
from places import ROOT

from camreader.report import catalogue

QUICK = yaml.safe_load((ROOT / "tests" / "quick.yaml").read_text())
MEASURED = ["seconds"]  # the column that a clock fills


def start(checkout, *options):
    """Start a run in its own process group, so that a test can kill all of it."""
    command = [sys.executable, "-m", "camreader", "report", "--cores", "2", *options]
    return subprocess.Popen(
        command,
        cwd=checkout,
        env=checkout_environment(checkout),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        preexec_fn=listen_to_ctrl_c,
    )


def listen_to_ctrl_c():
    """A shell starts its background jobs deaf to Ctrl-C, and so would be what the tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(checkout, *options):
    """A whole run: (exit status, what it said)."""
    process = start(checkout, *options)
    words, _ = process.communicate(timeout=1800)  # other tests run beside it
    return process.returncode, words


def wait_for(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)


def killed_run(folder):
    """Copy the checkout into `folder` with quick parameters; kill its first run in mid-training."""
    copy_checkout(folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(QUICK))
    process = start(folder)
    runs = folder / "data" / "runs" / "phantom"
    wait_for(lambda: list(runs.glob("paper-*/*")) or process.poll() is not None)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (folder / "reports" / "notebooks" / "02_train.ipynb").exists()
    return folder


def finished_run(folder):
    """The checkout in `folder` after the run that followed the kill."""
    status, words = run(killed_run(folder))
    assert status == 0, words[-4000:]
    assert "The report: file://" in words
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


def same_tables(one, other, notebooks=None):
    """Assert that two checkouts hold the same tables, but for what a clock measured.

    notebooks: those whose tables are compared; without, all tables must be in both.
    """
    tables = sorted(path.name for path in (one / "reports" / "tables").glob("*.csv"))
    if notebooks:
        tables = [f"{name}.csv" for part in notebooks for name in catalogue.PARTS[part].tables]
    else:
        assert tables == sorted(path.name for path in (other / "reports" / "tables").glob("*.csv"))
    for name in tables:
        first, second = (pd.read_csv(c / "reports" / "tables" / name) for c in (one, other))
        pd.testing.assert_frame_equal(
            first.drop(columns=MEASURED, errors="ignore"),
            second.drop(columns=MEASURED, errors="ignore"),
            check_exact=True,
            obj=name,
        )
