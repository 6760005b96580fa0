"""A big array written row by row by several threads, that survives a kill at any moment."""

import hashlib
import os
from pathlib import Path

import numpy as np

from camreader.common.errors import DataError
from camreader.common.source import code_digest
from camreader.common.storage import read_json, write_json


def fingerprint(rows):
    """Hash of which files are ingested, in which state and by which code.

    rows are (path, shape, offset).
    """
    digest = hashlib.sha256(code_digest("cohorts.pixels", ("cohorts",)).encode())
    for path, shape, offset in rows:
        try:
            state = os.stat(path)
        except FileNotFoundError:
            raise DataError("Slice not found", file=path) from None
        digest.update(repr((str(path), tuple(map(int, shape)), offset)).encode())
        digest.update(repr((state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()


def _beside(target, end):
    return target.with_name(f".{target.name}.{end}")


def table_digest(cohort):
    """Hash of which slices a cohort's table holds, in which order."""
    return hashlib.sha256("\n".join(cohort["image_path"]).encode()).hexdigest()


def check_rows(target, rows, cohort):
    """DataError where the array `target` of so many `rows` was made from another table."""
    state = _beside(Path(target), "state")
    made_from = read_json(state).get("table") if state.exists() else None
    if rows != len(cohort) or made_from not in (None, table_digest(cohort)):
        raise DataError(
            "Pixels belong to another table: run 01_ingest again, to its end",
            file=target,
            found=f"{rows:,} slices, those of another table",
            expected=f"the {len(cohort):,} slices of cohort.parquet, in its order",
        )


class Progress:
    """The array under way: `<target>.part`, one byte per finished row in `<target>.done`.

    `<target>.state` names what is being ingested; parts of anything else are thrown away. Rows are
    on disk before they are marked, so a marked row is whole even after a power cut.
    """

    def __init__(self, target, shape, mark, table):
        self.target, self.shape = Path(target), shape
        self.about = {"mark": f"{mark} {shape}", "table": table}
        self.part, self.done, self.state = (
            _beside(self.target, end) for end in ("part", "done", "state")
        )
        self.row_bytes = 2 * shape[1] * shape[2]

    @property
    def finished(self):
        """True where the target is whole and was made from these very files."""
        return not self.part.exists() and self._same() and self._fits(self.target)

    def _same(self):
        return self.state.exists() and read_json(self.state) == self.about

    def _fits(self, path):
        """True for an array of full length; a crash can leave a shorter one, or an empty one."""
        try:
            return np.load(path, mmap_mode="r").shape == self.shape
        except (OSError, ValueError, EOFError):
            return False

    def open(self):
        """Prepare or take up the files; returns the rows still to do."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        marks = np.fromfile(self.done, np.uint8) if self.done.exists() else []
        if not (self._same() and self._fits(self.part) and len(marks) == self.shape[0]):
            marks = self._create()
        self.handle = os.open(self.part, os.O_RDWR)
        with open(self.part, "rb") as handle:
            np.lib.format.read_magic(handle)
            np.lib.format.read_array_header_1_0(handle)
            self.header = handle.tell()
        return np.flatnonzero(marks == 0).tolist()

    def _create(self):
        self.state.unlink(missing_ok=True)
        np.lib.format.open_memmap(self.part, "w+", np.int16, self.shape)
        marks = np.zeros(self.shape[0], np.uint8)
        self.done.write_bytes(marks.tobytes())
        write_json(self.about, self.state)
        return marks

    def write(self, index, row):
        """Write one row (S, S) int16 at its place; safe from several threads."""
        data = np.ascontiguousarray(row, "<i2")
        os.pwrite(self.handle, data, self.header + index * self.row_bytes)

    def mark_done(self, batch):
        """Mark a batch of rows as finished."""
        os.fdatasync(self.handle)
        with open(self.done, "r+b") as marks:
            for index in batch:
                marks.seek(index)
                marks.write(b"\x01")

    def close(self):
        """Let go of the files; what was marked stays."""
        os.close(self.handle)

    def finish(self):
        """Rename the whole array over the target."""
        os.fsync(self.handle)
        self.close()
        os.replace(self.part, self.target)
        self.done.unlink()
