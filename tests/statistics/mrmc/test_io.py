"""Reading .imrmc and CSV: every broken row is named with its line in the file."""

import numpy as np
import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.statistics.mrmc.io import COLUMNS, arms, read_csv, read_imrmc, repeats, tidy

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
    assert frame["modality"].tolist() == ["A", "A", "B"]
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
    with pytest.raises(DataError, match="no text"):
        read_csv(tmp_path / "picture.csv")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="is empty"):
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


def study(**changes):
    rows = [
        (r, m, c, c[0] == "d", 1.0) for r in "ab" for m in "AB" for c in ("d1", "d2", "n1", "n2")
    ]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"truth": int, "score": object})
    for column, (row, value) in changes.items():
        table[column] = table[column].astype(object)
        table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"score": (3, 2**53 + 2)}, "Whole number too large.*row: 3; column: score"),
        ({"score": (3, "9007199254740993")}, "Whole number too large"),
        ({"score": (3, np.inf)}, "Not a number.*row: 3"),
        ({"reader": (3, None)}, "Name missing.*row: 3; column: reader"),
    ],
)
def test_values_that_would_be_silent_are_named(changes, words):
    with pytest.raises(DataError, match=words):
        tidy(study(**changes))


def test_one_case_under_two_spellings_is_asked_about(tmp_path):
    """Read as two cases, "007" and 7 gave p .00055 where it is .0149."""
    body = "r1,A,7,0,2\nr1,A,8,1,3\nr1,B,007,0,1\nr1,B,8,1,3\n"
    with pytest.raises(DataError, match=r"spelt in two ways.*row: 4; column: case; found: '007'"):
        read_csv(csv(tmp_path, body))
    mixed = study(case=(3, 7))
    assert tidy(mixed)["case"].iloc[3] == 7  # a number among names is one name more
    both = pd.concat([mixed, study(case=(3, "7")).iloc[[3]]], ignore_index=True)
    with pytest.raises(DataError, match="spelt in two ways"):
        tidy(both)


def test_names_lose_the_blanks_round_them(tmp_path):
    body = " r1 ,A, c1,0,2\nr1,A ,c2 ,1,4\n"
    frame = read_csv(csv(tmp_path, body))
    assert frame["reader"].unique().tolist() == ["r1"]
    assert frame["modality"].unique().tolist() == ["A"]
    assert frame["case"].tolist() == ["c1", "c2"]


def test_a_duplicate_under_a_repeated_label_is_one_row_of_words():
    frame = pd.concat([study(), study().iloc[[2]]])  # the label 2 stands twice
    with pytest.raises(DataError, match=r"Duplicate reading \(row: 2; found: reader a, modality A"):
        tidy(frame)


def test_clusters_are_kept_and_checked():
    frame = study().assign(patient=lambda t: t["case"].str[1])
    table = tidy(frame)
    assert list(table.columns) == [*COLUMNS, "cluster"]
    found = arms(table)
    assert [list(x) for x in found.clusters] == [["1", "2"], ["1", "2"]] and repeats(found.clusters)
    assert found.units("positives").tolist() == [[2, 2], [2, 2]]
    frame.loc[1, "patient"] = "9"
    with pytest.raises(DataError, match="Two clusters for one case"):
        tidy(frame)


def test_imrmcs_own_csv_is_read(tmp_path):
    header = "readerID,caseID,modalityID,score\n"
    body = "truth,n1,truth,0\ntruth,d1,truth,1\nr1,n1,A,2\nr1,d1,A,3\n"
    frame = read_csv(csv(tmp_path, body, header))
    assert frame[COLUMNS].to_numpy().tolist() == [
        ["r1", "A", "n1", 0, 2.0],
        ["r1", "A", "d1", 1, 3.0],
    ]
    with pytest.raises(DataError, match="Case without a truth row"):
        read_csv(csv(tmp_path, body + "r1,x,A,3\n", header))


def written(tmp_path, text, encoding="utf-8"):
    (tmp_path / "scores.csv").write_bytes(text.encode(encoding))
    return tmp_path / "scores.csv"


WIDE = [("r1", "A", "c1", "0", "0,5"), ("r1", "A", "c2", "1", "2,25"), ("r2", "A", "c1", "0", "1")]


@pytest.mark.parametrize(
    ("separator", "ends", "encoding", "comma"),
    [(";", "\r\n", "utf-16", True), ("\t", "\n", "utf-8-sig", True), (",", "\n", "utf-8", False)],
)
def test_tables_of_spreadsheets_are_read_alike(tmp_path, separator, ends, encoding, comma):
    """K3: pandas took the first column for an index where rows had one field more."""
    rows = [[c if comma else c.replace(",", ".") for c in row] for row in [COLUMNS, *WIDE]]
    lines = [separator.join(row) for row in rows]
    if separator == ";":
        lines = ["sep=;", *[line + separator for line in lines]]  # an empty column at the end
    frame = read_csv(written(tmp_path, ends.join(lines) + ends, encoding))
    assert frame["score"].tolist() == [0.5, 2.25, 1.0]
    assert frame["reader"].tolist() == ["r1", "r1", "r2"]


def test_a_row_with_a_stray_cell_is_refused(tmp_path):
    body = "r1,A,c1,0,0,35\nr1,A,c2,1,2,5\n"  # decimal commas between commas
    with pytest.raises(DataError, match=r"stray cells.*row: 2"):
        read_csv(csv(tmp_path, body))


def test_names_with_blanks_that_nobody_sees_are_one_reader(tmp_path):
    frame = read_csv(csv(tmp_path, "R3,A,c1,0,2\nR3\u00a0,A,c2,1,4\n\u200br3,A,c2,1,4\n"))
    assert frame["reader"].unique().tolist() == ["R3", "r3"]
    assert frame.attrs["flags"] == ["reader: R3, r3 differ in capitals or blanks only"]


def test_columns_that_nothing_reads_are_named(tmp_path):
    header = "Reader,treatment,case,truth,score,hospital\n"
    frame = read_csv(csv(tmp_path, "r1,A,c1,0,2,x\n", header))
    assert frame.attrs["flags"] == ["columns not read: hospital"]


def test_truth_rows_of_imrmcs_manual_and_of_r_are_read(tmp_path):
    body = '-1,n1,0,0\n"-1","d1","0","1"\n"r1","n1","A","2"\nr1,d1,A,3\n'
    frame = read_imrmc(imrmc(tmp_path, body))
    assert frame["truth"].tolist() == [0, 1] and frame["reader"].unique().tolist() == ["r1"]


def test_the_mark_of_invented_scores_survives_its_file(tmp_path):
    body = TRUTH + "r1,n1,A,1\nr1,d1,A,3\n"
    assert read_imrmc(imrmc(tmp_path, body)).attrs["simulated"] is False
    marked = imrmc(tmp_path, body)
    marked.write_text("SIMULATED: no person read anything\n" + marked.read_text())
    assert read_imrmc(marked).attrs["simulated"] is True
    header = "reader,modality,case,truth,score,simulated\n"
    assert read_csv(csv(tmp_path, "r1,A,c1,0,2,True\n", header)).attrs["simulated"] is True


# Inputs thought up by an adversary of the kinds that public reports named


def readings(**changes):
    rows = [(r, m, f"c{c}", c % 2, c) for r in ("Müller", "Ames") for m in "AB" for c in range(6)]
    frame = pd.DataFrame(rows, columns=["reader", "modality", "case", "truth", "score"])
    return frame.assign(**changes)


@pytest.mark.parametrize("sign", ["u\u0308", "\u00fc\u200b", "\u00fc\u00ad"])
def test_one_reader_in_two_spellings_is_one(tmp_path, sign):
    frame = readings()
    frame.loc[::3, "reader"] = frame.loc[::3, "reader"].str.replace("ü", sign)
    frame.to_csv(tmp_path / "s.csv", index=False)
    assert set(read_csv(tmp_path / "s.csv")["reader"]) == {"Müller", "Ames"}


def test_a_number_that_a_spreadsheet_shortened_is_no_name(tmp_path):
    frame = readings(case=lambda f: "1.23457E+" + (f["score"] + 17).astype(str))
    frame.to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(DataError, match=r"shortened.*row: 2; column: case"):
        read_csv(tmp_path / "s.csv")


def test_a_patient_that_is_missing_is_no_patient(tmp_path):
    frame = readings(patient=lambda f: ["NA" if c < 4 else f"P{c}" for c in f["score"]])
    frame.to_csv(tmp_path / "s.csv", index=False)
    with pytest.raises(DataError, match=r"for some cases only.*row: 2; column: cluster"):
        read_csv(tmp_path / "s.csv")


def test_names_that_may_be_one_or_none_are_flagged(tmp_path):
    rows = [(r, c) for r in ("nan", "Ann  B", "Ann B", "ann b") for c in range(6)]
    frame = readings(reader=[r for r, _ in rows], case=[f"c{c}" for _, c in rows], modality="A")
    frame.to_csv(tmp_path / "s.csv", index=False)
    flags = " | ".join(read_csv(tmp_path / "s.csv").attrs["flags"])
    assert "nan is taken for a name" in flags and "Ann  B, Ann B, ann b differ in" in flags


def test_separators_that_a_spreadsheet_left_in_an_imrmc_header_are_no_counts(tmp_path):
    head = "made up,,,\nN0:1,,,\nN1:1,,,\nNR:1,,,\nNM:1,,,\nBEGIN DATA:,,,\n"
    (tmp_path / "s.imrmc").write_text(head + TRUTH + "r1,n1,A,1\nr1,d1,A,3\n")
    assert read_imrmc(tmp_path / "s.imrmc").attrs["flags"] == []


def test_a_header_in_capitals_has_its_truth(tmp_path):
    readings().rename(columns=str.upper).to_csv(tmp_path / "s.csv", index=False)
    assert read_csv(tmp_path / "s.csv")["truth"].sum() == 12
