"""A reading at work: no network for a while, a closed lid, back, reload, two tabs, a slow server.

An answer is never lost and never doubled, and the page says in one sentence what is going on.
"""

import contextlib
import time
from urllib.parse import urlsplit

import psutil
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
from wire import Wire

from browser import chromium  # noqa: F401 (a fixture)

ANSWERS = ("locked", "revised")


@pytest.fixture
def far(open_page, tmp_path):  # noqa: F811
    """A small reading behind a wire, begun: (room, page, wire, address)."""
    with contextlib.ExitStack() as stack:
        room = Room(tmp_path, cases=4, training_cases=1)
        address = stack.enter_context(serving(room))
        port = urlsplit(address).port
        wire = stack.enter_context(contextlib.closing(Wire(port)))
        address = address.replace(f":{port}/", f":{wire.port}/")
        page = open_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        yield room, page, wire, address


def stored(room):
    """[(kind, case)] of the answers on disk."""
    return [(e["kind"], e["case_id"]) for e in room.events() if e["kind"] in ANSWERS]


def cases_of(room):
    return [step.case for step in room.design.steps(1)]


def finish_case(page, following):
    """From the aided stage to the next case."""
    press_answer(page, "tumor", 4)
    page.keyboard.press("j")
    wait_for(page, "unaided", following)


def test_an_answer_given_without_a_network_is_stored_once_when_it_is_back(far):
    room, page, wire, _ = far
    first, second = cases_of(room)[:2]
    wire.cut()
    press_answer(page, "tumor", 3)
    page.wait_for_selector(".cr-said.cr-bad")
    assert "Not stored yet" in said(page) and "kept on this page" in said(page)
    page.wait_for_timeout(9000)
    assert stored(room) == []
    wire.mend()
    wait_for(page, "aided", first)
    assert not page.locator(".cr-said").is_visible()
    finish_case(page, second)
    assert stored(room) == [("locked", first), ("revised", first)]


def test_an_answer_whose_receipt_was_lost_is_not_stored_twice(far):
    """It is on disk; neither the receipt nor the next stage reached the page."""
    room, page, wire, _ = far
    first, second = cases_of(room)[:2]
    wire.deaf = True
    press_answer(page, "tumor", 3)
    page.wait_for_selector(".cr-said.cr-bad")
    assert stored(room) == [("locked", first)]
    wire.cut()
    wire.deaf = False
    wire.mend()
    wait_for(page, "aided", first)
    finish_case(page, second)
    assert stored(room) == [("locked", first), ("revised", first)]


def test_a_reload_without_a_network_finds_the_answer_again(far):
    room, page, wire, address = far
    first, second = cases_of(room)[:2]
    page.keyboard.press("m")
    page.keyboard.type("half a thought")
    page.keyboard.press("Escape")
    page.reload()
    begin(page)
    wait_for(page, "unaided", first)
    assert page.locator(".cr-comment").input_value() == "half a thought"
    wire.cut()
    press_answer(page, "other", 2)
    page.wait_for_selector(".cr-said.cr-bad")
    with contextlib.suppress(Exception):
        page.reload(timeout=5000)  # the browser's own words: no connection
    wire.mend()
    page.wait_for_timeout(1000)
    page.goto(address)
    begin(page)
    wait_for(page, "aided", first)
    (answer,) = room.events(kind="locked")
    assert answer["payload"]["comment"] == "half a thought"
    finish_case(page, second)
    assert stored(room) == [("locked", first), ("revised", first)]


def test_a_slow_server_gets_each_answer_once(far):
    room, page, wire, _ = far
    first, second = cases_of(room)[:2]
    wire.delay = 1.0
    press_answer(page, "tumor", 3)
    page.keyboard.press("Enter")
    press_answer(page, "no tumor", 1)  # what is pressed while an answer is stored does not count
    assert page.get_by_role("button", name="Storing").is_disabled()
    wait_for(page, "aided", first)
    finish_case(page, second)
    assert stored(room) == [("locked", first), ("revised", first)]
    assert room.events(kind="locked")[0]["payload"]["confidence"] == 3


@contextlib.contextmanager
def asleep():
    """The page's process stands still, as on a machine that sleeps."""
    found = psutil.Process().children(recursive=True)
    pages = [p for p in found if "--type=renderer" in " ".join(p.cmdline())]
    for process in pages:
        process.suspend()
    try:
        yield
    finally:
        for process in pages:
            process.resume()


def test_a_closed_lid_stops_the_clock_and_keeps_the_answer(far):
    room, page, _, _ = far
    first, second = cases_of(room)[:2]
    with asleep():
        time.sleep(8)
    wait_for(page, "paused")
    page.keyboard.press("p")
    wait_for(page, "unaided", first)
    page.evaluate("setTimeout(() => document.querySelectorAll('.cr-grid button')[2].click(), 300)")
    time.sleep(0.5)
    with asleep():
        time.sleep(8)
    page.wait_for_selector('[data-stage="paused"][data-waiting="false"]')
    page.keyboard.press("p")
    wait_for(page, "aided", first)
    finish_case(page, second)
    assert stored(room) == [("locked", first), ("revised", first)]
    times = [e["payload"]["milliseconds"] for e in room.events() if e["kind"] in ANSWERS]
    assert max(times) < 8000
    assert "page frozen" in [e["payload"]["reason"] for e in room.events(kind="paused")]


def test_back_and_a_second_tab_leave_one_reading(far):
    room, page, _, address = far
    first, second = cases_of(room)[:2]
    press_answer(page, "tumor", 3)
    wait_for(page, "aided", first)
    tab = page.context.new_page()
    tab.goto(address)
    begin(tab)
    wait_for(tab, "aided", first)  # the newer page goes on, and the older one says so
    page.wait_for_selector(".cr-session[data-stage=moved]")
    assert "opened in another window" in page.locator(".cr-session").inner_text()
    page.bring_to_front()
    page.go_back()
    page.go_forward()
    begin(page)
    wait_for(page, "aided", first)
    tab.wait_for_selector(".cr-session[data-stage=moved]")
    finish_case(page, second)
    page.close(run_before_unload=True)
    tab.bring_to_front()
    tab.reload()
    begin(tab)
    wait_for(tab, "unaided", second)
    press_answer(tab, "tumor", 3)
    wait_for(tab, "aided", second)
    assert stored(room) == [("locked", first), ("revised", first), ("locked", second)]


@pytest.mark.parametrize("zoom", [1.5, 2])
def test_a_zoomed_page_keeps_picture_and_answers_in_reach(chromium, tmp_path, zoom):  # noqa: F811
    """A 1366 x 768 screen at 150 and 200 %: nothing to the side, every answer can be pressed."""
    room = Room(tmp_path, cases=4, training_cases=1)
    size = {"width": round(1366 / zoom), "height": round(768 / zoom)}
    context = chromium.new_context(viewport=size, device_scale_factor=zoom)
    with serving(room) as address, contextlib.closing(context):
        page = context.new_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        assert page.evaluate("document.scrollingElement.scrollWidth") <= size["width"]
        picture = page.locator(".cr-pictures canvas:visible").bounding_box()
        assert picture["height"] >= 300 and picture["y"] + 200 < size["height"]
        page.locator(".cr-grid button").nth(2).click()
        wait_for(page, "aided")
        assert [kind for kind, _ in stored(room)] == ["locked"]
