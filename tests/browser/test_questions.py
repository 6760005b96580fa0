"""A question added to the list alone is on the page, in the log and in the tables."""

import numpy as np
import pytest
from reading_room import (
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    said,
    serving,
    wait_for,
)

from browser import chromium  # noqa: F401 (a fixture)
from camreader.session.questions import QUESTIONS, Option, Question
from camreader.session.sealed import unpack_map
from camreader.session.tidy import load_tidy
from camreader.viewer.widget import pack_map

ADDED = (
    Question(
        "trust",
        "scale",
        "How far do you trust the network?",
        tuple(Option(value, keys=str(value + 4)) for value in range(1, 6)),  # keys 5 to 9
        stages=("aided",),
        short="trust",
    ),
    Question("size", "slider", "How large is it, in mm?", high=50, short="size"),
    Question("where", "text", "Where is it?", stages=("unaided",), required=False),
)


@pytest.fixture
def room(tmp_path):
    QUESTIONS.extend(ADDED)
    yield Room(tmp_path, cases=2, training_cases=0)
    del QUESTIONS[-len(ADDED) :]


def slide(page, times):
    """Move the slider from its middle, 25, by the keyboard."""
    page.get_by_label(ADDED[1].prompt).focus()
    for _ in range(times):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")


def test_a_question_added_to_the_list_is_asked_and_stored(open_page, room):  # noqa: F811
    """The server knows it from the design alone: its own list is the short one."""
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page)
        for turn, step in enumerate(room.design.steps(1)):
            wait_for(page, "unaided", step.case)
            assert page.get_by_text(ADDED[0].prompt).count() == 0
            page.keyboard.press("7")  # trust is not asked yet: the key says nothing
            press_answer(page, "tumor", 4)
            page.keyboard.press("Enter")
            assert "Please answer first: How large is it, in mm?" in said(page)
            page.get_by_label("Where is it?").fill(f"segment {turn}")
            slide(page, 3 + turn)
            raw, shape = unpack_map(room.truth[step.case])
            packed = pack_map(np.frombuffer(raw, np.uint8).reshape(shape) / 255)["data"]
            assert packed not in page.traffic.received  # nothing of the case before its lock
            assert str(room.truth[step.case]["cnn_probability"]).encode() not in (
                page.traffic.received
            )
            page.keyboard.press("Enter")
            wait_for(page, "aided", step.case)
            assert packed in page.traffic.received
            slide(page, 1)
            page.keyboard.press("8")
            page.keyboard.press("j")
            page.get_by_text("fairly").wait_for()
            press_answer(page, "no tumor", 2)  # the last that is required: stored at once
        wait_for(page, "finished")
        page.keyboard.press("u")
        table = page.locator(".cr-answers table").inner_text()
        assert "Tumor, 4 of 5, size: 28" in table
        assert "No tumor, 2 of 5, helpful: yes, trust: 4, size: 26" in table
        page.get_by_role("button", name="Correct").first.click()
        page.keyboard.press("6")
        page.keyboard.press("Enter")
        page.wait_for_selector(".cr-answers table")
        assert page.errors == []
    frame = load_tidy(room.database).set_index("modality")
    assert frame.loc["unaided", "size"].tolist() == [28, 29]
    assert frame.loc["unaided", "where"].tolist() == ["segment 0", "segment 1"]
    assert frame.loc["aided", "size"].tolist() == [26, 26]
    assert frame.loc["aided", "trust"].tolist() == [2, 4]  # the first one corrected
    assert frame.loc["unaided", "trust"].isna().all()
