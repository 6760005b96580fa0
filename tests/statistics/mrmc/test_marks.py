"""Marks against sums written out case by case, the workbook's round trip, and broken tables."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from camreader.common.errors import DataError
from camreader.statistics.mrmc import analysis, checks, marks

MARKS = pd.DataFrame(
    [
        ("A", "r1", "n1", "NL", 1, 2.0),
        ("A", "r1", "n1", "NL", 2, 3.0),
        ("A", "r1", "d1", "LL", 1, 4.0),
        ("A", "r1", "d1", "NL", 1, 5.0),
        ("A", "r1", "d2", "LL", 2, 3.0),
        ("A", "r2", "d1", "LL", 1, 1.0),
        ("B", "r1", "d2", "LL", 1, 2.0),
        ("B", "r1", "n2", "NL", 1, 1.0),
        ("B", "r2", "d3", "LL", 1, 4.0),
        ("B", "r2", "d1", "NL", 1, 1.0),
    ],
    columns=["modality", "reader", "case", "mark", "index", "rating"],
)
TRUTH = pd.DataFrame(
    {
        "case": ["n1", "n2", "n3", "d1", "d2", "d3"],
        "lesions": [0, 0, 0, 1, 2, 1],
        "weights": ["", "", "", "1", "0.25;0.75", ""],
    }
)


@pytest.fixture
def read():
    return marks.read_marks(MARKS, TRUTH)


def rating(modality, reader, case, kind, lesion=None):
    """Highest rating of the marks of one kind, -inf without one."""
    rows = MARKS.query("modality == @modality and reader == @reader and case == @case")
    rows = rows[rows["mark"] == kind]
    rows = rows if lesion is None else rows[rows["index"] == lesion]
    return rows["rating"].max() if len(rows) else -np.inf


def above(high, low):
    return float(high > low) + 0.5 * float(high == low)


WEIGHTS = {"d1": [1.0], "d2": [0.25, 0.75], "d3": [1.0]}
FREE, SICK = ["n1", "n2", "n3"], list(WEIGHTS)


def by_hand(metric, modality, reader):
    """The definition of each figure of merit (Chakraborty 2017), written out."""
    own = (modality, reader)
    columns = FREE + SICK if metric.endswith("1") else FREE
    low = [rating(*own, case, "NL") for case in columns]
    lesions = [(c, k + 1, w) for c, ws in WEIGHTS.items() for k, w in enumerate(ws)]
    if metric.startswith("afroc"):
        highs = [rating(*own, c, "LL", k) for c, k, _ in lesions]
        return np.mean([above(h, x) for h in highs for x in low])
    if metric.startswith("wafroc"):
        parts = [w * above(rating(*own, c, "LL", k), x) for c, k, w in lesions for x in low]
        return sum(parts) / len(SICK) / len(low)
    total = 0.0
    for case in SICK:
        best, wrong = (rating(*own, case, kind) for kind in ("LL", "NL"))
        for x in low:
            if metric == "hr_auc":
                total += above(max(best, wrong), x)
            elif best > -np.inf:
                total += above(best, wrong) * above(best, x)
    return total / len(SICK) / len(low)


@pytest.mark.parametrize("metric", marks.KERNELS)
def test_every_figure_of_merit_is_its_definition(read, metric):
    found = checks.from_marks(read, metric).theta
    expected = [[by_hand(metric, m, r) for r in ("r1", "r2")] for m in ("A", "B")]
    np.testing.assert_allclose(found, expected)


def test_the_jackknife_leaves_out_whole_cases(read):
    """Against the figure of merit computed anew without each case."""
    values = []
    for left in TRUTH["case"]:
        rest = marks.read_marks(MARKS[MARKS["case"] != left], TRUTH[TRUTH["case"] != left])
        arms = {(m, r): k for k, (m, r) in enumerate([("A", "r1"), ("A", "r2"), ("B", "r1")])}
        found = checks.from_marks(rest, "afroc1")
        names = [(m, r) for m in rest.modalities for r in rest.readers]
        at = dict(zip(names, found.theta.ravel(), strict=True))
        values.append([at.get(name, np.nan) for name in arms])
    values = np.array(values).T
    gaps = values - values.mean(1, keepdims=True)
    expected = 5 / 6 * gaps @ gaps.T
    np.testing.assert_allclose(checks.from_marks(read, "afroc1").matrix[:3, :3], expected)


def test_cases_of_one_patient_leave_together():
    truth = TRUTH.assign(patient=["p1", "p2", "p3", "p1", "p2", "p3"])
    result = analysis.obuchowski_rockette(marks.read_marks(MARKS, truth), metric="wafroc")
    assert (result.unit, result.units) == ("patients", 3)
    alone = analysis.obuchowski_rockette(
        marks.read_marks(MARKS, truth), metric="wafroc", cluster=False
    )
    assert (alone.unit, alone.units) == ("cases", 6)
    assert result.difference == alone.difference


def test_lesion_sensitivity_is_read_off_the_froc_curve(read):
    found = marks.ratings(read)
    rate, share = marks.froc_points(found, 0, 0)
    # thresholds 5, 4, 3, 2: 1, 1, 2, 3 non-lesion marks on 6 cases; 0, 1, 2, 2 of 4 lesions
    assert rate.tolist() == pytest.approx([0, 1 / 6, 1 / 6, 2 / 6, 3 / 6])
    assert share.tolist() == [0, 0, 0.25, 0.5, 0.5]
    assert marks.lesion_sensitivity(found, 0, 0, 2 / 6) == pytest.approx(0.5)
    assert marks.lesion_sensitivity(found, 0, 0, 0.25) == pytest.approx(0.375)
    result = analysis.obuchowski_rockette(read, metric="lesion_sensitivity", at=0.3)
    assert np.isfinite(result.differences["difference"][0])


def test_the_workbook_comes_back_as_it_was_written(read, tmp_path):
    pytest.importorskip("openpyxl")
    marks.write_jafroc(read, tmp_path / "study.xlsx")
    again = marks.read_jafroc(tmp_path / "study.xlsx")
    keys = ["modality", "reader", "case", "mark", "lesion"]
    first, second = (x.marks.sort_values(keys, ignore_index=True) for x in (read, again))
    second["lesion"] = second["lesion"].where(second["mark"] == "LL", first["lesion"])
    pd.testing.assert_frame_equal(
        first[[*keys, "rating"]], second[[*keys, "rating"]], check_dtype=False
    )
    assert dict(zip(again.truth["case"], again.truth["weights"], strict=True)) == dict(
        zip(read.truth["case"], read.truth["weights"], strict=True)
    )
    for metric in ("wafroc", "hr_auc"):
        a, b = (checks.from_marks(x, metric).theta for x in (read, again))
        np.testing.assert_allclose(np.sort(a.ravel()), np.sort(b.ravel()))


def test_tidy_marks_come_back_as_they_were_written(read, tmp_path):
    paths = tmp_path / "marks.csv", tmp_path / "truth.csv"
    marks.write_marks(read, *paths)
    again = marks.read_marks(*paths)
    pd.testing.assert_frame_equal(
        again.marks.reset_index(drop=True), read.marks, check_dtype=False, check_index_type=False
    )
    assert again.truth["weights"].tolist() == read.truth["weights"].tolist()


@pytest.mark.parametrize("names", [("Truth", "FP", "TP"), ("TRUTH", "NL", "LL")])
def test_older_names_of_the_sheets_are_read(names, tmp_path):
    pytest.importorskip("openpyxl")
    truth = {"CaseID": [1, 2, 2], "LesionID": [0, 1, 2], "Weight": [0, 0.5, 0.5]}
    keys = {"ReaderID": [1], "ModalityID": [1]}
    with pd.ExcelWriter(tmp_path / "x.xlsx") as book:
        pd.DataFrame(truth).to_excel(book, sheet_name=names[0], index=False)
        nl = pd.DataFrame({**keys, "CaseID": [1], "FP_Rating": [2]})
        nl.to_excel(book, sheet_name=names[1], index=False)
        ll = pd.DataFrame({**keys, "CaseID": [2], "LesionID": [2], "TP_Rating": [5]})
        ll.to_excel(book, sheet_name=names[2], index=False)
    found = marks.read_jafroc(tmp_path / "x.xlsx")
    assert found.truth["lesions"].tolist() == [0, 2]
    assert found.marks[["case", "mark", "rating"]].to_numpy().tolist() == [
        ["1", "NL", 2.0],
        ["2", "LL", 5.0],
    ]


def test_no_workbook_is_said_to_be_none(tmp_path):
    pytest.importorskip("openpyxl")
    with pytest.raises(DataError, match="Workbook not found"):
        marks.read_jafroc(tmp_path / "absent.xlsx")
    (tmp_path / "text.xlsx").write_text("no workbook")
    with pytest.raises(DataError, match="cannot be read"):
        marks.read_jafroc(tmp_path / "text.xlsx")
    pd.DataFrame({"a": [1]}).to_excel(tmp_path / "one.xlsx", sheet_name="LL")
    with pytest.raises(DataError, match=r"Sheet missing.*expected: TRUTH"):
        marks.read_jafroc(tmp_path / "one.xlsx")


def changed(row, column, value):
    table = MARKS.astype(object)
    table.loc[row, column] = value
    return table


@pytest.mark.parametrize(
    ("marks_table", "truth", "words"),
    [
        (changed(2, "mark", "hit"), TRUTH, "Unknown kind of mark.*row: 2; column: mark"),
        (changed(2, "rating", "high"), TRUTH, "Not a number.*row: 2; column: rating"),
        (changed(2, "rating", None), TRUTH, "Rating missing.*row: 2"),
        (changed(2, "case", "d9"), TRUTH, "Case without a truth.*row: 2"),
        (changed(2, "index", 2), TRUTH, "No such lesion in this case.*row: 2"),
        (changed(0, "mark", "LL"), TRUTH, "No such lesion in this case.*row: 0"),
        (pd.concat([MARKS, MARKS.iloc[[2]]]), TRUTH, "One lesion marked twice"),
        (MARKS.drop(columns="rating"), TRUTH, "Column missing.*column: rating"),
        (MARKS, TRUTH.assign(weights="0.5;0.6"), "Not one weight per lesion.*row: 3"),
        (MARKS, TRUTH.assign(weights=["", "", "", "1", "0.5;0.9", ""]), "do not sum to 1"),
        (MARKS, pd.concat([TRUTH, TRUTH.iloc[[0]]]), "Second truth for a case"),
        (MARKS, TRUTH.assign(lesions=-1), "Not a number of lesions"),
        (MARKS, TRUTH.drop(columns="lesions"), "column: lesions"),
        (MARKS.iloc[:2], TRUTH.assign(lesions=0, weights=""), "No case with a lesion"),
    ],
)
def test_broken_tables_are_named(marks_table, truth, words):
    with pytest.raises(DataError, match=words):
        marks.read_marks(marks_table, truth)


def test_what_marks_cannot_give_is_said(read):
    free = TRUTH[TRUTH["lesions"] > 0]
    sick = marks.read_marks(MARKS[MARKS["case"].isin(free["case"])], free)
    with pytest.raises(DataError, match=r"No case without a lesion.*afroc1"):
        checks.from_marks(sick, "wafroc")
    assert np.isfinite(checks.from_marks(sick, "wafroc1").theta).all()
    with pytest.raises(DataError, match="metric of marks is one of"):
        analysis.obuchowski_rockette(read, metric="auc")
    with pytest.raises(DataError, match="takes cases of one patient for independent"):
        analysis.obuchowski_rockette(read, "unbiased", metric="wafroc")
    with pytest.raises(DataError, match="at is out of its range"):
        analysis.obuchowski_rockette(read, metric="lesion_sensitivity")


def test_what_a_reader_did_not_read_does_not_count():
    """r2 read no d3 under A: not the same as having missed it."""
    every = pd.DataFrame(
        [(r, m, c) for r in ("r1", "r2") for m in ("A", "B") for c in TRUTH["case"]],
        columns=["reader", "modality", "case"],
    )
    fewer = every[
        ~((every["reader"] == "r2") & (every["modality"] == "A") & (every["case"] == "d3"))
    ]
    whole, part = (
        checks.from_marks(marks.read_marks(MARKS, TRUTH, reads), "hr_auc").theta
        for reads in (every, fewer)
    )
    assert whole[0, 1] != part[0, 1] and whole[1, 1] == part[1, 1]


def test_the_mark_of_invented_marks_survives_workbook_and_tables(read, tmp_path):
    pytest.importorskip("openpyxl")
    for word in (True, False):
        told = replace(read, simulated=word)
        marks.write_jafroc(told, tmp_path / "study.xlsx")
        assert marks.read_jafroc(tmp_path / "study.xlsx").simulated is word
        paths = tmp_path / "marks.csv", tmp_path / "truth.csv"
        marks.write_marks(told, *paths)
        assert marks.read_marks(*paths).simulated is word
    marked = pd.read_csv(paths[0]).assign(Simulated="yes")
    marked.to_csv(paths[0], index=False)
    assert marks.read_marks(*paths).simulated
