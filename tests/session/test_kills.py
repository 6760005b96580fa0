"""kill -9 at any moment: no acknowledged answer is lost, none is stored twice, and it goes on.

The test is the page: it keeps an answer, with its id, until the kernel has said that it is on
disk, and sends the same again to the next kernel.
"""

import multiprocessing
import os
import random
import threading
import time
from collections import Counter

import pytest
import reading_kernel
from places import ROOT
from reading_study import make_study

from camreader.session.log import ReadingLog
from camreader.session.progress import position

KILLS, KILLS_WITH_KEEPER = 200, 6
KINDS = ("locked", "revised", "answered")


@pytest.fixture
def forks(monkeypatch):
    """Processes that start with the package already imported."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "support"), prepend=os.pathsep)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "reading_kernel"])
    yield context
    for kernel in multiprocessing.active_children():  # of a test that failed
        kernel.kill()


class Kernel:
    """One kernel process and the pipe to it; `ask` raises EOFError once it is dead."""

    def __init__(self, forks, folder, own_keeper):
        self.pipe, theirs = forks.Pipe()
        self.process = forks.Process(target=reading_kernel.run, args=(folder, theirs, own_keeper))
        self.process.start()
        self.begun = lambda: None
        theirs.close()

    def ask(self, message):
        try:
            self.pipe.send(message)
            return self.pipe.recv()
        except (OSError, EOFError):
            self.process.join()
            raise EOFError from None

    def kill_in(self, seconds, reading):
        """Kill -9 after so long: counted from now, or from when the session has begun."""
        timer = threading.Timer(seconds, self.process.kill)
        self.begun = timer.start if reading else lambda: None
        if not reading:
            timer.start()


class Reader:
    """Answers every case in turn, whatever happens to the kernels."""

    def __init__(self, design, name, seed):
        self.design, self.name, self.random = design, name, random.Random(seed)
        self.log = ReadingLog(design.folder / "readings.sqlite", design.study)
        self.pending, self.acknowledged, self.number, self.killed_at = None, {}, 0, Counter()

    def answer(self, state):
        """The next answer, as the page would make it: an id before anything is sent."""
        self.number += 1
        payload = {
            "diagnosis": self.random.choice(["tumor", "no tumor", "other"]),
            "confidence": self.random.randint(1, 5),
            "comment": f"answer {self.number}",
        }
        if state["stage"] in ("aided", "map"):
            payload["helpfulness"] = self.random.choice(["yes", "some", "no"])
        if self.design.marks:
            payload["marks"] = [self.mark() for _ in range(self.random.randint(0, 3))]
        payload |= state["told"]
        event = {"kind": state["kind"], "case": state["case"], "payload": payload}
        return {"type": "event", "id": f"{self.name}-{self.number}", **event}

    def mark(self):
        """A mark somewhere on a slice of 8 x 8 pixels of 0.8 mm."""
        x, y = self.random.randint(0, 7), self.random.randint(0, 7)
        place = {"x": x, "y": y, "x_mm": 0.8 * x, "y_mm": 0.8 * y, "slice": 0}
        return place | {"confidence": self.random.randint(1, 5), "milliseconds": self.number}

    def live(self, kernel):
        """Read until the kernel dies; True if everything is read."""
        self.doing = "begin"
        hello = {"type": "begin", "name": self.name, "id": "begin"}
        reply, state, _ = kernel.ask(hello)
        if not reply["ok"] and "Nobody has read under the name" in reply["words"]:
            reply, state, _ = kernel.ask(hello)
        assert reply["ok"], reply
        self.check_resumed(state)
        kernel.begun()
        while state["stage"] in self.design.paradigm.stages or self.pending:
            self.pending = self.pending or self.answer(state)
            self.doing = self.pending["kind"]
            reply, state, _ = kernel.ask(self.pending)
            assert reply["ok"], reply
            self.acknowledged[self.pending["id"]] = self.pending
            self.pending = None
        return True

    def check_resumed(self, state):
        """Where the new kernel stands is where the acknowledged answers end.

        One answer more may be stored: the one whose acknowledgement the kill swallowed.
        """
        done = len(self.acknowledged)
        steps = [(step.case, stage) for step in self.steps for stage in step.stages]
        reading = state["stage"] in self.design.paradigm.stages
        here = (state.get("case"), state["stage"]) if reading else None
        allowed = [*steps, None][done : done + 1 + bool(self.pending)]
        assert here in allowed, (here, allowed)

    @property
    def steps(self):
        slots = {e["reader"]: e["payload"]["slot"] for e in self.log.events(kind="enrolled")}
        return self.design.steps(slots[self.name])

    def check_log(self):
        """Exactly what was acknowledged, each once, in order; at most the pending one besides."""
        stored = [e for e in self.log.events(self.name) if e["kind"] in KINDS]
        ids = [event["event_id"] for event in stored]
        unsure = [self.pending["id"]] if self.pending and self.pending["id"] in ids else []
        assert ids == [*self.acknowledged, *unsure]
        for event in stored:
            sent = self.acknowledged.get(event["event_id"]) or self.pending
            told = (event["kind"], event["case_id"], event["payload"])
            assert told == (sent["kind"], sent["case"], sent["payload"])
        return position(self.steps, self.log.events(self.name))


def kill_repeatedly(design, forks, kills, longest, own_keeper=False):
    """Readers read while their kernels are killed; returns the readers."""
    chance, readers, done = random.Random(1), [], 0
    while done < kills:
        reader = Reader(design, f"R{len(readers) + 1}", seed=len(readers))
        readers.append(reader)
        finished = False
        while not finished:
            kernel = Kernel(forks, design.folder, own_keeper)
            if done < kills:
                kernel.kill_in(chance.uniform(0, longest), reading=chance.random() < 0.8)
            try:
                finished = reader.live(kernel)
                kernel.process.kill()
                kernel.process.join()
            except EOFError:
                done += 1
                reader.killed_at[reader.doing] += 1
            if reader.log.events(reader.name):
                reader.check_log()
        assert reader.check_log().stage == "finished"
    return readers


@pytest.mark.parametrize(
    ("name", "kinds", "marks"),
    [
        pytest.param("sequential", ("locked", "revised"), "", marks=pytest.mark.long),
        ("answer_then_map", ("locked", "answered"), "free_response"),
    ],
)
def test_two_hundred_kills_lose_nothing_and_store_nothing_twice(
    tmp_path, forks, name, kinds, marks
):
    plan = {"cases": 40, "training_cases": 2, "readers": 30, "design": name, "marks": marks}
    design = make_study(tmp_path, size=8, stack=2 if marks else 0, **plan)
    start = time.monotonic()
    readers = kill_repeatedly(design, forks, KILLS, longest=0.15)
    at = sum((reader.killed_at for reader in readers), Counter())
    print(f"{at} in {time.monotonic() - start:.1f} s, {len(readers)} readers")
    assert all(at[kind] for kind in (*kinds, "begin"))  # every phase was hit
    assert sum(at.values()) >= KILLS


def test_kills_with_a_keeper_of_its_own_process(tmp_path, forks):
    """As above with the real keeper: it must not survive its kernel, nor answer the next one."""
    design = make_study(tmp_path, cases=40, training_cases=1, readers=30, size=8)
    readers = kill_repeatedly(design, forks, KILLS_WITH_KEEPER, longest=1, own_keeper=True)
    assert sum(sum(reader.killed_at.values()) for reader in readers) >= KILLS_WITH_KEEPER
