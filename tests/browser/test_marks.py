"""Marks under a real pointer: recorded where the picture was clicked, whatever its zoom or screen.

The expected place is a bright pixel of known column and row, found in the screenshot: nothing of
the page's own arithmetic is used.
"""

import contextlib
import io

import numpy as np
import pytest
from PIL import Image
from reading_room import (
    Room,
    begin,
    open_page,
    press_answer,
    said,
    serving,
    until,
    wait_for,
)

from browser import chromium  # noqa: F401 (a fixture)
from camreader.session import mark_table

SIZE, SPOTS = 96, {1: (20, 61), 2: (55, 40), 3: (44, 50)}  # case number: column, row
DIM, BRIGHT = -1000, 3000


def with_spots(chosen, images):
    """Uniform slices with one bright pixel each, at the same places for every case in turn."""
    images = np.full_like(images, DIM)
    for number, image in enumerate(images):
        column, row = SPOTS[1 + number % 3]
        image[row, column] = BRIGHT
    return chosen, images


@pytest.fixture
def marked_room(tmp_path):
    def make(mode="free_response", **plan):
        plan = {"cases": 4, "training_cases": 1, "size": SIZE, "change": with_spots, **plan}
        return Room(tmp_path, marks=mode, **plan)

    return make


@contextlib.contextmanager
def reading(room, context=None, open_page=open_page):
    with serving(room) as address:
        page = open_page(1280, 900, context)
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        yield page


def bright_place(page, ratio):
    """The bright pixel's centre on the screen, in CSS pixels; it must be one blob."""
    picture = page.locator(".cr-pictures canvas:visible").bounding_box()
    shot = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)
    x, y, w, h = (round(picture[name] * ratio) for name in ("x", "y", "width", "height"))
    edge = round(50 * ratio)  # where labels stand, two lines above
    white = (shot[y + edge : y + h - edge, x : x + w] > 20).all(-1)
    rows, columns = np.nonzero(white)
    assert len(rows) > 20
    top = y + edge
    return (x + (columns.min() + columns.max() + 1) / 2) / ratio, (
        top + (rows.min() + rows.max() + 1) / 2
    ) / ratio


def point(page, across, down):
    """The place on the screen of shares of the square picture, which is centred in its canvas."""
    box = page.locator(".cr-pictures canvas:visible").bounding_box()
    side = min(box["width"], box["height"])
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    return left + across * side, top + down * side


def spot_of(room, case):
    pixels = np.load(room.design.image_path(case))
    row, column = np.argwhere(pixels == BRIGHT)[0]
    return int(column), int(row)


def current(page):
    return page.locator(".cr-session").get_attribute("data-case")


def stored(room, kind="locked"):
    return [(e["case_id"], e["payload"]["marks"]) for e in room.events(kind=kind)]


@pytest.mark.parametrize("ratio", [1, 1.5])
def test_a_mark_is_the_clicked_pixel_at_any_zoom_and_screen(
    open_page,
    chromium,  # noqa: F811
    marked_room,
    ratio,
):
    room = marked_room()
    context = chromium.new_context(
        viewport={"width": 1280, "height": 900}, device_scale_factor=ratio
    )
    ways = ("zoom 1", "zoom 2", "after a pan")
    with reading(room, context, open_page) as page:
        for way in ways:
            case = current(page)
            wait_for(page, "unaided", case)
            if way != "zoom 1":
                page.mouse.move(*bright_place(page, ratio))
                page.mouse.wheel(0, -400 * np.log(2))
            if way == "after a pan":
                for key in ("ArrowLeft", "ArrowLeft", "ArrowDown"):
                    page.keyboard.press(f"Shift+{key}")
            page.wait_for_timeout(150)
            page.mouse.click(*bright_place(page, ratio))
            page.keyboard.press("4")
            press_answer(page, "tumor", 4)
            wait_for(page, "aided", case)
            mark = stored(room)[-1][1][0]
            column, row = spot_of(room, case)
            assert abs(mark["x"] - column) <= 0.5 and abs(mark["y"] - row) <= 0.5, (way, mark)
            assert mark["x_mm"] == pytest.approx(mark["x"] * 0.8, abs=1e-3)
            assert (mark["slice"], mark["confidence"]) == (0, 4)
            press_answer(page, "tumor", 4)
            page.keyboard.press("j")
            if way == "zoom 1":  # the practice case, shown once more
                page.wait_for_selector('[data-stage="review"]')
                page.keyboard.press("Enter")
            until(page, f"document.querySelector('.cr-session').dataset.case != '{case}'")
        assert page.errors == []
    context.close()


def test_marks_are_placed_moved_deleted_and_locked(open_page, marked_room, tmp_path):
    room = marked_room()
    with reading(room, None, open_page) as page:
        case = current(page)
        wait_for(page, "unaided", case)
        page.mouse.click(*point(page, 0.3, 0.3))
        page.keyboard.press("2")
        page.mouse.click(*point(page, 0.6, 0.6))
        page.keyboard.press("5")
        page.mouse.click(*point(page, 0.8, 0.2))  # a third, taken away again
        page.keyboard.press("Delete")
        page.mouse.move(*point(page, 0.3, 0.3))
        page.mouse.down()
        page.mouse.move(*point(page, 0.4, 0.5), steps=5)
        page.mouse.up()
        page.keyboard.press("2")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided", case)
        first, second = stored(room)[-1][1]
        assert (first["confidence"], second["confidence"]) == (2, 5)
        assert first["x"] == pytest.approx(0.4 * SIZE - 0.5, abs=0.5)
        assert first["y"] == pytest.approx(0.5 * SIZE - 0.5, abs=0.5)
        # with the network's help the marks stand where they were; by key one moves ten pixels
        for key in ("n", "Shift+ArrowRight", "ArrowDown", "3"):
            page.keyboard.press(key)
        press_answer(page, "tumor", 4)
        page.keyboard.press("j")
        page.wait_for_selector('[data-stage="review"]')
        assert page.locator(".cr-panel").inner_text().count("accepted.") == 2
        moved = stored(room, "revised")[-1][1][0]
        assert moved["x"] == pytest.approx(first["x"] + 10)
        assert moved["y"] == pytest.approx(first["y"] + 1) and moved["confidence"] == 3
        page.keyboard.press("Enter")
        wait_for(page, "unaided")
        page.keyboard.press("Space")  # a mark without the mouse: in the middle
        press_answer(page, "tumor", 1)
        assert "How sure are you of mark 1" in said(page)
        page.reload()  # in mid-case: the mark and the answer are still there
        begin(page)
        wait_for(page, "unaided")
        assert page.locator(".cr-mark").count() == 1
        page.keyboard.press("n")
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        wait_for(page, "aided")
        assert len(stored(room)[-1][1]) == 1 and page.errors == []
    table = mark_table.load(room.database).table  # practice is left out
    assert table["confidence"].tolist() == [1]


def test_one_most_suspicious_place_in_every_case(open_page, marked_room):
    room = marked_room("lroc")
    with reading(room, None, open_page) as page:
        case = current(page)
        wait_for(page, "unaided", case)
        press_answer(page, "no tumor", 4)
        assert "mark the most suspicious place" in said(page)
        for x in (0.3, 0.7):  # a second click takes the one mark along
            page.mouse.click(*point(page, x, 0.5))
        page.keyboard.press("1")
        page.keyboard.press("Enter")
        wait_for(page, "aided", case)
        ((_, marks),) = stored(room)
        assert len(marks) == 1 and marks[0]["x"] == pytest.approx(0.7 * SIZE - 0.5, abs=0.5)
