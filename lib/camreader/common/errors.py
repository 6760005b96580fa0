"""Errors that are said in words: bad input, and what cannot be done with it."""

from typing import Any


class StudyError(Exception):
    """Something a person can act on; its words are the whole message, no traceback is needed."""


class DataError(StudyError, ValueError):
    """Bad input, said in words: the file, the row, the column, what was found and expected."""

    def __init__(
        self,
        problem: str,
        *,
        file: Any = None,
        row: Any = None,
        column: Any = None,
        found: Any = None,
        expected: Any = None,
    ) -> None:
        places = {"file": file, "row": row, "column": column, "found": found, "expected": expected}
        self.places = {name: value for name, value in places.items() if value is not None}
        details = "; ".join(f"{name}: {value}" for name, value in self.places.items())
        super().__init__(f"{problem} ({details})" if details else problem)
