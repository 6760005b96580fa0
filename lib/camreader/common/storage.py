"""Files that are whole or absent: atomic writes, tables, JSON; and the digest of things.

pandas and pandera are loaded when a table is read or written, not before: a run that has nothing
to do should say so at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import lazy_loader

from camreader.common.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    from pandera.pandas import DataFrameModel
else:
    pd = lazy_loader.load("pandas")

WRITTEN_BY = {
    "cohort.parquet": "01_ingest",
    "cohort.json": "01_ingest",
    "predictions.parquet": "02_train",
}
PNG_BEGINS, PNG_ENDS = b"\x89PNG\r\n\x1a\n", b"\0\0\0\0IEND\xaeB`\x82"


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it over `path` only if the block succeeds.

    The file is flushed to disk before the rename, so a kill or power cut leaves either the old
    file or the new one. The temporary name keeps the suffix, which writers look at.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb+") as handle:  # Windows flushes only what may be written
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(
    frame: pd.DataFrame, path: str | Path, schema: type[DataFrameModel] | None = None
) -> None:
    """Write a table as .parquet or .csv (by suffix), checked and atomic."""
    frame = _checked(frame, schema, path)
    with atomic_path(path) as temporary:
        if Path(path).suffix.lower() == ".csv":
            frame.to_csv(temporary, index=False)
        else:
            frame.to_parquet(temporary, index=False)


# A spreadsheet would run a text that starts so; a signed number with a unit does nothing.
_FORMULA = re.compile(r"(?![+-][\d.][\w.,% ]*\Z)('*[=+\-@\t\r])")
_GUARDED = re.compile(r"'('*[=+\-@\t\r])")


def write_shared_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """CSV for people and their spreadsheets: text that would be run there gets a leading quote."""
    write_table(_in_texts(frame, lambda text: f"'{text}" if _FORMULA.match(text) else text), path)


def read_shared_csv(path: str | Path | IO[str], **options: Any) -> pd.DataFrame:
    """Such a CSV, its texts as they were typed: without the quote, and NA is a name like any.

    An empty cell has no value. options: pandas.read_csv's.
    """
    frame = pd.read_csv(path, keep_default_na=False, na_values=[""], **options)
    return _in_texts(frame, unguarded)


def unguarded(text: str) -> str:
    """A text as it was typed, without the quote that `write_shared_csv` put before a formula."""
    return text[1:] if _GUARDED.match(text) else text


def _in_texts(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    return frame.map(lambda cell: change(cell) if isinstance(cell, str) else cell)


def read_table(path: str | Path, schema: type[DataFrameModel] | None = None) -> pd.DataFrame:
    """Read a .parquet or .csv table and check it; DataError where it is missing or broken."""
    path = Path(path)
    if not path.exists():
        raise DataError(f"Table not found; {_writer(path)} writes it", file=path)
    try:
        csv = path.suffix.lower() == ".csv"
        frame = read_shared_csv(path) if csv else pd.read_parquet(path)
    except Exception as error:
        raise DataError(f"Table cannot be read: {error}", file=path) from error
    return _checked(frame, schema, path)


def _checked(
    frame: pd.DataFrame, schema: type[DataFrameModel] | None, path: str | Path
) -> pd.DataFrame:
    if schema is None:
        return frame
    from camreader.common.tables import check

    return check(frame, schema, file=path)


def _writer(path: Path) -> str:
    """Who writes a file of the study, for somebody who opened a notebook too early."""
    notebook = WRITTEN_BY.get(path.name)
    return f"{notebook}.ipynb (or `make report`)" if notebook else "`make report`"


def write_json(value: Any, path: str | Path) -> None:
    """Write JSON atomically, with sorted keys so that equal content gives equal bytes."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, default=str) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON; DataError where it is missing or broken."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"File not found; {_writer(Path(path))} writes it", file=path) from None
    except ValueError as error:
        raise DataError(f"File is not valid JSON: {error}", file=path) from None


def digest(*parts: str | bytes | memoryview | Path) -> str:
    """SHA-256 (hex) of parts, one after another: text as UTF-8, arrays' bytes, files' content."""
    found = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with open(part, "rb") as handle:
                while chunk := handle.read(2**20):
                    found.update(chunk)
        else:
            found.update(part.encode() if isinstance(part, str) else part)
    return found.hexdigest()


def png_is_whole(path: str | Path) -> bool:
    """True for a file that begins and ends as a PNG does: it is there and was not cut short."""
    try:
        with open(path, "rb") as handle:
            begins = handle.read(8) == PNG_BEGINS
            handle.seek(-len(PNG_ENDS), os.SEEK_END)
            return begins and handle.read() == PNG_ENDS
    except OSError:  # missing, or shorter than an end
        return False
