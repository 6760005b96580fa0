"""Things broken on purpose, at every stage: each ends in clear words, or in the same tables.

Every fault starts from a finished study on a tiny phantom and breaks a copy of it. The tables after
the repair are held against those of the finished study, which is the undisturbed run here.
"""

import fcntl
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from places import ROOT
from study_run import run, same_tables, start, wait_for

from camreader.common import storage
from camreader.common.errors import DataError
from camreader.common.study import Study
from camreader.report import repair
from camreader.training import runs

ROOT_USER = os.geteuid() == 0
needs_mount = pytest.mark.skipif(not ROOT_USER, reason="only root can mount a small or full disk")
COHORT = "data/cohorts/phantom"
RUN = "data/runs/phantom/sound-final-seed0"
READER_RESULTS = "reports/notebooks/05_reader_results.ipynb"


def cut(path):
    """Keep the first half of a file, as a crash in mid-write on a careless disk would."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def touch_notebook(checkout, name):
    """Edit a notebook, so that the next run has it to do."""
    path = checkout / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_markdown_cell("An edit."))
    nbformat.write(notebook, path)


@pytest.fixture
def disk(finished_copy, request):
    """mount(folder, options): another file system over a folder of the copy, gone afterwards."""
    mounted = []

    def mount(folder, *options):
        where = finished_copy / folder
        subprocess.run(["mount", *options, where], check=True)
        mounted.append(where)
        return where

    yield mount
    for where in reversed(mounted):
        subprocess.run(["umount", "-l", where], check=True)


# Damaged files


@pytest.mark.parametrize(
    "name",
    [
        f"{COHORT}/cohort.parquet",
        f"{COHORT}/cohort.json",
        f"{COHORT}/pixels.npy",
        "data/runs/phantom/predictions.parquet",
        f"{RUN}/predictions.parquet",
        f"{RUN}/history.parquet",
        f"{RUN}/model.safetensors",
        f"{RUN}/model.json",
    ],
)
@pytest.mark.parametrize("how", ["cut", "empty", "garbage"])
def test_every_damaged_intermediate_file_is_recognised(finished, tmp_path, name, how):
    copy = shutil.copy(finished / name, tmp_path)
    path = tmp_path / os.path.basename(copy)
    assert repair.damage(path) == ""
    if how == "cut":
        cut(path)
    else:
        path.write_bytes(b"" if how == "empty" else random.Random(0).randbytes(5000))
    assert repair.damage(path) != ""


def test_only_what_the_study_made_is_removed(finished_copy):
    source = finished_copy / COHORT / "source" / "DL_info.csv"
    cut(source)
    reading = finished_copy / "data" / "readings" / "phantom" / "mine.parquet"
    reading.parent.mkdir(parents=True, exist_ok=True)
    reading.write_bytes(b"not a table")
    cut(finished_copy / RUN / "history.parquet")
    removed = repair.remove_damaged(finished_copy / "data", "phantom")
    assert [path.name for path, _why in removed] == ["history.parquet"]
    assert source.exists() and reading.exists()
    assert not (finished_copy / RUN / "model.json").exists()


def test_damaged_pixels_and_weights_are_made_again_to_the_same_bytes(finished, finished_copy):
    for name in (f"{COHORT}/pixels.npy", f"{RUN}/model.safetensors", f"{RUN}/history.parquet"):
        cut(finished_copy / name)
    (finished_copy / RUN / "checkpoint.safetensors").write_bytes(b"\x10" + bytes(7) + b"{}" * 8)
    status, words = run(finished_copy, "--", f"{RUN}/trained")
    assert status == 0, words[-3000:]
    for name in (f"{COHORT}/pixels.npy", f"{RUN}/model.safetensors"):
        assert f"{os.path.basename(name)} is damaged and is made again" in words
        assert (finished_copy / name).read_bytes() == (finished / name).read_bytes()
    same_frames(finished / RUN, finished_copy / RUN)


def same_frames(one, other):
    """Assert that two runs' folders hold the same history and predictions."""
    for name in ("history.parquet", "predictions.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(one / name), pd.read_parquet(other / name))


@pytest.mark.long
def test_lost_slices_of_the_phantom_and_damaged_heat_maps_are_made_again(finished, finished_copy):
    source = finished_copy / COHORT / "source"
    image, mask = (
        sorted((source / kind).rglob("*.png"))[3] for kind in ("Images_png", "Masks_png")
    )
    image.unlink()
    cut(mask)
    maps = finished_copy / "data" / "runs" / "phantom" / "heatmaps" / "gradcam.npy"
    cut(maps)
    targets = [f"{COHORT}/cohort.parquet", "reports/notebooks/04_gradcam.ipynb"]
    status, words = run(finished_copy, "--", *targets)
    assert status == 0, words[-3000:]
    assert f"{image.name} is damaged" in words and "as are 1 more slices" in words
    for path in (image, mask, maps):
        assert path.read_bytes() == (finished / path.relative_to(finished_copy)).read_bytes()


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        (f"{COHORT}/pixels.npy", "ingest"),
        (f"{RUN}/trained", "training"),
        ("data/runs/phantom/predictions.parquet", "train"),
        ("reports/tables/06_regions.csv", "region_subexperiment"),
        ("reports/figures/figure2_gradcam_steps.png", "gradcam"),
    ],
)
def test_what_is_gone_is_made_again_though_the_report_stands(finished_copy, name, rule):
    (finished_copy / name).unlink()
    status, words = run(finished_copy, "--", "-n")
    assert status == 0, words
    assert re.search(rf"^ *{rule} .*1$|rule {rule}:", words, re.M), words


def test_a_notebook_opened_alone_names_the_damaged_file(finished_copy):
    study = Study(str(finished_copy / "data"), "phantom")
    for path, read in (
        (study.cohort_table, storage.read_table),
        (study.runs / "predictions.parquet", storage.read_table),
        (finished_copy / RUN / "model.safetensors", lambda path: runs.load_model(path.parent)),
    ):
        cut(path)
        with pytest.raises(DataError, match=path.name):
            read(path)


def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path):
    tensors = {"a": torch.arange(12.0).reshape(3, 4), "steps": torch.tensor(7)}
    runs.save_checkpoint(tmp_path, tensors, {"fingerprint": "mark", "epoch": 3})
    path = tmp_path / "checkpoint.safetensors"
    whole = path.read_bytes()
    loaded, facts = runs.load_checkpoint(tmp_path, "mark")
    assert facts["epoch"] == 3 and all(loaded[name].equal(tensors[name]) for name in tensors)
    assert runs.load_checkpoint(tmp_path, "other") == (None, None)

    flipped = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
    empty = b"\x10" + bytes(7) + b"{}" + b" " * 14
    for content in (b"", bytes(100), b"\xff" * 100, whole[:200], whole[:-1], flipped, empty):
        path.write_bytes(content)
        assert runs.load_checkpoint(tmp_path, "mark") == (None, None)


# Disks


@needs_mount
def test_a_full_disk_keeps_the_old_table_and_leaves_no_scraps(tmp_path):
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", tmp_path], check=True)
    try:
        small, large = pd.DataFrame({"a": [1]}), pd.DataFrame({"a": np.random.rand(200_000)})
        for name in ("t.parquet", "t.csv"):
            storage.write_table(small, tmp_path / name)
            with pytest.raises(OSError, match="No space left"):
                storage.write_table(large, tmp_path / name)
            assert storage.read_table(tmp_path / name).equals(small)
        assert sorted(p.name for p in tmp_path.iterdir()) == ["t.csv", "t.parquet"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


@needs_mount
def test_a_training_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    finished, finished_copy, disk
):
    where = finished_copy / RUN
    shutil.rmtree(where)
    where.mkdir()
    disk(RUN, "-t", "tmpfs", "-o", "size=100k", "tmpfs")
    status, words = run(finished_copy, "--", f"{RUN}/trained")
    assert status != 0
    assert "No space left on device" in words.split("Not finished.")[1]
    assert not [path for path in where.rglob("*") if ".tmp" in path.name]
    subprocess.run(["mount", "-o", "remount,size=50m", where], check=True)
    status, words = run(finished_copy, "--", f"{RUN}/trained")
    assert status == 0, words[-3000:]
    same_frames(finished / RUN, where)


@needs_mount
def test_reports_that_cannot_be_written_are_named_before_anything_runs(finished_copy, disk):
    reports = finished_copy / "reports"
    disk("reports", "--bind", reports)
    subprocess.run(["mount", "-o", "remount,bind,ro", reports], check=True)
    touch_notebook(finished_copy, "05_reader_results")
    status, words = run(finished_copy)
    assert status == 1
    assert words.strip() == "reports: cannot be written (Read-only file system); nothing was run"


# Clocks


def test_files_from_the_future_and_from_the_past_change_no_table(finished, finished_copy):
    """A clock that jumped: a notebook dated tomorrow, a table dated 1980."""
    tomorrow, long_ago = time.time() + 86400, 315532800
    os.utime(finished_copy / "notebooks" / "05_reader_results.ipynb", (tomorrow, tomorrow))
    table = finished_copy / "reports" / "tables" / "06_regions.csv"
    os.utime(table, (long_ago, long_ago))
    region = "reports/notebooks/06_region_subexperiment.ipynb"
    status, words = run(finished_copy, "--", READER_RESULTS, region)
    assert status == 0, words[-3000:]
    same_tables(finished, finished_copy)
    assert table.stat().st_mtime > long_ago


# Kills, and two at once


@pytest.mark.long
def test_killed_at_random_moments_it_ends_with_the_same_tables(finished, finished_copy):
    """The paper's three networks and 05 are gone; three runs are killed, the fourth left alone."""
    runs_of = [f"data/runs/phantom/paper-{run}-seed0" for run in ("first", "second", "final")]
    for folder in runs_of:
        shutil.rmtree(finished_copy / folder)
    (finished_copy / READER_RESULTS).unlink()
    targets = [*(f"{folder}/trained" for folder in runs_of), READER_RESULTS]
    moments = random.Random(20221112)
    for _ in range(3):
        process = start(finished_copy, "--", *targets)
        time.sleep(moments.uniform(2, 9))
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        for path in (finished_copy / "reports" / "tables").glob("*.csv"):
            pd.read_csv(path)  # whole, if there at all
    status, words = run(finished_copy, "--", *targets)
    assert status == 0, words[-3000:]
    for folder in runs_of:
        same_frames(finished / folder, finished_copy / folder)
        assert not list((finished_copy / folder).glob("*.tmp*"))
    same_tables(finished, finished_copy, ["05_reader_results"])


def test_a_run_stopped_by_ctrl_c_says_so_and_goes_on(finished, finished_copy):
    folder = finished_copy / "data/runs/phantom/paper-first-seed0"
    shutil.rmtree(folder)
    log = finished_copy / "reports/logs/training/paper-first-seed0.log"
    log.unlink()
    target = f"{folder.relative_to(finished_copy)}/trained"
    process = start(finished_copy, "--", target)
    wait_for(lambda: log.exists() or process.poll() is not None)  # the training has begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to everything that runs in it
    words, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert words.endswith("Stopped. What is done is kept; the same command goes on from here.\n")
    assert "Traceback" not in words and not (folder / "trained").exists()
    status, words = run(finished_copy, "--", target)
    assert status == 0, words[-3000:]
    same_frames(finished / "data/runs/phantom/paper-first-seed0", folder)


def test_of_two_runs_the_second_waits_and_finds_nothing_to_do(finished, finished_copy):
    touch_notebook(finished_copy, "05_reader_results")
    first = start(finished_copy, "--", READER_RESULTS)
    lock = finished_copy / ".snakemake" / "camreader.lock"
    wait_for(lambda: is_locked(lock))
    second = start(finished_copy, "--", READER_RESULTS)
    second_words, _ = second.communicate(timeout=300)
    first_words, _ = first.communicate(timeout=300)
    assert first.returncode == 0, first_words[-3000:]
    assert second.returncode == 0, second_words[-3000:]
    assert "Another `make report` is running here; waiting" in second_words
    assert "Nothing to be done" in second_words
    same_tables(finished, finished_copy)


def is_locked(path):
    with open(path, "a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


# An interrupted set-up of the environment

FAKE_PYTHON = """#!{python}
# Stands for Python 3.11: makes an environment and installs nothing, slowly.
import os, pathlib, sys, time
if sys.argv[1] == "-c":
    sys.version_info = (3, int(os.environ.get("MINOR", 11)))
    code = sys.argv[2]
    sys.argv = ["-c", *sys.argv[3:]]
    exec(code)
elif sys.argv[1:3] == ["-m", "venv"]:
    target = pathlib.Path(sys.argv[3]) / "bin" / "python"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(pathlib.Path(__file__).read_text())
    target.chmod(0o755)
elif sys.argv[1:3] == ["-m", "pip"]:
    print("pip", *sys.argv[3:], file=open("pip.log", "a"), flush=True)
    time.sleep(float(os.environ.get("SLOW", 0)))
    for number in range(60):
        print("Collecting package", number, flush=True)
    print("Installing collected packages: all of them")
    if "BROKEN" in os.environ:
        sys.exit("ERROR: No matching distribution found for torch==2.15.0")
"""


@pytest.fixture
def fresh(tmp_path):
    """A clone without an environment, and a Python that installs in no time."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python3.11"
    python.write_text(FAKE_PYTHON.format(python=sys.executable))
    python.chmod(0o755)
    return tmp_path


def make(folder, *words, wait=True, **variables):
    environment = {k: v for k, v in os.environ.items() if k != "CONDA_DEFAULT_ENV"} | variables
    process = subprocess.Popen(
        ["make", f"BASE_PYTHON={folder / 'python3.11'}", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    if not wait:
        return process
    words, _ = process.communicate(timeout=60)
    return process.returncode, words


def test_an_interrupted_set_up_is_taken_up_by_the_next_call(fresh):
    stamp = fresh / ".venv" / ".camreader-installed"
    process = make(fresh, "env", wait=False, SLOW="60")
    wait_for(lambda: (fresh / ".venv" / "bin" / "python").exists())
    assert "Installing the pinned packages" in process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not stamp.exists()
    status, words = make(fresh, "env")
    assert status == 0 and stamp.exists()
    asked = (fresh / "pip.log").read_text()
    assert "-r requirements.txt" in asked and "-e ." in asked
    status, words = make(fresh, "env")
    assert status == 0 and "pip" not in words and "packages" not in words


def test_a_set_up_says_how_far_it_is_and_what_stopped_it(fresh):
    pins = sum("==" in line for line in (fresh / "requirements.txt").read_text().splitlines())
    status, words = make(fresh, "env", BROKEN="1")
    assert status != 0 and not (fresh / ".venv" / ".camreader-installed").exists()
    assert f"  50 of about {pins} packages\n  all fetched; unpacking them" in words
    assert "ERROR: No matching distribution found for torch==2.15.0" in words
    status, words = make(fresh, "env")
    assert status == 0 and "ERROR" not in words


def test_a_half_made_environment_without_python_is_repaired(fresh):
    (fresh / ".venv" / "bin").mkdir(parents=True)
    status, words = make(fresh, "env")
    assert status == 0, words
    assert (fresh / ".venv" / ".camreader-installed").exists()


@pytest.mark.parametrize("minor", ["12", "13"])
def test_a_python_that_the_pins_fit_is_taken(fresh, minor):
    status, words = make(fresh, "env", MINOR=minor)
    assert status == 0, words


@pytest.mark.parametrize("minor", ["8", "10", "14"])
def test_another_python_is_refused_in_words(fresh, minor):
    status, words = make(fresh, "env", MINOR=minor)
    assert status != 0 and f"Python 3.11 to 3.13 is needed, found 3.{minor}" in words
    assert not (fresh / ".venv").exists()
