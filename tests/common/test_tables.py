"""The contract between notebooks: what breaks it is named where a person finds it."""

import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.common.storage import read_table, write_table
from camreader.common.tables import Predictions, check

GOOD = {
    "slice_id": ["a", "b", "c"],
    "protocol": "sound",
    "run": "final",
    "seed": 0,
    "split": "test",
    "logit": 0.5,
    "probability": [0.1, 0.2, 0.3],
    "predicted": 0,
}


def test_a_row_is_named_by_its_line_in_a_csv_and_counted_from_1_elsewhere(tmp_path):
    frame = pd.DataFrame(GOOD | {"probability": [0.1, 0.2, 1.5]})
    for name, row in (("t.csv", "line 4"), ("t.parquet", "3 of the table, counted from 1")):
        write_table(frame, tmp_path / name)
        with pytest.raises(DataError, match="breaks its schema in 1 place") as raised:
            read_table(tmp_path / name, Predictions)
        assert raised.value.places["row"] == row and raised.value.places["found"] == 1.5
        assert raised.value.places["column"] == "probability"
    assert "1.5" in (tmp_path / "t.csv").read_text().splitlines()[4 - 1]


def test_a_missing_column_has_no_row():
    with pytest.raises(DataError) as raised:
        check(pd.DataFrame(GOOD).drop(columns="logit"), Predictions)
    assert "row" not in raised.value.places and "logit" in str(raised.value)
