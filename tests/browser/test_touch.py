"""Fingers on the picture: they scroll a stack, draw an ellipse and pinch, as in Chromium."""

import numpy as np
from reading_room import Room, begin, open_page, serving, wait_for  # noqa: F401 (a fixture)

from browser import chromium  # noqa: F401 (a fixture)
from camreader.session.stacks import Stack

SIDE, REACH = 96, 5


def halves(chosen, images):
    """Stacks of one picture: 0 HU on the left, 100 HU on the right, 10 more on each next slice."""
    slices = np.zeros((2 * REACH + 1, SIDE, SIDE), np.int16)
    slices[..., SIDE // 2 :] = 100
    slices += 10 * np.arange(-REACH, REACH + 1, dtype=np.int16)[:, None, None]
    chosen["stack"] = [Stack(slices, REACH, 2.5)] * len(chosen)
    return chosen, np.broadcast_to(slices[REACH], images.shape)


def touch(devtools, *ways, steps=12):
    """Fingers that go from (x, y) to (x, y), all at once."""
    send = lambda kind, at: devtools.send(  # noqa: E731
        "Input.dispatchTouchEvent",
        {"type": kind, "touchPoints": [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(at)]},
    )
    places = [np.linspace(*way, steps) for way in ways]
    send("touchStart", [place[0].tolist() for place in places])
    for step in range(1, steps):
        send("touchMove", [place[step].tolist() for place in places])
    send("touchEnd", [])


WORDS = """() => { const said = [], own = CanvasRenderingContext2D.prototype, fill = own.fillText;
    own.fillText = function (text, ...at) { said.push(text); return fill.call(this, text, ...at); };
    window.said = said; }"""


def test_fingers_scroll_measure_and_zoom(chromium, tmp_path):  # noqa: F811
    room = Room(tmp_path, cases=3, training_cases=0, size=SIDE, stack=REACH, change=halves)
    context = chromium.new_context(viewport={"width": 1000, "height": 800}, has_touch=True)
    with serving(room) as address:
        page = context.new_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        page.wait_for_selector(".cr-session[data-slices='whole']")
        page.evaluate(WORDS)
        devtools = context.new_cdp_session(page)
        box = page.locator(".cr-pictures canvas:visible").bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        touch(devtools, [(x, y), (x, y + 14 * 3 + 4)])
        page.wait_for_timeout(300)
        assert f"slice {REACH + 1 + 3} of 11" in " ".join(page.evaluate("said"))
        assert page.evaluate("scrollY") == 0  # the page stays where it is
        page.keyboard.press("Home")
        page.keyboard.press("]")
        pixel = min(box["width"], box["height"]) / SIDE
        touch(devtools, [(x + 4 * pixel, y - 20 * pixel), (x + 40 * pixel, y + 20 * pixel)])
        page.wait_for_timeout(300)
        measured = [text for text in page.evaluate("said") if "±" in text][-1]
        assert measured.startswith("100.0 ± 0.0 HU, ")  # the right half alone
        area = int(measured.split(", ")[1].split()[0])
        assert abs(area - np.pi * 18 * 20) < 40  # semi-axes of 18 and 20 pixels
        page.keyboard.press("0")
        before = page.evaluate("said.length")
        touch(devtools, [(x - 40, y), (x - 80, y)], [(x + 40, y), (x + 80, y)])
        page.mouse.move(x + 4 * pixel, y)
        page.wait_for_timeout(200)
        column = int(page.locator(".cr-readout").inner_text().split()[1])
        assert column == SIDE // 2 + 2  # twice as large: four old pixels are two
        assert page.evaluate("said.length") > before
    context.close()
