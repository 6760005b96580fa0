"""Marks from the log: one row each, scored, and as free-response data that reads back alike."""

import pandas as pd
import pytest
from reading_study import make_study

from camreader.__main__ import main
from camreader.common.errors import DataError
from camreader.session import mark_table
from camreader.session.log import ReadingLog
from camreader.session.progress import Reading
from camreader.session.sealed import open_all, release
from camreader.statistics.mrmc import obuchowski_rockette, read_jafroc


def mark(x, y, confidence):
    return {
        "x": x, "y": y, "x_mm": x * 0.8, "y_mm": y * 0.8, "slice": 0, "confidence": confidence,
        "milliseconds": 10,
    }  # fmt: skip


@pytest.fixture
def read(tmp_path):
    """Two readers have read six cases: Ann marks each lesion twice and a corner, Bob the corner."""
    design = make_study(tmp_path, cases=6, training_cases=1, size=64, marks="free_response")
    log, truth = ReadingLog(tmp_path / "readings.sqlite", design.study), open_all(tmp_path)
    for name in ("Ann", "Bob"):
        reading = Reading(design, log, name)
        for turn, step in enumerate(reading.steps):
            marks = [mark(63, 63, 1 + turn % 5)]
            for lesion in truth[step.case]["lesions"] if name == "Ann" else []:
                x, y, _ = lesion["centre"]
                marks += [mark(x, y, 2), mark(x + 1, y, 4)]
            for kind, more in (("locked", {}), ("revised", {"helpfulness": "no"})):
                answer = {"diagnosis": "tumor", "confidence": 1, "marks": marks} | more
                reading.submit(kind, step.case, answer, f"{name} {kind} {turn}")
                if kind == "locked":
                    release(design, log, name, step.case)
        log.release(name)
    return tmp_path


def test_every_mark_is_a_row_and_the_surest_at_a_lesion_counts(read):
    found = mark_table.load(read / "readings.sqlite")
    assert list(found.table) == mark_table.COLUMNS and not found.simulated
    assert found.truth["lesions"].sum() == 3 and len(found.truth) == 6  # practice left out
    ann = found.table[(found.table["reader"] == "Ann") & (found.table["modality"] == "unaided")]
    assert ann["kind"].value_counts().to_dict() == {"NL": 6, "again": 3, "LL": 3}
    assert set(ann.loc[ann["kind"] == "LL", "confidence"]) == {4}
    assert set(ann.loc[ann["kind"] == "NL", "x_mm"]) == {63 * 0.8}
    bob = found.table[found.table["reader"] == "Bob"]
    assert set(bob["kind"]) == {"NL"} and set(bob["lesion"]) == {0}
    assert len(found.reads) == 2 * 2 * 6


def test_a_workbook_reads_back_the_same_digits(read):
    for name in ("marks.xlsx", "marks.csv"):
        target = str(read / name)
        assert main(["readings", "export", "--folder", str(read), "--marks", target]) == 0
    own = mark_table.load(read / "readings.sqlite").marks()
    back = read_jafroc(read / "marks.xlsx")
    keys = ["reader", "modality", "case", "mark", "lesion", "rating"]
    same = [x.marks[keys].sort_values(keys, ignore_index=True) for x in (own, back)]
    pd.testing.assert_frame_equal(*same)
    assert dict(zip(own.truth["case"], own.truth["weights"], strict=True)) == dict(
        zip(back.truth["case"], back.truth["weights"], strict=True)
    )
    results = [obuchowski_rockette(x, metric="wafroc").summary() for x in (own, back)]
    pd.testing.assert_frame_equal(*results)
    assert len(pd.read_csv(read / "marks.csv")) == 2 * (2 * 6 + 2 * 3)


def test_a_reader_who_marks_nothing_is_still_a_reader(read):
    found = mark_table.load(read / "readings.sqlite")
    bare = found.table[found.table["reader"] == "Ann"]
    marks = mark_table.Marked(bare, found.truth, found.reads, found.mode, 0, False).marks()
    assert set(marks.readers) == {"Ann", "Bob"}
    areas = obuchowski_rockette(marks, metric="wafroc").auc
    assert set(areas["Bob"]) == {0.5}  # nothing marked anywhere: every pair of cases is a tie


def test_a_study_without_marks_says_so(tmp_path):
    design = make_study(tmp_path, cases=2, training_cases=0, readers=1, size=8)
    log = ReadingLog(tmp_path / "readings.sqlite", design.study)
    reading = Reading(design, log, "Ann")
    answer = {"diagnosis": "tumor", "confidence": 1}
    reading.submit("locked", reading.steps[0].case, answer, "1")
    with pytest.raises(DataError, match="not asked for marks"):
        mark_table.load(tmp_path / "readings.sqlite")
