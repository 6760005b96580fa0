"""DeepLesion's layouts: series folders, zips unpacked apart, loose slices, key slices alone."""

import numpy as np
import pytest
from slices_fixture import slice_hu, write_deeplesion, write_png

from camreader.cohorts import cohort, pixels, series
from camreader.common.errors import DataError


def moved(folder, how):
    """The same slices where other ways of unpacking put them."""
    root = folder / "Images_png"
    for path in sorted(root.glob("*/*.png")):
        name = f"{path.parent.name}_{path.name}"
        target = (
            root / name if how == "flat" else root / "Images_png_07" / path.parent.name / path.name
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    for path in root.glob("00*"):
        if path.is_dir():
            path.rmdir()


@pytest.mark.parametrize("how", ["flat", "nested"])
def test_slices_that_lie_elsewhere_are_the_same_cohort(tmp_path, how):
    write_deeplesion(tmp_path)
    wanted, _card = cohort.load(tmp_path)
    before = pixels.read_hu(tmp_path / wanted["image_path"][3])
    moved(tmp_path, how)
    frame, _card = cohort.load(tmp_path)
    assert frame.drop(columns="image_path").equals(wanted.drop(columns="image_path"))
    assert np.array_equal(pixels.read_hu(tmp_path / frame["image_path"][3]), before)


def test_key_slices_alone_have_no_negatives_and_are_told_so(tmp_path):
    write_deeplesion(tmp_path)
    for path in (tmp_path / "Images_png").rglob("*.png"):
        if path.name != "005.png":
            path.unlink()
    with pytest.raises(DataError, match="not the key slices alone"):
        cohort.load(tmp_path)


def test_series_that_the_table_does_not_know(tmp_path):
    write_deeplesion(tmp_path)
    (tmp_path / "Images_png").rename(tmp_path / "old")
    write_png(tmp_path / "Images_png" / "000077_01_01" / "005.png", slice_hu())
    with pytest.raises(DataError, match=r"1 series, none of them in DL_info\.csv"):
        series.slices(tmp_path)


def test_columns_of_dl_info_that_are_not_read_are_named(tmp_path):
    write_deeplesion(tmp_path)
    table = tmp_path / "DL_info.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join([lines[0] + ",Select", *(f"{line},2" for line in lines[1:])]))
    with pytest.warns(UserWarning, match="contradiction"):
        _frame, card = cohort.load(tmp_path)
    assert card["doubts"] == ["columns that are not read: Select"]
