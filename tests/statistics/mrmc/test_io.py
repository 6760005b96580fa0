"""Reading .imrmc and CSV: every broken row is named with its line in the file."""

import numpy as np
import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.statistics.mrmc.io import COLUMNS, arms, read_csv, read_imrmc, tidy

HEADER = "A small study\nN0:1\nN1:1\nNR:1\nNM:2\nBEGIN DATA:\n"
TRUTH = "-1,n1,truth,0\n-1,d1,truth,1\n"


def imrmc(tmp_path, body, header=HEADER):
    path = tmp_path / "study.imrmc"
    path.write_text(header + body)
    return path


def csv(tmp_path, body, header="reader,modality,case,truth,rating\n"):
    path = tmp_path / "study.csv"
    path.write_text(header + body)
    return path


def test_imrmc_gives_the_tidy_table(tmp_path):
    frame = read_imrmc(imrmc(tmp_path, TRUTH + "r1,n1,A,2.5\n r1 , d1 , A , 4 \n\nr1,n1,B,1\n"))
    assert list(frame.columns) == COLUMNS
    assert frame["score"].tolist() == [2.5, 4.0, 1.0]
    assert frame["truth"].tolist() == [0, 1, 0]
    assert frame["treatment"].tolist() == ["A", "A", "B"]
    assert frame.attrs["flags"] == []


def test_header_counts_that_differ_are_flagged(tmp_path):
    flags = read_imrmc(imrmc(tmp_path, TRUTH + "r1,n1,A,1\n")).attrs["flags"]
    assert "header says NM = 2, the data have 1" in flags
    assert "1 cases have a truth but no reading" in flags


@pytest.mark.parametrize(
    ("body", "words", "row"),
    [
        (TRUTH + "r1,n1,A,high\n", "Not a number", 9),
        (TRUTH + "r1,n1,A,inf\n", "Not a number", 9),
        (TRUTH + "r1,n1,A\n", "Broken row", 9),
        (TRUTH + "r1,n1,A,1\nr1,n1,A,2\n", "Duplicate reading", 10),
        (TRUTH + "r1,x9,A,1\n", "without a truth", 9),
        (TRUTH + "-1,n1,truth,1\nr1,n1,A,1\n", "Second truth", 9),
        ("-1,n1,truth,3\nr1,n1,A,1\n", "Unknown truth", 8),
        (TRUTH + ",n1,A,1\n", "Name missing", 9),
    ],
)
def test_broken_imrmc_rows_are_named(tmp_path, body, words, row):
    path = imrmc(tmp_path, body)
    with pytest.raises(DataError, match=words) as error:
        read_imrmc(path)
    assert error.value.places["file"] == path
    assert error.value.places["row"] == row


def test_files_that_are_no_study_are_refused(tmp_path):
    with pytest.raises(DataError, match="not found"):
        read_imrmc(tmp_path / "absent.imrmc")
    with pytest.raises(DataError, match="BEGIN DATA"):
        read_imrmc(imrmc(tmp_path, "hello\n", header=""))
    with pytest.raises(DataError, match="No readings"):
        read_imrmc(imrmc(tmp_path, TRUTH))
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "picture.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="cannot be read"):
        read_csv(tmp_path / "empty.csv")


def test_csv_accepts_other_names_and_flags_blank_scores(tmp_path):
    frame = read_csv(csv(tmp_path, "r1,A,c1,0,2\nr1,A,c2,1,\nr1,B,c1,0,1\n"))
    assert frame["score"].tolist() == [2.0, 1.0]
    assert frame.attrs["flags"] == ["1 readings without a score left out (first: row 3)"]


@pytest.mark.parametrize(
    ("body", "words", "row"),
    [
        ("r1,A,c1,0,2\nr1,A,c2,1,five\n", "Not a number", 3),
        ("r1,A,c1,0,2\nr1,A,c1,0,3\n", "Duplicate reading", 3),
        ("r1,A,c1,0,2\nr2,A,c1,1,3\n", "Two truths", 3),
        ("r1,A,c1,2,2\n", "Unknown truth", 2),
        ("r1,A,c1,yes,2\n", "Not a number", 2),
        ("r1,A,c1,,2\n", "Unknown truth", 2),
    ],
)
def test_broken_csv_rows_are_named(tmp_path, body, words, row):
    with pytest.raises(DataError, match=words) as error:
        read_csv(csv(tmp_path, body))
    assert error.value.places["row"] == row


def test_missing_column_is_named(tmp_path):
    with pytest.raises(DataError, match="column: score"):
        read_csv(csv(tmp_path, "r1,A,c1,0\n", header="reader,treatment,case,truth\n"))


def test_arms_keep_missing_readings_missing():
    rows = [("r1", "A", "c1", 1, 5), ("r1", "A", "c2", 0, 1), ("r2", "A", "c1", 1, 3)]
    result = arms(tidy(pd.DataFrame(rows, columns=COLUMNS)))
    assert result.positives.tolist() == [[[5.0], [3.0]]]
    assert result.negatives[0, 0, 0] == 1.0
    assert np.isnan(result.negatives[0, 1, 0])
    assert not result.crossed
    assert result.keep_readers(np.array([True, False])).crossed
