"""A big array written row by row by several threads, that survives a kill at any moment."""

import hashlib
import os
from pathlib import Path

import numpy as np

from camreader.files import read_json, write_json
from camreader.schemas import DataError


def fingerprint(rows):
    """Hash of which files are ingested and in which state; rows are (path, shape, offset)."""
    digest = hashlib.sha256()
    for path, shape, offset in rows:
        try:
            state = os.stat(path)
        except FileNotFoundError:
            raise DataError("Slice not found", file=path) from None
        digest.update(repr((str(path), tuple(map(int, shape)), offset)).encode())
        digest.update(repr((state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()


class Progress:
    """The array under way: `<target>.part`, one byte per finished row in `<target>.done`.

    `<target>.state` names what is being ingested; parts of anything else are thrown away. Rows are
    on disk before they are marked, so a marked row is whole even after a power cut.
    """

    def __init__(self, target, shape, mark):
        self.target, self.shape = Path(target), shape
        self.mark = f"{mark} {shape}"
        self.part, self.done, self.state = (
            self.target.with_name(f".{self.target.name}.{end}") for end in ("part", "done", "state")
        )
        self.row_bytes = 2 * shape[1] * shape[2]

    @property
    def finished(self):
        """True where the target is whole and was made from these very files."""
        return self.target.exists() and not self.part.exists() and self._same()

    def _same(self):
        return self.state.exists() and read_json(self.state).get("mark") == self.mark

    def open(self):
        """Prepare or take up the files; returns the rows still to do."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if not (self.part.exists() and self.done.exists() and self._same()):
            self._create()
        marks = np.fromfile(self.done, np.uint8)
        self.handle = os.open(self.part, os.O_RDWR)
        with open(self.part, "rb") as handle:
            np.lib.format.read_magic(handle)
            np.lib.format.read_array_header_1_0(handle)
            self.header = handle.tell()
        return np.flatnonzero(marks == 0).tolist()

    def _create(self):
        self.state.unlink(missing_ok=True)
        np.lib.format.open_memmap(self.part, "w+", np.int16, self.shape)
        self.done.write_bytes(bytes(self.shape[0]))
        write_json({"mark": self.mark}, self.state)

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
