"""Where the study stands: each notebook made, stale or missing, and which to run next.

Shown by notebooks/start.ipynb, the page that `make lab` opens.
"""

import html
import os
from pathlib import Path

import pandas as pd

from camreader.common.source import modules_behind
from camreader.common.study import Study
from camreader.report import catalogue, provenance
from camreader.report.catalogue import Part

MISSING, STALE, MADE = "missing", "stale", "made"
CALLED = {catalogue.COHORT: "its cohort", catalogue.PREDICTIONS: "the predictions"}
COLOURS = {MISSING: "#b35900", STALE: "#8a6d00", MADE: "#1a7f37"}


def states(study: Study, notebooks: str | Path = ".") -> pd.DataFrame:
    """One row per notebook in the order they run: notebook, question, state, reason.

    notebooks: the folder they lie in. Stale: a notebook, its code or what it reads is newer than
    its findings, which a notebook writes last.
    """
    rows = []
    for name, part in catalogue.PARTS.items():
        state, reason = _state(study, Path(notebooks) / f"{name}.ipynb", part)
        row = {"notebook": name, "question": part.question, "state": state, "reason": reason}
        rows.append(row)
    return pd.DataFrame(rows)


def _state(study: Study, path: Path, part: Part) -> tuple[str, str]:
    made = study.tables / f"{path.stem}_findings.json"
    if not made.exists():
        return MISSING, ""
    when = made.stat().st_mtime
    tables = provenance.tables_read(study, part)
    sources = {CALLED[kind]: file for kind, file in tables.items()}
    sources |= {os.path.basename(file): Path(file) for file in modules_behind(path)}
    sources |= {"the notebook": path}
    there = {words: file for words, file in sources.items() if file.exists()}
    newer = [words for words, file in there.items() if file.stat().st_mtime > when]
    return (STALE, f"newer: {', '.join(newer[:3])}") if newer else (MADE, "")


def following(table: pd.DataFrame) -> str:
    """The notebook to run next: the first that is not made; "" where all are."""
    waiting = table.loc[table["state"] != MADE, "notebook"]
    return waiting.iloc[0] if len(waiting) else ""


class Board:
    """The table of `states` as JupyterLab shows it, with links and the next step."""

    def __init__(self, study: Study, notebooks: str | Path = ".") -> None:
        self.table = states(study, notebooks)

    def __repr__(self) -> str:
        return self.table[["notebook", "state"]].to_string(index=False)

    def _repr_html_(self) -> str:
        lines = []
        for row in self.table.itertuples():
            link = f'<a href="{row.notebook}.ipynb">{row.notebook}</a>'
            state = f'<b style="color: {COLOURS[row.state]}">{row.state}</b>'
            reason = f" ({html.escape(row.reason)})" if row.reason else ""
            cells = (link, html.escape(row.question), state + reason)
            lines.append("".join(f'<td style="text-align: left">{cell}</td>' for cell in cells))
        then = following(self.table)
        step = f'Next: <a href="{then}.ipynb">{then}</a>.' if then else "Everything is made."
        rows = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>{rows}</table><p>{step} <code>make report</code> makes all that is not.</p>"
