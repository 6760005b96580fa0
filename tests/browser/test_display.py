"""The display check in a real browser: seen, stored, asked again on another screen, skipped."""

import reading_room
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
from camreader.session.display import PATCHES, display_table

PIXEL = """([x, y]) => [...document.querySelector(".cr-display canvas").getContext("2d")
    .getImageData(x * devicePixelRatio, y * devicePixelRatio, 1, 1).data].slice(0, 3)"""
STORE = "Store and start reading"


def grey(page, x, y):
    """The grey of a pixel of the pattern."""
    (found,) = set(page.evaluate(PIXEL, [x, y]))
    return found


def squares_seen(page):
    """Which square of each row holds a smaller one, by its grey: [[greys], number]."""
    found = []
    for row in range(2):
        middles = [grey(page, 120 + 172 * k, 62 + row * 112 + 44) for k in range(4)]
        ground = grey(page, 50, 62 + row * 112 + 10)
        (odd,) = [k for k in range(4) if middles[k] != ground]
        found.append(([ground, middles[odd]], odd + 1))
    return found


def test_the_check_is_made_once_for_a_screen_and_stored(open_page, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(reading_room.PARAMETERS, "DISPLAY_CHECK", True)
    room = Room(tmp_path, cases=5, training_cases=1)
    with serving(room) as address:
        page = open_page(1366, 768)
        page.goto(address)
        begin(page)
        page.wait_for_selector(".cr-display canvas")
        seen = squares_seen(page)
        assert [greys for greys, _ in seen] == list(PATCHES.values())
        assert not page.locator(".cr-pictures canvas").first.is_visible()  # no case yet
        page.get_by_role("button", name=STORE).click()
        assert "Row A" in said(page) and not room.events(kind="display")
        for select, (_, number) in zip(
            page.locator(".cr-check-form select").all(), seen, strict=False
        ):
            select.select_option(str(number))
        for name in ("Light in the room", "Eyes to screen", "Brightness of the screen"):
            page.get_by_label(name).select_option(index=1)
        page.get_by_label("Row C").fill("q?")
        page.get_by_label("Row C").press("Enter")
        wait_for(page, "unaided")
        (stored,) = room.events(kind="display")
        steps = stored["payload"]["steps"]
        assert [step[1:] for step in steps[:2]] == [[str(n), str(n)] for _, n in seen]
        assert [step[2] for step in steps[2:6]] == ["Q", "?", "", ""]
        assert stored["payload"]["screen"] == {
            "width": 1366,
            "height": 768,
            "ratio": 1,
            "depth": 24,
        }
        table = display_table(room.events())
        assert table["passed"].tolist() == [2] and table["screen_pixels"][0] == "1366 x 768"
        page.reload()  # the same screen: nothing is asked
        begin(page)
        wait_for(page, "unaided")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        scale = page.context.new_cdp_session(page)
        size = {"width": 911, "height": 512, "mobile": False, "deviceScaleFactor": 1.5}
        scale.send("Emulation.setDeviceMetricsOverride", size)
        page.wait_for_timeout(300)
        assert not page.locator(".cr-display").is_visible()  # never within a case
        press_answer(page, "tumor", 3)
        page.keyboard.press("j")
        page.wait_for_selector(".cr-display canvas")
        assert [greys for greys, _ in squares_seen(page)] == list(PATCHES.values())
        page.get_by_role("button", name="Skip the check").click()
        wait_for(page, "unaided", room.design.steps(1)[1].case)
        press_answer(page, "tumor", 2)
        wait_for(page, "aided")
        assert page.errors == []
    notes = display_table(room.events())["note"].tolist()
    assert notes == ["", "not done: skipped"]
    times = [event["payload"]["milliseconds"] for event in room.events(kind="locked")]
    assert max(times) < 20_000  # the check is no time of a case
