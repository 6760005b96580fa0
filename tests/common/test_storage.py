"""Files are whole or absent, and what people typed comes back as they typed it."""

import hashlib

import numpy as np
import pandas as pd
import pytest

from camreader.common import storage
from camreader.common.errors import DataError


def test_a_write_that_fails_leaves_the_old_file_and_no_scraps(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyError), storage.atomic_path(path) as temporary:
        temporary.write_text("half of the new")
        raise KeyError
    assert path.read_text() == "old" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    with storage.atomic_path(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new" and [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize(
    "typed", ["=1+1", "+cmd", "-cmd", "@x", "'=quoted", "\ttab", "-3 mm", "plain", "NA", "'quote"]
)
def test_text_comes_back_as_typed_and_no_spreadsheet_runs_it(tmp_path, typed):
    path = tmp_path / "t.csv"
    storage.write_shared_csv(pd.DataFrame({"said": [typed], "n": [-3]}), path)
    back = storage.read_shared_csv(path)
    assert back["said"].tolist() == [typed] and back["n"].tolist() == [-3]
    raw = pd.read_csv(path, keep_default_na=False)["said"].iloc[0]
    assert raw[0] not in "=+@\t" and (raw[0] != "-" or raw == "-3 mm")


def test_what_is_missing_or_broken_is_named(tmp_path):
    with pytest.raises(DataError, match=r"Table not found.*none\.csv"):
        storage.read_table(tmp_path / "none.csv")
    (tmp_path / "bad.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"Table cannot be read.*bad\.parquet"):
        storage.read_table(tmp_path / "bad.parquet")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match=r"not valid JSON.*bad\.json"):
        storage.read_json(tmp_path / "bad.json")
    with pytest.raises(DataError, match=r"File not found; `make report` writes it.*none\.json"):
        storage.read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("name", "notebook"),
    [("cohort.parquet", "01_ingest"), ("cohort.json", "01_ingest"), ("predictions.parquet", "02_")],
)
def test_who_opens_a_notebook_too_early_is_told_which_one_to_run(tmp_path, name, notebook):
    read = storage.read_json if name.endswith("json") else storage.read_table
    with pytest.raises(DataError, match=f"not found; {notebook}"):
        read(tmp_path / name)


def test_equal_content_gives_equal_bytes(tmp_path):
    storage.write_json({"b": 1, "a": [2]}, tmp_path / "one.json")
    storage.write_json({"a": [2], "b": 1}, tmp_path / "two.json")
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert storage.read_json(tmp_path / "one.json") == {"a": [2], "b": 1}


def test_a_png_cut_short_is_not_whole(tmp_path):
    path = tmp_path / "a.png"
    whole = storage.PNG_BEGINS + bytes(50) + storage.PNG_ENDS
    for content, expected in ((whole, True), (whole[:-1], False), (b"", False), (bytes(90), False)):
        path.write_bytes(content)
        assert storage.png_is_whole(path) is expected
    assert not storage.png_is_whole(tmp_path / "none.png")


def test_a_digest_is_that_of_all_parts_one_after_another(tmp_path):
    """Against hashlib on the bytes put together by hand."""
    (tmp_path / "file").write_bytes(bytes(3 * 2**20) + b"end")
    array = np.arange(6, dtype="int16")
    whole = "ä1".encode() + b"raw" + array.tobytes() + bytes(3 * 2**20) + b"end"
    found = storage.digest("ä", "1", b"raw", array.data, tmp_path / "file")
    assert found == hashlib.sha256(whole).hexdigest()
    assert storage.digest() == hashlib.sha256().hexdigest()
