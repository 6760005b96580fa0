"""Errors that are said in words: bad input, and what cannot be done with it."""

from dataclasses import dataclass
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


class NotApplicable(DataError):
    """A method that cannot be used on this input at all, however good the input is."""


@dataclass(frozen=True)
class Refusal:
    """What stands in place of a result that cannot be had; false where a result would be true.

    what: the thing refused, as a sentence begins ("The sound protocol"); why: the reason, without
    a full stop; needed: what would make it possible, where that is known.
    """

    what: str
    why: str
    needed: str = ""

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        return f"{self.what}: {self.note}"

    @property
    def note(self) -> str:
        """The same for a table or figure that already names what was refused."""
        return f"refused: {self.why}" + (f"; needed: {self.needed}" if self.needed else "")
