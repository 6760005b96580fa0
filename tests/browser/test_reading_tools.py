"""What a PACS user expects at hand: undo, the picture beside a correction, measures, inversion."""

import yaml
from reading_room import (
    PARAMETERS,
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    said,
    serving,
    until,
    wait_for,
)

from browser import chromium, pixels  # noqa: F401 (a fixture)

CANVAS = ".cr-pictures canvas:visible"


def room_of(folder, **parameters):
    """Three cases without practice; parameters of notebook 07."""
    room = Room(folder, cases=3, training_cases=0, size=96)
    config = yaml.safe_load(room.config.read_text())
    config["parameters"]["07_reading_session"] = PARAMETERS | parameters
    room.config.write_text(yaml.safe_dump(config))
    return room


def open_room(page, address):
    page.goto(address)
    begin(page)
    wait_for(page, "unaided")
    return page.locator(".cr-session").get_attribute("data-case")


def test_an_answer_can_be_taken_back_before_it_is_locked(open_page, tmp_path):  # noqa: F811
    room = room_of(tmp_path, UNDO_SECONDS=1.5)
    with serving(room) as address:
        page = open_page()
        case = open_room(page, address)
        press_answer(page, "tumor", 2)
        assert "Esc takes it back" in said(page)
        page.keyboard.press("Escape")
        page.wait_for_timeout(1800)
        assert room.events(kind="locked") == [] and not said(page)
        press_answer(page, "tumor", 2)  # a slip,
        page.wait_for_timeout(700)
        press_answer(page, "no tumor", 4)  # and what was meant
        page.wait_for_timeout(1000)
        assert room.events(kind="locked") == []  # the moment began anew
        wait_for(page, "aided", case)
        (locked,) = room.events(kind="locked")
        assert (locked["payload"]["diagnosis"], locked["payload"]["confidence"]) == ("no tumor", 4)
        press_answer(page, "tumor", 5)
        page.keyboard.press("j")
        page.keyboard.press("Enter")  # at once
        wait_for(page, "unaided")
        assert page.errors == []


def test_a_correction_is_made_beside_its_picture(open_page, tmp_path):  # noqa: F811
    room = room_of(tmp_path)
    with serving(room) as address:
        page = open_page()
        case = open_room(page, address)
        first = pixels(page.locator(CANVAS))
        press_answer(page, "tumor", 2)
        wait_for(page, "aided", case)
        press_answer(page, "tumor", 2)
        page.keyboard.press("j")
        until(page, f"document.querySelector('.cr-session').dataset.case !== '{case}'")
        wait_for(page, "unaided")
        other = pixels(page.locator(CANVAS))
        page.keyboard.press("u")
        page.get_by_role("button", name="Correct").click()
        page.wait_for_timeout(500)
        middle = tuple(slice(n // 3, 2 * n // 3) for n in first.shape[:2])
        shown = pixels(page.locator(CANVAS))
        assert abs(shown[middle] - first[middle]).mean() < 1
        assert abs(shown[middle] - other[middle]).mean() > 5
        press_answer(page, "no tumor", 5)
        page.keyboard.press("Enter")
        page.wait_for_selector(".cr-answers table")
        page.keyboard.press("u")
        wait_for(page, "unaided")
        assert abs(pixels(page.locator(CANVAS))[middle] - other[middle]).mean() < 1
        (corrected,) = room.events(kind="corrected")
        assert (corrected["case_id"], corrected["payload"]["confidence"]) == (case, 5)
        assert page.errors == []


def test_measures_and_inversion_change_the_picture_and_nothing_else(open_page, tmp_path):  # noqa: F811
    room = room_of(tmp_path)
    with serving(room) as address:
        page = open_page()
        case = open_room(page, address)
        before = pixels(page.locator(CANVAS))
        page.keyboard.press(";")
        page.wait_for_timeout(200)
        middle = tuple(slice(n // 3, 2 * n // 3) for n in before.shape[:2])
        inverted = pixels(page.locator(CANVAS))
        assert abs(inverted[middle] + before[middle] - 255).max() <= 2
        page.keyboard.press("[")
        box = page.locator(CANVAS).bounding_box()
        centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*centre)
        page.mouse.down()
        page.mouse.move(centre[0] + 120, centre[1], steps=4)
        page.mouse.up()
        page.wait_for_timeout(200)
        green = pixels(page.locator(CANVAS))
        ruler = (green[..., 1] - green[..., 0] > 60) & (green[..., 1] - green[..., 2] > 40)
        assert ruler.any(0).sum() >= 110  # columns that the line covers
        page.keyboard.press("0")
        page.wait_for_timeout(200)
        assert abs(pixels(page.locator(CANVAS))[middle] - before[middle]).max() == 0
        press_answer(page, "tumor", 2)
        wait_for(page, "aided", case)
        payload = room.events(kind="locked")[0]["payload"]
        assert payload["window"] == [50, 400] and page.errors == []
