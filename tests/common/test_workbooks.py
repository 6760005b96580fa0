"""Workbooks: what a person typed, by the row they typed it in."""

import datetime
import io

import openpyxl
import pytest

from camreader.common import workbooks
from camreader.common.errors import DataError
from camreader.common.rows import read_rows


def saved(path, rows, sheets=("Tabelle1",)):
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name in sheets:
        sheet = book.create_sheet(name)
        for row in rows if name == sheets[0] or len(sheets) > 2 else ():
            sheet.append(row)
    book.save(path)
    return path


def test_cells_are_read_as_they_were_typed(tmp_path):
    rows = [["Image Name", "label", "Größe"], ["a.png", 1, 1.0], [None, None, None]]
    rows += [["b, c.png", True, 0.35], ["d.png", "n/a", datetime.datetime(2024, 3, 1)]]
    path = saved(tmp_path / "t.xlsx", rows, ("Tabelle1", "leer"))
    table = read_rows(path, ("image", "label"), "t", ("Größe",), {"image": ("image_name",)})
    assert [number for number, c in table.rows if c["image"]] == [2, 4, 5]  # as in the sheet
    cells = [c for _, c in table.rows if c["image"]]
    assert cells[0] == {"image": "a.png", "label": "1", "Größe": "1"}
    assert cells[1]["image"] == "b, c.png" and cells[1]["label"] == "1"
    assert cells[1]["Größe"] == "0.35" and cells[2]["Größe"] == "2024-03-01"
    assert table.taken == ("Image Name as image",)


def test_what_cannot_be_meant_is_refused(tmp_path):
    with pytest.raises(DataError, match="needs one sheet"):
        path = saved(tmp_path / "a.xlsx", [["x"]], ("one", "two", "three"))
        workbooks.text_of(path.read_bytes(), path, "t")
    with pytest.raises(DataError, match="formula") as raised:
        path = saved(tmp_path / "b.xlsx", [["x"], ["=1+1"]])
        workbooks.text_of(path.read_bytes(), path, "t")
    assert raised.value.places["row"] == 2 and raised.value.places["column"] == "A"
    with pytest.raises(DataError, match="no readable workbook"):
        workbooks.text_of(io.BytesIO(b"PK\x03\x04").getvalue(), "c.xlsx", "t")
