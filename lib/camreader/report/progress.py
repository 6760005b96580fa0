"""`make report` speaks: a line per job with its number, its name, how long it took, what is left.

`python -m camreader.report.progress <arguments>` is Snakemake with a logger plugin of its own: it
writes these lines in place of Snakemake's, and on a terminal one more below them that shows what
runs now. Snakemake's own words are in .snakemake/log.
"""

import re
import sys
import threading
import time
from dataclasses import dataclass, field
from logging import ERROR, LogRecord
from pathlib import Path
from typing import Any, TextIO

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_interface_logger_plugins.registry import LoggerPluginRegistry

from camreader.common.text import counted
from camreader.report import catalogue, failures

NOTEBOOKS = {catalogue.rule_name(notebook): notebook for notebook in catalogue.PARTS}
SECONDS = {"training": 80, "comparison": 30, "claims": 3, "report": 8}  # as Part.seconds
SECONDS |= {catalogue.rule_name(name): part.seconds for name, part in catalogue.PARTS.items()}
CLEAR = "\r\x1b[2K"  # on a terminal: back to the start of the line, and empty it
TICK, QUIET = 1.0, 60.0  # seconds between looks on a terminal, and between words elsewhere
# Of Snakemake's own words: which are passed on, and which say again that a job failed.
TOLD = ("Nothing to be done", "Trying to restart job", "Terminating processes on user request")
SAID = ("RuleException", "Exiting because a job", "WorkflowError:\nAt least one job")


@dataclass
class Job:
    """One job of the run. seconds: how long such a job takes in the default study."""

    name: str
    seconds: float
    log: str = ""
    notebook: str = ""  # the half-executed one, while the job runs
    started: float = field(default_factory=lambda: time.monotonic())

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def share(self) -> float | None:
        """The share done, 0 to 1, by the progress bar in the job's log; None without one."""
        try:
            with open(self.log, "rb") as handle:
                handle.seek(max(0, handle.seek(0, 2) - 400))
                found = re.findall(r"(\d+)%\|", handle.read().decode(errors="replace"))
        except OSError:
            return None
        return int(found[-1]) / 100 if found else None


def job_of(rule: str, wildcards: dict[str, str], log: list[str], output: list[str]) -> Job:
    """The job that Snakemake describes so, under the name that a reader knows."""
    kind = {"training": "training", "comparison": "heat-maps:"}.get(rule, "")
    last = {"training": "run", "comparison": "method"}.get(rule, "")
    name = f"{kind} {wildcards[last]}" if kind else NOTEBOOKS.get(rule, rule)
    if wildcards.get("seed", "0") != "0":
        name += f", seed {wildcards['seed']}"
    notebook = f"{output[0]}.part.ipynb" if rule in NOTEBOOKS and output else ""
    return Job(name, SECONDS.get(rule, 15), log[0] if log else "", notebook)


def duration(seconds: float) -> str:
    """Minutes and seconds as a clock shows them: "1:43"."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def about(seconds: float) -> str:
    """How much is left, in words no more exact than the estimate."""
    if seconds < 50:
        return "less than a minute left"
    return f"about {max(1, round(seconds / 60))} min left"


class Board:
    """What is known of a run, and the lines that say it. stream: where they go."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.live = stream, stream.isatty()
        self.total, self.done = 0, 0
        self.work, self.worked = 0.0, 0.0  # seconds by SECONDS: of all jobs, of those that ended
        self.running: dict[int, Job] = {}
        self.failed: dict[str, list[str]] = {}
        self.started = self.spoke = time.monotonic()
        self.lock = threading.RLock()

    def plan(self, counts: dict[str, int]) -> None:
        """Take {rule: how many jobs} of the whole run."""
        counts = {rule: n for rule, n in counts.items() if rule not in ("all", "total")}
        self.total = sum(counts.values())
        self.work = sum(n * SECONDS.get(rule, 15) for rule, n in counts.items())
        self.say(f"{counted(self.total, 'job')} to do")

    def left(self) -> float | None:
        """Seconds left, by the pace so far; None until enough has ended to judge by."""
        wall, done = time.monotonic() - self.started, self.worked
        for job in self.running.values():
            share = job.share()
            done += job.seconds * min(0.95, job.elapsed / job.seconds if share is None else share)
        return wall * (self.work - done) / done if self.worked > 0.03 * self.work else None

    def start(self, number: int, job: Job) -> None:
        """A job began."""
        with self.lock:
            self.running[number] = job
            self.show()

    def end(self, number: int, words: list[str] | None = None) -> None:
        """A job ended: well, or as `words` say."""
        with self.lock:
            job = self.running.pop(number, None)
            if job is None:
                return
            self.worked += job.seconds
            self.done += words is None
            left = self.left()
            place = f"[{self.done:{len(str(self.total))}}/{self.total}]"
            if words is None:
                rest = about(left) if left is not None and self.done < self.total else ""
                self.say(f"{place} {job.name:<32} {duration(job.elapsed):>6}   {rest}".rstrip())
            elif words[-1].startswith(failures.STOPPED):
                self.say(f"{place} {job.name:<32} stopped after {duration(job.elapsed)}")
            else:
                self.failed[job.name] = words
                failures.keep(self.failed)
                self.say(f"{place} {job.name:<32} FAILED after {duration(job.elapsed)}")
                for line in words:
                    self.say(f"    {line}")

    def say(self, words: str) -> None:
        """Write a line, above the one that shows what runs now."""
        with self.lock:
            self.stream.write((CLEAR if self.live else "") + words + "\n")
            self.spoke = time.monotonic()
            self.show()
            self.stream.flush()

    def now(self) -> str:
        """What runs now, with its share or its time, and what is left."""
        parts = []
        for job in self.running.values():
            share = job.share()
            parts.append(f"{job.name} " + (f"{share:.0%}" if share else duration(job.elapsed)))
        left = self.left()
        return " · ".join([*parts, *([about(left)] if left is not None else [])])

    def show(self) -> None:
        """On a terminal: the line below, rewritten in place. Elsewhere: a word now and then."""
        with self.lock:
            if not self.running:
                return
            if self.live:
                self.stream.write(f"{CLEAR}  now: {self.now()}"[:110])
                self.stream.flush()
            elif time.monotonic() - self.spoke > QUIET:
                self.say(f"  now: {self.now()}")

    def watch(self) -> None:
        """Rewrite the line until the process ends."""
        while True:
            time.sleep(TICK)
            self.show()


class LogHandler(LogHandlerBase):
    """Snakemake's events, told by a `Board`."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = True
    has_formatter = True
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.board = Board(sys.stdout)
        threading.Thread(target=self.board.watch, daemon=True).start()

    def emit(self, record: LogRecord) -> None:
        """Tell one event; what is not told here stays in Snakemake's log."""
        about: dict[str, Any] = record.__dict__
        event = about.get("event")
        if event == LogEvent.RUN_INFO and not self.board.total:
            self.board.plan(about["stats"])
        elif event == LogEvent.JOB_INFO and about["rule_name"] != "all":
            wildcards = dict(about["wildcards"] or {})
            job = job_of(about["rule_name"], wildcards, about["log"], about["output"])
            self.board.start(about["jobid"], job)
        elif event == LogEvent.JOB_FINISHED:
            self.board.end(about["job_id"])
        elif event == LogEvent.JOB_ERROR:
            self._failed(about["jobid"])
        elif event in (None, LogEvent.ERROR):
            self._words(record)

    def _failed(self, number: int) -> None:
        job = self.board.running.get(number)
        if job is not None:
            self.board.end(number, failures.explain(job.log, job.notebook))

    def _words(self, record: LogRecord) -> None:
        """Snakemake's own words: some of its news, and errors that no job explains."""
        words = str(record.msg)
        if words.startswith(TOLD) or (record.levelno >= ERROR and not words.startswith(SAID)):
            self.board.say(words)


def main(arguments: list[str]) -> None:
    """Run Snakemake with these arguments and this log; ends the process with its status."""
    from snakemake.cli import main as snakemake

    Path(failures.FAILED).unlink(missing_ok=True)
    # Snakemake wants a plugin to be a package of this name beside it; the module is as good.
    prefix = LoggerPluginRegistry().module_prefix
    LoggerPluginRegistry().register_plugin(f"{prefix}camreader", sys.modules[LogHandler.__module__])
    snakemake([*arguments, "--logger", "camreader"])


if __name__ == "__main__":
    main(sys.argv[1:])
