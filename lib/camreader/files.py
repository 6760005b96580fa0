"""Files that are whole or absent: atomic writes, and where a study keeps its things."""

import hashlib
import json
import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from camreader.schemas import DataError, check

PNG_BEGINS, PNG_ENDS = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


@contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; rename it over `path` only if the block succeeds.

    The file is flushed to disk before the rename, so a kill or power cut leaves either the old
    file or the new one. The temporary name keeps the suffix, which writers look at.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(frame, path, schema=None):
    """Write a table as .parquet or .csv (by suffix), checked and atomic."""
    if schema is not None:
        frame = check(frame, schema, file=path)
    with atomic_path(path) as temporary:
        if Path(path).suffix == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


# A spreadsheet would run a text that starts so; a signed number with a unit does nothing.
_FORMULA = re.compile(r"(?![+-][\d.][\w.,% ]*\Z)('*[=+\-@\t\r])")
_GUARDED = re.compile(r"'('*[=+\-@\t\r])")


def write_shared_csv(frame, path):
    """CSV for people and their spreadsheets: text that would be run there gets a leading quote."""
    write_table(_in_texts(frame, lambda text: f"'{text}" if _FORMULA.match(text) else text), path)


def read_shared_csv(path, missing=("",), **options):
    """Such a CSV, its texts as they were typed: without the quote, and NA is a name like any.

    missing: the texts of a cell without a value. options: pandas.read_csv's.
    """
    frame = pd.read_csv(path, keep_default_na=False, na_values=list(missing), **options)
    return _in_texts(frame, lambda text: text[1:] if _GUARDED.match(text) else text)


def _in_texts(frame, change):
    return frame.map(lambda cell: change(cell) if isinstance(cell, str) else cell)


def read_table(path, schema=None):
    """Read a .parquet or .csv table and check it; DataError where it is missing or broken."""
    path = Path(path)
    if not path.exists():
        raise DataError("Table not found; `make report` writes it", file=path)
    try:
        frame = read_shared_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except Exception as error:
        raise DataError(f"Table cannot be read: {error}", file=path) from error
    return frame if schema is None else check(frame, schema, file=path)


def write_json(value, path):
    """Write JSON atomically, with sorted keys so that equal content gives equal bytes."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def read_json(path):
    """Read JSON; DataError where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        raise DataError("File not found; `make report` writes it", file=path) from None
    except ValueError as error:
        raise DataError(f"File is not valid JSON: {error}", file=path) from None


def png_is_whole(path):
    """True for a file that begins and ends as a PNG does: it is there and was not cut short."""
    try:
        with open(path, "rb") as handle:
            begins = handle.read(8) == PNG_BEGINS
            handle.seek(-len(PNG_ENDS), os.SEEK_END)
            return begins and handle.read() == PNG_ENDS
    except OSError:  # missing, or shorter than an end
        return False


def code_digest(names):
    """SHA-256 (hex) of the source of modules of this package, such as "scanner.py".

    What was made by other code carries another digest and is made again.
    """
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for name in names:
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Study:
    """Where one study keeps its tables, runs and results.

    `data` and `reports` are the project's two output folders, `cohort` the study's name. The
    defaults are right for a notebook opened from its own folder.
    """

    data: str = "../data"
    cohort: str = "phantom"
    reports: str = "../reports"

    @property
    def cohort_folder(self):
        return Path(self.data) / "cohorts" / self.cohort

    @property
    def cohort_table(self):
        return self.cohort_folder / "cohort.parquet"

    @property
    def pixels(self):
        return self.cohort_folder / "pixels.npy"

    @property
    def card(self):
        """What the cohort is, as a dict: name, title, synthetic, source, label rule, ..."""
        card = read_json(self.cohort_folder / "cohort.json")
        if "source" in card:
            card["source"] = str((self.cohort_folder / card["source"]).resolve())
        return card

    def save_card(self, card):
        """Write the card; slices kept inside the study are named from there, so it can be moved."""
        inside, source = self.cohort_folder.resolve(), Path(card["source"]).resolve()
        if source.is_relative_to(inside):
            card = card | {"source": str(source.relative_to(inside))}
        write_json(card, self.cohort_folder / "cohort.json")

    @property
    def runs(self):
        return Path(self.data) / "runs" / self.cohort

    @property
    def readings(self):
        return Path(self.data) / "readings" / self.cohort

    @property
    def figures(self):
        return Path(self.reports) / "figures"

    @property
    def tables(self):
        return Path(self.reports) / "tables"

    def save_table(self, frame, name):
        """Write a result table to reports/tables/<name>.csv and return it for display."""
        write_shared_csv(frame, self.tables / f"{name}.csv")
        return frame
