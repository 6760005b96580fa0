"""A machine without Linux's own functions, as every Mac and Windows computer is."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from slices_fixture import write_png

from camreader import cohorts
from camreader.common import machine
from camreader.phantom import write_phantom

LINUX_ONLY = ("sched_getaffinity", "sched_setaffinity", "fdatasync", "sysconf")


@pytest.fixture
def elsewhere(monkeypatch):
    """`os` as it is there; the module anew, because it looks when it is imported."""
    for name in LINUX_ONLY:
        monkeypatch.delattr(os, name, raising=False)
    yield importlib.reload(machine)
    monkeypatch.undo()
    importlib.reload(machine)


def test_cores_memory_and_flushing_have_a_stand_in(elsewhere, tmp_path):
    assert elsewhere.cpus() == (os.cpu_count() or 1) and elsewhere.memory() > 2**28
    with open(tmp_path / "x", "wb") as handle:
        handle.write(b"1")
        elsewhere.flush(handle)
    assert elsewhere.is_running(os.getpid())


def test_a_process_that_ended_is_known_without_a_signal():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not machine.is_running(process.pid) and machine.is_running(os.getpid())


def test_the_first_steps_need_nothing_of_linux(elsewhere, tmp_path):
    """The phantom is drawn, a folder read and its pixels ingested."""
    write_phantom(tmp_path / "phantom", 12, 0, progress=False, workers=1)
    for number in range(8):
        folder = tmp_path / "mine" / ("tumor" if number % 2 else "no_tumor")
        write_png(folder / f"{number}.png", np.full((32, 32), number))
    frame, card = cohorts.load(tmp_path / "mine")
    frame, card = cohorts.bring_in(frame, card, tmp_path / "source")
    cohorts.ingest(frame, card["source"], tmp_path / "pixels.npy", 16, progress=False)
    assert cohorts.pixels.load(tmp_path / "pixels.npy", frame).shape == (8, 16, 16)


def test_only_this_module_asks_for_what_not_every_system_has():
    own = Path(machine.__file__)
    found = [
        f"{path.name}: {name}"
        for path in own.parents[1].rglob("*.py")
        for name in ("os.sched_", "os.fdatasync", "os.sysconf", "os.getuid", "os.fork", "os.kill")
        if path != own and name in path.read_text(encoding="utf-8")
    ]
    assert not found
