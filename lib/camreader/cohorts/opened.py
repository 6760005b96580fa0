"""The last files that were parsed, kept while their frames or slices are asked for one by one."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from camreader.common.errors import DataError

Parsed = TypeVar("Parsed")


class Opened(Generic[Parsed]):
    """The last `most` files as `parse` gives them; a file that changed is parsed again.

    what: what such a file is called in a DataError where it cannot be read.
    """

    def __init__(self, what: str, parse: Callable[[Path], Parsed], most: int) -> None:
        self.what, self.parse, self.most = what, parse, most
        self.lock = threading.Lock()
        self.files: OrderedDict[tuple, Parsed] = OrderedDict()

    def get(self, path: Path) -> Parsed:
        """The parsed file; DataError where it cannot be read."""
        with self.lock:
            try:
                state = path.stat()
                key = (str(path), state.st_size, state.st_mtime_ns)
                if key not in self.files:
                    self.files[key] = self.parse(path)
            except OSError as error:
                words = f"{self.what} cannot be read: {error.strerror}"
                raise DataError(words, file=path) from None
            while len(self.files) > self.most:
                self.files.popitem(last=False)
            return self.files[key]
