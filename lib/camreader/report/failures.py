"""Why a job failed, in words: notebook, cell and line, the error, the parameters to look at."""

import ast
import json
import re
from pathlib import Path
from typing import Any

from camreader.common.errors import DataError
from camreader.common.storage import read_json, write_json

FAILED = Path(".snakemake") / "camreader_failed.json"  # the last run's failures, by job
SILENT = "no error in its log: a process that was killed, for want of memory perhaps, leaves none"
STOPPED = ("Stopped.", "KeyboardInterrupt")  # how a job ends on Ctrl-C
SETTINGS = {"DATA", "COHORT", "REPORTS"}  # parameters that the study sets, not a person
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_ERROR = re.compile(r"^\s*([\w.]*(?:Error|Exception|Interrupt)\b.*)")


def last_words(log: str | Path) -> str:
    """The error at the end of a job's log; SILENT where it has none."""
    path = Path(log)
    text = path.read_text(errors="replace") if path.exists() else ""
    lines = [line.strip() for line in re.split(r"[\r\n]+", _COLOURS.sub("", text)) if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.match(line))]
    if errors:
        return errors[-1].removeprefix("camreader.common.errors.")
    # a command says bad input in words, as its last line; a progress bar is no word
    return lines[-1] if lines and not re.search(r"\d%\|", lines[-1]) else SILENT


def explain(log: str | Path, notebook: str | Path | None = None) -> list[str]:
    """Lines on why a job failed: where in its notebook, the error, the parameters to look at.

    notebook: the half-executed notebook that papermill left; without one, or where no cell of it
    failed, the log alone is asked.
    """
    cells = _cells(notebook)
    failed = next((at for at, cell in enumerate(cells) if _error(cell)), None)
    if failed is None:
        return [last_words(log)]
    cell, error = cells[failed], _error(cells[failed])
    assert error is not None
    source = "".join(cell["source"])
    code = [c for c in cells[: failed + 1] if c["cell_type"] == "code" and not _injected(c)]
    heading = _heading(cells[:failed])
    place = f"code cell {len(code)}" + (f" (under “{heading}”)" if heading else "")
    said = [place + _line(error, source), f"{error['ename']}: {_COLOURS.sub('', error['evalue'])}"]
    if names := _used(source, cells):
        said.append(f"parameters used there: {', '.join(names)} (config.yaml)")
    return said


def _cells(notebook: str | Path | None) -> list[dict[str, Any]]:
    try:
        return json.loads(Path(notebook).read_text(encoding="utf-8"))["cells"] if notebook else []
    except (OSError, ValueError, KeyError):  # none was left, or half of one
        return []


def _error(cell: dict[str, Any]) -> dict[str, Any] | None:
    outputs = cell.get("outputs", [])
    return next((one for one in outputs if one.get("output_type") == "error"), None)


def _injected(cell: dict[str, Any]) -> bool:
    """Papermill's own cell of parameters, which the notebook on disk does not have."""
    return "injected-parameters" in cell["metadata"].get("tags", [])


def _heading(cells: list[dict[str, Any]]) -> str:
    words = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
    found = re.findall(r"^##+ (.+)$", "\n".join(words), re.M)
    return found[-1] if found else ""


def _line(error: dict[str, Any], source: str) -> str:
    """ ", line 3: the code" from the error's traceback; empty where it has no line of the cell."""
    trace = _COLOURS.sub("", "\n".join(error["traceback"]))
    found = re.search(r"Cell In\[\d+\], line (\d+)", trace)
    lines = source.splitlines()
    if not found or not 0 < int(found[1]) <= len(lines):
        return ""
    return f", line {found[1]}: {lines[int(found[1]) - 1].strip()}"


def _used(source: str, cells: list[dict[str, Any]]) -> list[str]:
    """Parameters of the notebook that the failing cell reads, in its order."""
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    try:
        known = {name for cell in tagged for name in _names("".join(cell["source"]))}
        return [name for name in dict.fromkeys(_names(source)) if name in known - SETTINGS]
    except SyntaxError:
        return []


def _names(source: str) -> list[str]:
    return [node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]


def keep(failed: dict[str, list[str]]) -> None:
    """Write the failures of this run where the next words can be found: {job: lines}."""
    write_json(failed, FAILED)


def kept() -> dict[str, list[str]]:
    """Failures that `keep` wrote; none where the run had none."""
    try:
        return read_json(FAILED)
    except DataError:
        return {}
