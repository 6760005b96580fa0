"""The lines of a run: numbers, names, durations, what is left, and failures in words."""

import io
import json
import re
import subprocess
import sys

import pytest

from camreader.report import failures, progress


@pytest.fixture
def clock(monkeypatch, tmp_path):
    """A clock that the test sets, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def job(rule, log="", **wildcards):
    return progress.job_of(rule, wildcards, [str(log)], ["reports/notebooks/x.ipynb"])


def test_jobs_have_the_names_that_a_reader_knows():
    names = [
        job("ingest").name,
        job("training", run="sound-final", seed="0").name,
        job("training", run="paper-first", seed="2").name,
        job("comparison", method="occlusion").name,
        job("report").name,
    ]
    assert names == [
        "01_ingest",
        "training sound-final",
        "training paper-first, seed 2",
        "heat-maps: occlusion",
        "report",
    ]
    assert job("ingest").notebook == "reports/notebooks/x.ipynb.part.ipynb"
    assert job("report").notebook == ""


def test_a_line_per_job_with_number_duration_and_time_left(clock):
    board = progress.Board(io.StringIO())
    board.plan({"ingest": 1, "training": 3, "all": 1, "total": 5})
    board.start(1, job("ingest"))
    clock[0] = 120.0  # twice as long as in the default study: the rest will take twice as long
    board.end(1)
    for number in (2, 3, 4):
        board.start(number, job("training", run=f"run-{number}"))
        clock[0] += 160.0
        board.end(number)
    lines = board.stream.getvalue().splitlines()
    assert lines[0] == "4 jobs to do"
    assert re.fullmatch(r"\[1/4\] 01_ingest +2:00   about 8 min left", lines[1])
    assert re.fullmatch(r"\[3/4\] training run-3 +2:40   about 3 min left", lines[3])
    assert re.fullmatch(r"\[4/4\] training run-4 +2:40", lines[4])


def test_a_share_is_read_from_the_bar_in_the_jobs_log(clock, tmp_path):
    (tmp_path / "a.log").write_text("epoch:  10%|#   | 1/9\repoch:  70%|### | 7/9")
    board = progress.Board(Terminal())
    board.plan({"training": 3})
    board.start(1, job("training", tmp_path / "a.log", run="sound-final"))
    clock[0] = 70.0
    board.show()
    shown = board.stream.getvalue().split(progress.CLEAR)[-1]
    assert shown == "  now: training sound-final 70%"
    clock[0] = 80.0
    board.end(1)
    board.start(2, job("training", tmp_path / "a.log", run="paper-final"))
    clock[0] = 85.0
    board.show()
    shown = board.stream.getvalue().split(progress.CLEAR)[-1]
    assert shown == "  now: training paper-final 70% · about 1 min left"  # 85 s for 1.7 of 3
    assert job("training", tmp_path / "none.log", run="x").share() is None


def test_where_nobody_sees_a_live_line_a_word_comes_now_and_then(clock):
    board = progress.Board(io.StringIO())
    board.plan({"ingest": 1})
    board.start(1, job("ingest"))
    for clock[0] in range(0, 140, 5):
        board.show()
    assert board.stream.getvalue().count("now: 01_ingest") == 2
    assert progress.CLEAR not in board.stream.getvalue()


def test_a_failure_is_told_at_once_and_kept_and_a_stop_is_none(clock):
    board = progress.Board(io.StringIO())
    board.plan({"ingest": 1, "train": 1})
    board.start(1, job("ingest"))
    board.start(2, job("train"))
    board.end(1, ["code cell 2, line 1: x", "DataError: Gone"])
    board.end(2, ["KeyboardInterrupt"])
    words = board.stream.getvalue()
    assert "[0/2] 01_ingest" in words and "FAILED after 0:00\n    code cell 2" in words
    assert "stopped after" in words
    assert failures.kept() == {"01_ingest": ["code cell 2, line 1: x", "DataError: Gone"]}


SNAKEFILE = """
rule all:
    input: "reader.txt", "claims.txt"

rule claims:
    output: "claims.txt"
    log: "claims.log"
    shell: "touch {output}"

rule reader_results:
    output: "reader.txt"
    log: "reader.log"
    shell: "echo 'camreader.common.errors.DataError: Gone (file: a.csv)' > {log}; exit 1"
"""


def test_snakemake_itself_speaks_so(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    command = [sys.executable, "-m", "camreader.report.progress", "--cores", "1", "--keep-going"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0
    lines = done.stdout.splitlines()
    assert lines[0] == "2 jobs to do" and len(lines) == 4, done.stdout
    assert any(re.match(r"\[1/2\] claims +0:0\d", line) for line in lines)
    assert any(
        re.match(r"\[[01]/2\] 05_reader_results +FAILED after 0:0\d", line) for line in lines
    )
    assert "    DataError: Gone (file: a.csv)" in lines and "RuleException" not in done.stderr
    kept = json.loads((tmp_path / failures.FAILED).read_text())
    assert kept == {"05_reader_results": ["DataError: Gone (file: a.csv)"]}


def test_an_error_that_no_job_explains_is_passed_on(tmp_path):
    (tmp_path / "Snakefile").write_text('rule all:\n    input: "nobody-makes-this"\n')
    command = [sys.executable, "-m", "camreader.report.progress", "--cores", "1"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and "nobody-makes-this" in done.stdout + done.stderr
