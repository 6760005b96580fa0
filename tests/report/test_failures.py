"""Why a job failed: the cell, the line, the error and the parameters, from a real papermill run."""

import subprocess
import sys

import nbformat
import pytest

from camreader.report import failures

CELLS = (
    "EPOCHS = 5  # of slices\nREPORTS = '../reports'",
    "from camreader.common.errors import DataError",
    'fewest = 2\nif EPOCHS > fewest:\n    raise DataError("Too many", found=EPOCHS)\nREPORTS',
)


@pytest.fixture
def failed(tmp_path):
    """What papermill leaves of a notebook whose third code cell raises; and its log."""
    cells = [nbformat.v4.new_markdown_cell("# X"), *map(nbformat.v4.new_code_cell, CELLS)]
    cells[1].metadata["tags"] = ["parameters"]
    cells.insert(3, nbformat.v4.new_markdown_cell("## How long\n\nA sentence."))
    spec = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=spec), tmp_path / "x.ipynb")
    command = [sys.executable, "-m", "papermill", "x.ipynb", "out.ipynb", "-p", "EPOCHS", "7"]
    with open(tmp_path / "x.log", "w") as log:
        done = subprocess.run(command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT)
    assert done.returncode != 0
    return tmp_path


def test_cell_line_error_and_parameters_are_named(failed):
    assert failures.explain(failed / "x.log", failed / "out.ipynb") == [
        'code cell 3 (under “How long”), line 3: raise DataError("Too many", found=EPOCHS)',
        "DataError: Too many (found: 7)",
        "parameters used there: EPOCHS (config.yaml)",
    ]


def test_without_the_notebook_its_log_is_asked(failed):
    words = failures.explain(failed / "x.log", failed / "none.ipynb")
    assert words == ["DataError: Too many (found: 7)"]
    (failed / "half.ipynb").write_text('{"cells": [')
    assert failures.explain(failed / "x.log", failed / "half.ipynb") == words


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            "KeyError: 'x'\ncamreader.common.errors.DataError: Gone (file: a)\n",
            "DataError: Gone (file: a)",
        ),
        ("torch 2\nSlice not found (file: a.png)\n", "Slice not found (file: a.png)"),
        ("a\r 10%|#  | 1/9\r 90%|## | 8/9", failures.SILENT),
        ("", failures.SILENT),
        ("\x1b[31mOSError: [Errno 28] No space left\x1b[0m\n", "OSError: [Errno 28] No space left"),
        ("Traceback\nKeyboardInterrupt\n", "KeyboardInterrupt"),
    ],
)
def test_the_last_words_of_a_log(tmp_path, log, words):
    (tmp_path / "x.log").write_text(log)
    assert failures.last_words(tmp_path / "x.log") == words
    assert failures.last_words(tmp_path / "none.log") == failures.SILENT


def test_failures_are_kept_for_the_last_words_of_the_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert failures.kept() == {}
    failures.keep({"02_train": ["code cell 3", "DataError: Too many"]})
    assert failures.kept() == {"02_train": ["code cell 3", "DataError: Too many"]}
