"""Files that are whole or absent: atomic writes, and where a study keeps its things."""

import json
import os
import re
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from camreader.common.errors import DataError
from camreader.common.tables import check

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
