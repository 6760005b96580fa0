"""A spreadsheet's sheet (.xlsx) as the text of a table, cell by cell and row by row."""

import csv
import datetime
import io
import zipfile
from pathlib import Path
from typing import Any

from camreader.common.errors import DataError

MOST_BYTES = 200_000_000  # of a workbook once it is unpacked


def text_of(data: bytes, path: str | Path, what: str) -> str:
    """The one sheet of a workbook that holds anything, as CSV text; rows keep their numbers.

    DataError for a workbook that is broken, holds several such sheets, or a formula whose result
    was never stored.
    """
    from openpyxl import load_workbook

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            size = sum(info.file_size for info in packed.infolist())
        if size > MOST_BYTES:
            raise DataError(f"{what} is too large", file=path, found=f"{size:,} bytes")
        stored, typed = (
            load_workbook(io.BytesIO(data), data_only=results, keep_links=False)
            for results in (True, False)
        )
    except DataError:
        raise
    except Exception as error:  # the reader raises many kinds
        name = type(error).__name__
        raise DataError(f"{what} is no readable workbook", file=path, found=name) from None
    filled = [sheet for sheet in stored.worksheets if any(any(row) for row in sheet.values)]
    if len(filled) != 1:
        names = ", ".join(sheet.title for sheet in filled) or "no sheet with a cell"
        raise DataError(f"{what} needs one sheet", file=path, found=names, expected="one sheet")
    formulas, out = typed[filled[0].title], io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    for row in filled[0].iter_rows():
        for cell in row:
            formula = formulas.cell(cell.row, cell.column).value
            if cell.value is None and isinstance(formula, str) and formula.startswith("="):
                raise DataError(
                    "A formula whose result is not stored",
                    file=path,
                    row=cell.row,
                    column=cell.column_letter,
                    expected="values; open the workbook and save it once",
                )
        write([_text(cell.value) for cell in row])
    return out.getvalue()


def _text(value: Any) -> str:
    """A cell's value as a person would type it; whole numbers without a decimal point."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, datetime.datetime) and value.time() == datetime.time():
        return value.date().isoformat()
    return "NA" if str(value) == "#N/A" else str(value)
