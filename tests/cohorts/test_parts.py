"""Parts of files: paths that name one, and cells that name several."""

from pathlib import Path

import pytest

from camreader.cohorts import parts
from camreader.common.errors import DataError
from camreader.common.rows import Cell


def test_a_path_names_a_part_or_a_whole_file():
    assert parts.split("a/b.dcm#frame=12") == (Path("a/b.dcm"), ("frame", 12))
    assert parts.split(Path("v.nii.gz#axial=0")) == (Path("v.nii.gz"), ("axial", 0))
    for whole in ("a#1.png", "a/b.dcm", "a#frame=x"):
        assert parts.split(whole) == (Path(whole), None)
    assert parts.split(parts.named("x#y", "frame", 3)) == (Path("x#y"), ("frame", 3))


def test_cells_name_numbers_and_ranges():
    def read(text):
        return parts.numbers(Cell("t.csv", 2, {"frame": text}), "frame")

    assert read("") == [] and read("3") == [3] and read("3; 10-12;3") == [3, 10, 11, 12]
    for wrong in ("5-3", "a", "1.5", "1-9999999"):
        with pytest.raises(DataError, match="numbers and ranges"):
            read(wrong)
