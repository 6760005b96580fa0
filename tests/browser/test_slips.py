"""Slips of the hand in a reading: held keys, double presses, the mouse, a refused answer."""

import contextlib
import os
import signal

import pytest
from reading_room import (
    Room,
    begin,
    fill,
    kernels_of,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    said,
    serving,
    small_disk,
    wait_for,
)

from browser import chromium  # noqa: F401 (a fixture)

COMMENT = "a vessel, perhaps"
ANSWERS = ("locked", "revised", "corrected")


@pytest.fixture
def read(open_page, tmp_path):  # noqa: F811
    """Begin a small reading in a served page: (room, page)."""
    with contextlib.ExitStack() as stack:

        def read(**plan):
            room = Room(tmp_path, **{"cases": 4, "training_cases": 1, **plan})
            address = stack.enter_context(serving(room))
            page = open_page()
            page.goto(address)
            begin(page)
            wait_for(page, "unaided")
            return room, page

        yield read


def answers(room):
    """What is stored: [(kind, case, confidence)]."""
    stored = [event for event in room.events() if event["kind"] in ANSWERS]
    return [(e["kind"], e["case_id"], e["payload"]["confidence"]) for e in stored]


def hold(page, key, times=8):
    """Hold a key until it has repeated itself."""
    for _ in range(times):
        page.keyboard.down(key)
        page.wait_for_timeout(40)
    page.keyboard.up(key)


def first_case(page):
    """Answer the first case by keyboard, the second time with a comment; its name."""
    case = page.locator(".cr-session").get_attribute("data-case")
    press_answer(page, "tumor", 3)
    wait_for(page, "aided", case)
    press_answer(page, "tumor", 4)
    page.keyboard.press("m")
    page.keyboard.type(COMMENT)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    wait_for(page, "unaided")
    return case


@contextlib.contextmanager
def silent_kernel():
    """The kernel behind the page stands still, and goes on afterwards."""
    (kernel,) = kernels_of(os.getpid())
    os.kill(kernel.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(kernel.pid, signal.SIGCONT)


def test_a_held_key_and_a_correction_wait_for_what_is_being_stored(read):
    room, page = read()
    first = first_case(page)
    second = page.locator(".cr-session").get_attribute("data-case")
    with silent_kernel():
        press_answer(page, "other", 5)
        page.keyboard.press("u")
        page.get_by_role("button", name="Correct").click()
        assert page.get_by_role("button", name="Storing").is_disabled()
        page.locator(".cr-session").press("Enter")
        assert '"locked\\"' in page.evaluate("JSON.stringify(localStorage)")  # not written over
        page.wait_for_selector(".cr-said.cr-bad")
    page.wait_for_selector(".cr-said", state="hidden")
    assert answers(room)[2:] == [("locked", second, 5)]
    press_answer(page, "no tumor", 1)
    hold(page, "Enter")
    page.wait_for_selector(".cr-answers table")
    assert answers(room)[3:] == [("corrected", first, 1)]
    assert room.events(kind="corrected")[0]["payload"]["comment"] == COMMENT  # not emptied


def test_a_double_press_or_a_held_key_does_not_answer_the_next_case(read):
    """Where the grid is pressed last, the next case asks at the same place."""
    room, page = read()
    cases = [step.case for step in room.design.steps(1)]
    for turn, press in enumerate(
        (lambda: page.keyboard.press("w"), page.locator(".cr-grid button").nth(1).click)
    ):
        press_answer(page, "other", 5)
        wait_for(page, "aided", cases[turn])
        page.keyboard.press("j")
        press()
        page.wait_for_selector(f'[data-case="{cases[turn + 1]}"][data-waiting="false"]')
        press()
        page.wait_for_timeout(600)
        wait_for(page, "unaided", cases[turn + 1])
    page.locator(".cr-grid button").nth(1).focus()
    hold(page, "Enter", times=20)
    page.wait_for_timeout(600)
    stored = [(kind, case) for case in cases[:2] for kind in ("locked", "revised")]
    assert [row[:2] for row in answers(room)] == [*stored, ("locked", cases[2])]
    assert page.locator('[aria-pressed="true"]').count() == 0


def test_a_refused_answer_stays_as_it_is_until_it_is_stored(open_page, tmp_path):  # noqa: F811
    """Other keys, words of the pulse and time change neither the answer nor its id."""
    with small_disk(tmp_path) as room, serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        filler = room.database.parent / "filler"
        fill(filler)
        press_answer(page, "tumor", 5)
        again = page.get_by_role("button", name="Try again")
        again.wait_for()
        kept = page.evaluate("Object.values(localStorage)[0]")
        press_answer(page, "no tumor", 1)
        page.wait_for_timeout(6000)  # longer than a beat
        assert again.is_visible() and "full" in said(page)
        assert page.locator(".cr-session").get_attribute("data-stage") == "unaided"
        assert page.locator('.cr-grid [aria-pressed="true"]').count() == 1
        assert not room.events(kind="locked")
        assert page.evaluate("Object.values(localStorage)[0]") == kept
        filler.unlink()
        page.keyboard.press("Enter")
        wait_for(page, "aided")
        (stored,) = room.events(kind="locked")
        assert f'"{stored["event_id"]}"' in kept and stored["payload"]["confidence"] == 5
        fill(filler)
        page.wait_for_selector(".cr-said.cr-bad")  # the pulse finds it before an answer does
        assert "full" in said(page) and not again.is_visible()
        filler.unlink()
        page.wait_for_selector(".cr-said", state="hidden")


def focused(page):
    return page.evaluate("document.activeElement.ariaLabel || document.activeElement.className")


def test_the_keys_go_on_after_the_mouse(read):
    """Buttons that vanish, a hidden picture, a list, a number: none of them keeps the keys."""
    room, page = read()
    page.get_by_role("button", name="My answers").click()
    page.keyboard.press("Escape")
    wait_for(page, "unaided")
    page.locator("canvas:visible").click()
    page.keyboard.press("p")
    wait_for(page, "paused")
    page.keyboard.press("p")
    wait_for(page, "unaided")
    page.locator("select:visible").click()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")  # of the open list
    width = page.locator(".cr-window_width")
    assert width.input_value() != "400" and focused(page) == "Slice viewer"
    page.keyboard.press("1")
    assert width.input_value() == "400"
    width.fill("90")
    width.press("Enter")
    page.keyboard.press("Enter")
    assert "Please answer first: Is there a tumor?" in said(page)
    page.locator(".cr-one").click()  # Enter confirms from now on
    page.locator(".cr-grid button").nth(2).click()
    page.keyboard.press("Enter")
    wait_for(page, "aided")
    page.locator(".cr-opacity").click()
    page.keyboard.press("w")
    page.locator(".cr-options button").first.click()
    page.keyboard.press("Enter")
    wait_for(page, "unaided", room.design.steps(1)[1].case)
    assert [row[2] for row in answers(room)] == [3, 2]
    assert room.events(kind="locked")[0]["payload"]["window"] == [50, 90]


def test_the_keyboard_alone_keeps_its_place(read):
    """A button reached by Tab and pressed is still there; letters reach the page from a list."""
    _, page = read()
    page.locator(".cr-one input").uncheck()
    page.locator("select:visible").focus()
    page.keyboard.press("ArrowDown")
    assert focused(page) == ""  # the list itself
    page.keyboard.press("q")
    assert page.locator('.cr-grid [aria-pressed="true"]').count() == 1
    page.locator(".cr-grid button").nth(6).focus()
    page.keyboard.press("Space")
    assert focused(page) == "No tumor, confidence 2 of 5"
    page.keyboard.press("m")
    page.keyboard.type("two words")
    page.keyboard.press("Escape")
    assert focused(page) == "cr-session"


def hide(page, hidden):
    """Put the page behind another one, or back: a headless browser shows all its pages."""
    page.evaluate(
        """(hidden) => {
            Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_time_away_does_not_count(read):
    """Neither a pause that began while an answer was stored, nor a case that came unseen."""
    room, page = read()
    with silent_kernel():
        press_answer(page, "tumor", 1)
        page.keyboard.press("p")
    page.wait_for_timeout(3000)
    page.keyboard.press("p")
    wait_for(page, "aided")
    press_answer(page, "tumor", 1)
    with silent_kernel():
        page.keyboard.press("j")
        hide(page, True)
    page.wait_for_timeout(3000)
    hide(page, False)
    wait_for(page, "paused")
    page.keyboard.press("p")
    wait_for(page, "unaided", room.design.steps(1)[1].case)
    press_answer(page, "tumor", 1)
    wait_for(page, "aided")
    times = [e["payload"]["milliseconds"] for e in room.events() if e["kind"] in ANSWERS]
    assert len(times) == 3 and max(times) < 3000


def test_each_case_begins_as_the_design_says(read):
    """A hidden map, another window: they end with their case. No window is beyond reason."""
    room, page = read()
    level, width = page.locator(".cr-window_centre"), page.locator(".cr-window_width")
    level.fill("9999999")
    width.fill("-5.5")
    width.press("Enter")
    assert (level.input_value(), width.input_value()) == ("32767", "1")
    page.keyboard.press("3")
    page.keyboard.press("h")
    press_answer(page, "tumor", 1)
    wait_for(page, "aided")
    assert width.input_value() == "160" and page.locator(".cr-show_heat").is_checked()
    page.keyboard.press("h")
    page.keyboard.press("ArrowUp")
    press_answer(page, "tumor", 1)
    page.keyboard.press("j")
    wait_for(page, "unaided", room.design.steps(1)[1].case)
    assert (level.input_value(), width.input_value()) == ("50", "400")
    press_answer(page, "tumor", 1)
    wait_for(page, "aided")
    assert page.locator(".cr-show_heat").is_checked()
    assert page.locator(".cr-opacity").input_value() == "0.5"
    assert [e["payload"]["window"] for e in room.events(kind="locked")] == [[60, 160], [50, 400]]


def test_an_answer_is_sent_again_as_it_was(read):
    """What moves on the page meanwhile, or is typed, is no part of it."""
    room, page = read()
    first_case(page)
    with silent_kernel():
        page.traffic.sent.clear()
        press_answer(page, "other", 2)
        page.keyboard.press("3")
        assert page.locator(".cr-comment").is_disabled()
        page.wait_for_selector(".cr-said.cr-bad")
    wait_for(page, "aided")
    told = {
        frame[frame.index(b'"payload"') :] for frame in page.traffic.sent if b'"locked"' in frame
    }
    assert len(told) == 1
    assert room.events(kind="locked")[-1]["payload"]["window"] == [50, 400]


FRENCH = """Object.defineProperty(navigator, "keyboard", { value: {
    getLayoutMap: async () => new Map([["KeyQ", "a"], ["KeyA", "q"], ["KeyZ", "w"], ["KeyM", ","]]),
} })"""


def test_the_help_names_the_letters_of_this_keyboard(open_page, tmp_path):  # noqa: F811
    """And stays open from case to case; on a phone no word is broken."""
    room = Room(tmp_path, cases=4, training_cases=1)
    with serving(room) as address:
        page = open_page(390, 800)
        page.add_init_script(FRENCH)
        page.goto(address)
        page.locator(".cr-session").press("u", timeout=90_000)
        assert page.locator(".cr-name").is_visible()  # no list of answers before there is a reader
        begin(page)
        wait_for(page, "unaided")
        page.locator(".cr-keys summary").click()
        page.keyboard.press("q")
        wait_for(page, "aided")
        shown = page.locator(".cr-keys kbd:visible").all_inner_texts()
        assert shown[:3] == ["A–T", "Q–G", "W–B"] and "," in shown
        page.keyboard.press("w")
        page.keyboard.press("j")
        wait_for(page, "unaided")
        page.keyboard.press("u")
        page.get_by_role("button", name="Correct").wait_for()
        assert page.get_by_role("button", name="Correct").bounding_box()["height"] < 35
        page.get_by_role("button", name="Correct").click()
        assert "practice 1" in page.locator(".cr-answers h2").inner_text()
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
