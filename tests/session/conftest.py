"""A reading that was begun before questions were a list and envelopes Fernet tokens."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

BEFORE = Path(__file__).parent / "data" / "before"


@pytest.fixture
def before(tmp_path):
    """Folder as the code of November 2026 left it: Ann has read everything, Bob two cases.

    Beside it lie what that code exported (tidy.csv, events.json, scores.imrmc), what was sealed
    (opened.json) and what the reader study read (readings.csv).
    """
    folder = tmp_path / "before"
    shutil.copytree(BEFORE, folder)
    with closing(sqlite3.connect(folder / "readings.sqlite")) as database:
        database.executescript((folder / "readings.sql").read_text())
    return folder
