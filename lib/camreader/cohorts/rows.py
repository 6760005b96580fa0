"""Rows of a CSV that people or other programs wrote: every bad cell is said by row and column."""

import csv
import re
from pathlib import Path

from camreader.common.errors import DataError
from camreader.common.text import counted

SERIES_NAME = re.compile(r"\d{6}_\d{2}_\d{2}")


def read_rows(path, columns, what):
    """Rows of a CSV as dicts with their line numbers; DataError for whatever is not a clean CSV.

    Blank lines at the end, which spreadsheets leave, are no rows.
    """
    try:
        reader = csv.reader(Path(path).read_bytes().decode("utf-8-sig").splitlines(), strict=True)
        lines = list(reader)
    except FileNotFoundError:
        raise DataError(f"{what} not found", file=path) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{what} is not a readable CSV: {error}", file=path) from None
    except csv.Error as error:
        raise DataError(
            f"{what}: row is cut short or damaged: {error}", file=path, row=reader.line_num
        ) from None
    while lines and not any(cell.strip() for cell in lines[-1]):
        del lines[-1]
    if not lines or not any(lines[0]):
        raise DataError(f"{what} is empty", file=path, expected=", ".join(columns))
    header = [name.strip() for name in lines[0]]
    for name in columns:
        if header.count(name) != 1:
            found = "twice" if name in header else f"columns {', '.join(header)}"[:200]
            raise DataError(f"{what} needs column {name} once", file=path, column=name, found=found)
    for number, cells in enumerate(lines[1:], start=2):
        if len(cells) != len(header):
            raise DataError(
                "Row is cut short or has stray cells",
                file=path,
                row=number,
                found=f"{len(cells)} cells",
                expected=f"{len(header)} cells",
            )
    return [
        (number, dict(zip(header, cells, strict=True)))
        for number, cells in enumerate(lines[1:], start=2)
    ]


class Cell:
    """Parses cells of one row; every failure is a DataError naming file, row and column."""

    def __init__(self, path, row, cells):
        self.path, self.row, self.cells = path, row, cells

    def wrong(self, column, expected):
        """The DataError for this row's `column`."""
        return DataError(
            "Bad value",
            file=self.path,
            row=self.row,
            column=column,
            found=repr(self.cells[column]),
            expected=expected,
        )

    def numbers(self, column, count, low=-1e6, high=1e6):
        """A tuple of `count` finite numbers between low and high."""
        expected = f"{counted(count, 'number')} between {low:g} and {high:g}"
        try:
            values = tuple(plain_number(text) for text in self.cells[column].split(","))
        except ValueError:
            raise self.wrong(column, expected) from None
        if len(values) != count or not all(low <= value <= high for value in values):
            raise self.wrong(column, expected)
        return values

    def integer(self, column, low, high):
        """A whole number between low and high."""
        text = self.cells[column].strip()
        if not re.fullmatch(r"-?[0-9]{1,9}", text) or not low <= int(text) <= high:
            raise self.wrong(column, f"a whole number {low} to {high}")
        return int(text)

    def one_of(self, column, choices):
        """One of the given words."""
        if self.cells[column].strip() not in choices:
            raise self.wrong(column, "one of " + ", ".join(repr(choice) for choice in choices))
        return self.cells[column].strip()

    def series(self, column):
        """A series name such as 000001_01_01."""
        if not SERIES_NAME.fullmatch(self.cells[column]):
            raise self.wrong(column, "a series such as 000001_01_01")
        return self.cells[column]


def plain_number(text):
    """A number written plainly: Python would also take 'nan', '1_0' and ' infinity '."""
    if not re.fullmatch(r"\s*-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,2})?\s*", text):
        raise ValueError(text)
    return float(text)
