"""From the link to the first locked answer, by docs/reading.md: every act of the hand is counted.

Twelve acts with the check of the screen, three without: were each to take five seconds, the first
answer is locked after a minute.
"""

import pytest
import reading_room
from reading_room import Room, open_page, serving, wait_for  # noqa: F401 (a fixture)

from browser import chromium  # noqa: F401 (a fixture)

FIELDS = ("Row C", "Row D", "Row E")
QUESTIONS = ("Light in the room", "Eyes to screen", "Brightness of the screen")


class Hand:
    """Acts on a page, and counts them."""

    def __init__(self, page):
        self.page, self.acts = page, 0

    def type(self, field, text):
        field.fill(text)
        self.acts += 1

    def choose(self, field, **option):
        field.select_option(**option)
        self.acts += 1

    def press(self, key):
        self.page.keyboard.press(key)
        self.acts += 1

    def click(self, button):
        button.click()
        self.acts += 1


@pytest.mark.parametrize(("check", "acts"), [(True, 12), (False, 3)])
def test_a_first_time_reader_locks_an_answer_by_the_page(
    open_page,  # noqa: F811
    tmp_path,
    monkeypatch,
    check,
    acts,
):
    monkeypatch.setitem(reading_room.PARAMETERS, "DISPLAY_CHECK", check)
    monkeypatch.setitem(reading_room.PARAMETERS, "UNDO_SECONDS", 1.5)
    room = Room(tmp_path, cases=4, training_cases=1)
    with serving(room) as address:
        page = open_page(1366, 768)
        page.goto(address)
        hand = Hand(page)
        name = page.get_by_label("Your name or code")
        name.wait_for(timeout=90_000)
        hand.type(name, "Ann")
        hand.press("Enter")  # the field has the keys
        if check:
            page.wait_for_selector(".cr-display canvas")
            for row in "AB":
                hand.choose(page.get_by_label(f"Row {row}: which square"), value="none")
            for field in FIELDS:
                hand.type(page.get_by_label(field, exact=True), "CD")
            for question in QUESTIONS:
                hand.choose(page.get_by_label(question), index=1)
            hand.click(page.get_by_role("button", name="Store and start reading"))
        wait_for(page, "unaided")
        hand.press("e")
        wait_for(page, "aided")  # a second and a half, in which Esc takes it back
        assert len(room.events(kind="locked")) == 1 and page.errors == []
        assert hand.acts == acts
