"""Marks: what an answer may hold, and when a lesion is under one."""

import numpy as np
import pytest
from reading_kernel import KeeperHere, Page
from reading_study import make_study

from camreader.common.errors import DataError
from camreader.session import widget as session_module
from camreader.session.log import Refused
from camreader.session.marks import check_marks, check_mode, lesion_of, rule_in_words

GEOMETRY = {"shape": (1, 40, 60), "spacing_mm": 0.5}
MARK = {"x": 12.5, "y": 7.0, "slice": 0, "confidence": 3, "milliseconds": 900}
MARK |= {"x_mm": 6.25, "y_mm": 3.5}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": 59.6}, "lies on its slice"),
        ({"y": -0.6}, "lies on its slice"),
        ({"slice": 1}, "lies on its slice"),
        ({"confidence": 0}, "confidence from 1 to 5"),
        ({"confidence": 2.5}, "confidence from 1 to 5"),
        ({"x": float("nan")}, "numbers"),
        ({"x": True}, "numbers"),
        ({"x_mm": 6.3}, "pixels times the spacing"),
        ({"milliseconds": -1}, "while its case is open"),
        ({"more": 1}, "A mark has"),
    ],
)
def test_a_mark_that_cannot_be_is_refused_in_words(change, words):
    check_marks([MARK], "free_response", GEOMETRY)
    with pytest.raises(Refused, match=words):
        check_marks([MARK | change], "free_response", GEOMETRY)


def test_how_many_marks_an_answer_has():
    check_marks([], "free_response", GEOMETRY)
    check_marks(None, "", GEOMETRY)
    for given, mode in (([], "lroc"), ([MARK, MARK], "lroc"), (None, "lroc"), ([MARK], "")):
        with pytest.raises(Refused):
            check_marks(given, mode, GEOMETRY)
    with pytest.raises(Refused, match="at most 40"):
        check_marks([MARK] * 41, "free_response", GEOMETRY)
    with pytest.raises(DataError, match="free_response, lroc"):
        check_mode("froc", 0)
    with pytest.raises(DataError):
        check_mode("lroc", -1)


def box_lesion(x1, y1, x2, y2, slice_=0):
    centre = [(x1 + x2) / 2, (y1 + y2) / 2, slice_]
    return {"centre": centre, "parts": [{"slice": slice_, "box": [x1, y1, x2, y2]}]}


def test_a_box_reaches_to_the_edges_of_its_outermost_pixels():
    lesions = [box_lesion(10, 20, 14, 30)]
    for x, y, found in ((9.5, 20, 1), (9.4, 20, 0), (14.5, 30.5, 1), (14.6, 25, 0), (12, 30.6, 0)):
        assert lesion_of({"x": x, "y": y, "slice": 0}, lesions) == found
    assert lesion_of({"x": 12, "y": 25, "slice": 1}, lesions) == 0


def test_an_outline_is_what_opencv_says_it_is():
    """Reference: cv2.pointPolygonTest, signed distance; accepted to half a pixel outside."""
    cv2 = pytest.importorskip("cv2")
    outline = [[5, 5], [25, 8], [15, 14], [26, 24], [6, 22]]  # not convex
    lesion = {"centre": [15, 15, 0], "parts": [{"slice": 0, "box": [5, 5, 26, 24]}]}
    lesion["parts"][0]["outline"] = outline
    polygon, rng = np.array(outline, np.float32), np.random.default_rng(0)
    answers = []
    for x, y in rng.uniform(0, 30, (3000, 2)):
        distance = cv2.pointPolygonTest(polygon, (float(x), float(y)), True)
        if abs(distance + 0.5) > 1e-4:
            expected = int(distance > -0.5)
            assert lesion_of({"x": x, "y": y, "slice": 0}, [lesion]) == expected, (x, y, distance)
            answers.append(expected)
    assert 0.2 < np.mean(answers) < 0.6


def test_within_millimetres_of_the_centre_over_slices():
    lesions = [box_lesion(10, 10, 20, 20), box_lesion(30, 10, 40, 20)]
    rule = {"within_mm": 10, "spacing_mm": 0.8}
    assert lesion_of({"x": 27.4, "y": 15, "slice": 0}, lesions, **rule) == 1 + 1  # 6.1 mm, 9.9 mm
    assert lesion_of({"x": 22.4, "y": 15, "slice": 0}, lesions, **rule) == 1
    assert lesion_of({"x": 15, "y": 27.6, "slice": 0}, lesions, **rule) == 0  # 10.1 mm
    near = {"x": 15, "y": 15, "slice": 1}
    assert lesion_of(near, lesions, **rule, step_mm=5) == 1
    assert lesion_of(near, lesions, **rule, step_mm=11) == 0
    assert lesion_of(near, lesions, **rule) == 0  # slices of unknown distance
    with pytest.raises(DataError, match="size of a pixel"):
        lesion_of(near, lesions, 10)
    assert "10 mm" in rule_in_words(10) and "outline" in rule_in_words(0)


@pytest.fixture
def page_of(tmp_path, monkeypatch):
    monkeypatch.setattr(session_module, "Keeper", KeeperHere)
    pages = []

    def make(**plan):
        design = make_study(tmp_path, cases=4, training_cases=1, **plan)
        pages.append(Page(tmp_path))
        return pages[-1], design

    yield make
    for page in pages:
        page.session.close()


def answer(*places, **more):
    """An answer with marks at places in pixels of 0.8 mm."""
    marks = [
        {"x": x, "y": y, "x_mm": x * 0.8, "y_mm": y * 0.8, "slice": 0}
        | {"confidence": 4, "milliseconds": 5}
        for x, y in places
    ]
    return {"diagnosis": "tumor", "confidence": 2, "marks": marks} | more


def test_marks_are_locked_with_their_answer_and_stand_at_the_next_stage(page_of):
    page, _ = page_of(marks="free_response")
    case = page.case
    assert page.state["marks"] == [] and page.state["spacing"] == 0.8
    assert not page.event("locked", {"diagnosis": "tumor", "confidence": 2})["ok"]
    first = answer((3, 4), (10.25, 11.5))
    assert page.event("locked", first)["ok"]
    assert page.state["marks"] == first["marks"]
    assert page.event("revised", answer((3, 4), helpfulness="no"), case)["ok"]
    stored = [e["payload"]["marks"] for e in page.session.reading.events if "marks" in e["payload"]]
    assert [len(marks) for marks in stored] == [2, 1] and stored[0] == first["marks"]
    late = answer((1, 1), target="unaided")
    assert "final" in page.event("corrected", late, case)["words"]
    assert page.event("corrected", {k: v for k, v in late.items() if k != "marks"}, case)["ok"]


def test_practice_shows_the_lesion_and_whether_each_mark_was_accepted(page_of):
    from camreader.session.sealed import open_all

    page, design = page_of(marks="free_response", seed=1)
    truth = open_all(design.folder)
    case, lesions = page.case, truth[page.case]["lesions"]
    centre = tuple(lesions[0]["centre"][:2]) if lesions else (1, 1)
    corner = (63, 63)  # in no lesion of `make_study`
    page.event("locked", answer(centre, corner))
    assert page.state["review"] is None
    assert "lesions" not in str(page.session.get_state()["state"])
    page.event("revised", answer(centre, corner, helpfulness="no"), case)
    review = page.state["review"]
    assert [mark["accepted"] for mark in review["marks"]] == [bool(lesions), False]
    assert review["lesions"] == [part for lesion in lesions for part in lesion["parts"]]
    assert case in page.session._slices  # its picture is there once more
    page.event("locked", answer())
    page.event("revised", answer(helpfulness="no"))
    assert page.state["review"] is None and not page.state["training"]


def test_a_study_without_marks_takes_none(page_of):
    page, _ = page_of()
    reply = page.event("locked", answer((3, 4)))
    assert not reply["ok"] and "no marks" in reply["words"]
