"""DL_info.csv: real rows, broken rows, and random damage that must never pass unseen."""

import csv
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slices_fixture import info_row, write_info

from camreader.cohorts import deeplesion
from camreader.common.errors import DataError


def test_all_158_real_rows_parse_without_a_doubt(sample):
    frame = deeplesion.read_info(sample / "DL_info_patients_89-100.csv")
    assert len(frame) == 158 and frame.attrs["doubts"] == []
    assert frame["patient_id"].nunique() == 12
    first = frame.iloc[0]  # compared with the file by eye
    assert (first["series_id"], first["slice_index"]) == ("000089_01_01", 37)
    assert first[["x1", "y1", "x2", "y2"]].tolist() == pytest.approx(
        [131.977, 170.808, 164.939, 213.029]  # one less: the file counts pixels from 1
    )
    assert first["diameter_mm"] == pytest.approx(33.8477 * 0.859375)
    assert (first["region"], first["official_split"]) == ("unknown", "train")


def test_the_four_key_rows_of_the_sample(sample):
    frame = deeplesion.read_info(sample / "DL_info.csv")
    assert len(frame) == 4 and frame["slice_index"].tolist() == [109, 14, 17, 88]
    assert set(frame["region"]) == {"mediastinum"} and set(frame["official_split"]) == {"test"}


BROKEN = {
    "Patient_index": ["", "x", "0", "1.5", "-1"],
    "File_name": ["000001_01_01_006.png", "../x.png", ""],
    "Bounding_boxes": ["1, 2, 3", "1, 2, 3, nan", "40, 2, 3, 4", "1, 2, 3, 1e9", "", "1;2;3;4"],
    "Lesion_diameters_Pixel_": ["20", "20, -3", "a, b"],
    "Coarse_lesion_type": ["0", "9", "-2", "lung"],
    "Slice_range": ["6, 9", "9, 1", "1"],
    "Spacing_mm_px_": ["0, 0, 5", "0.8, 0.8", "0.8, 0.8, inf"],
    "Image_size": ["0, 0", "64", "1e9, 64"],
    "Train_Val_Test": ["", "0", "4"],
    "Patient_gender": ["X"],
    "Patient_age": ["-3", "300"],
    "Possibly_noisy": ["2"],
}


@pytest.mark.parametrize("column", BROKEN)
def test_a_broken_cell_is_named_by_file_row_and_column(tmp_path, column):
    for value in BROKEN[column]:
        path = write_info(tmp_path, [info_row(), info_row(2, **{column: value})])
        with pytest.raises(DataError) as raised:
            deeplesion.read_info(path)
        places = raised.value.places
        assert places["file"] == path and places["row"] == 3
        assert places["column"] == column or column == "Patient_index"


def test_missing_truncated_and_without_a_column(tmp_path):
    with pytest.raises(DataError, match=r"DL_info.csv not found"):
        deeplesion.read_info(tmp_path / "DL_info.csv")
    path = write_info(tmp_path, [info_row(1), info_row(2)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    with pytest.raises(DataError, match="cut short") as raised:
        deeplesion.read_info(path)
    assert raised.value.places["row"] == 3
    path.write_bytes(whole.replace(b"Slice_range", b"Slices"))
    with pytest.raises(DataError, match="needs column Slice_range"):
        deeplesion.read_info(path)
    for content in (b"", b"\n", whole[:300].split(b"\r\n")[0] + b"\r\n"):
        path.write_bytes(content)
        with pytest.raises(DataError):
            deeplesion.read_info(path)


CONTRADICTIONS = {
    "Bounding_boxes": "15, 20, 55, 40",
    "Lesion_diameters_Pixel_": "21, 10",
    "Spacing_mm_px_": "0.8, 0.7, 5",
}


@pytest.mark.parametrize("column", CONTRADICTIONS)
def test_a_row_that_contradicts_itself_is_kept_and_said(tmp_path, column):
    path = write_info(tmp_path, [info_row(), info_row(2, **{column: CONTRADICTIONS[column]})])
    with pytest.warns(deeplesion.DataWarning, match=f"row 3, {column}"):
        frame = deeplesion.read_info(path)
    assert len(frame) == 2 and len(frame.attrs["doubts"]) == 1


def test_rows_of_one_patient_must_agree_on_the_split(tmp_path):
    rows = [info_row(), info_row(study=2, Train_Val_Test=1)]
    with pytest.warns(deeplesion.DataWarning, match="official_split"):
        deeplesion.read_info(write_info(tmp_path, rows))


def faithful(frame, path):
    """Every row kept equals what an independent reading of the same bytes says."""
    with open(path, newline="", encoding="utf-8-sig") as handle:
        header, *rows = csv.reader(handle)
    # A blank or another case in a column's name leaves no doubt which column is meant.
    names = {"".join(filter(str.isalnum, name)).lower(): name for name in deeplesion.COLUMNS}
    names = [names.get("".join(filter(str.isalnum, name)).lower(), name) for name in header]
    rows = [dict(zip(names, row, strict=False)) for row in rows if row]
    assert len(frame) == len(rows)
    for kept, row in zip(frame.to_dict("records"), rows, strict=True):
        box = np.array([float(n) for n in row["Bounding_boxes"].split(",")]) - 1
        assert np.allclose([kept[name] for name in ("x1", "y1", "x2", "y2")], box)
        assert f"{kept['series_id']}_{kept['slice_index']:03d}.png" == row["File_name"]
        assert kept["width"] == float(row["Image_size"].split(",")[0])


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_random_damage_never_passes_unseen(tmp_path, data):
    """A changed byte gives a DataError, a said contradiction, or rows true to the changed file."""
    path = write_info(tmp_path, [info_row(), info_row(2), info_row(3)])
    content = bytearray(path.read_bytes())
    kind = data.draw(st.sampled_from(["flip", "cut", "insert", "swap"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "flip":
        content[place] = data.draw(st.integers(0, 255))
    elif kind == "cut":
        del content[place : place + data.draw(st.integers(1, 40))]
    elif kind == "insert":
        content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    else:
        content[place:] = content[place:][::-1]
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            frame = deeplesion.read_info(path)
        except DataError:
            return
    assert bool(said) == bool(frame.attrs["doubts"])
    faithful(frame, path)
