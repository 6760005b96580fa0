"""Readings that no person made: how they are told where a file has lost the word for it.

Every file of ours says `simulated` (a column, a line above the counts, the log's own field). A
program that a file went through may have dropped it. So the answers of each invented reader are
also kept as a digest beside the log they were written to, and a file is asked for them.
"""

import re
from pathlib import Path
from typing import Any

import pandas as pd

from camreader.common.storage import digest, read_json, write_json

FILE = "invented.json"  # in a cohort's folder of readings: {"digests": [...]}
MADE_UP = "simulated case "  # begins the name of a case that is no slice
LEAST = 5  # answers of one reader: fewer may be alike by chance


def says_so(frame: pd.DataFrame) -> bool:
    """Whether a table of readings says that any of them was invented."""
    return bool(frame.attrs.get("simulated")) or (
        "simulated" in frame and bool(frame["simulated"].any())
    )


def reader_digests(frame: pd.DataFrame) -> set[str]:
    """A digest of each reader's answers (modality, case, score), whatever the reader is called.

    The same for the log, a CSV and an .imrmc file of them, in any order of rows.
    """
    found = set()
    for _, own in frame.groupby("reader"):
        own = own[pd.to_numeric(own["score"], errors="coerce").notna()]
        rows = sorted(map(_row, own["modality"], own["case"], own["score"]))
        if len(rows) >= LEAST:
            found.add(digest("\n".join(rows)))
    return found


def _row(modality: Any, case: Any, score: Any) -> str:
    name = re.sub(r"[,\"\r\n]", "_", str(case))  # as an .imrmc file can hold it
    return f"{str(modality).strip().lower()}|{name}|{float(score):.6g}"


def register(folder: str | Path, frame: pd.DataFrame) -> None:
    """Add the digests of invented readings to those kept in `folder`."""
    path = Path(folder) / FILE
    known = set(read_json(path)["digests"]) if path.exists() else set()
    write_json({"digests": sorted(known | reader_digests(frame))}, path)


def recognised(folder: str | Path, frame: pd.DataFrame) -> bool:
    """Whether any reader of a table without the word is one that was invented.

    Told by the name of a made-up case, or by a digest kept in `folder`.
    """
    if frame["case"].astype(str).str.startswith(MADE_UP).any():
        return True
    path = Path(folder) / FILE
    return path.exists() and bool(set(read_json(path)["digests"]) & reader_digests(frame))
