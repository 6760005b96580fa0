"""A stack under a real hand: wheel, keys, cine and zoom; the answer stays that of the key slice.

Every slice has its own grey, so that the picture itself says which one is shown.
"""

import numpy as np
from reading_room import (
    Room,
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    said,
    serving,
    wait_for,
)

from browser import chromium, pixels  # noqa: F401 (a fixture)
from camreader.session.stacks import Stack

REACH, STEP = 30, 6  # slices to either side; HU from slice to slice


def ramps(chosen, images):
    """Stacks of even greys: -140 HU on the first slice, STEP more on each next one."""
    levels = -140 + STEP * np.arange(2 * REACH + 1)
    deep = np.broadcast_to(levels[:, None, None], (len(levels), *images.shape[1:]))
    deep = deep.astype(np.int16)
    chosen["stack"] = [Stack(deep, REACH, 2.5) for _ in range(len(chosen))]
    return chosen, np.broadcast_to(deep[REACH], images.shape)


def slice_seen(page):
    """Number of the slice by the grey in the middle of the picture (window 50/400)."""
    page.wait_for_timeout(120)
    picture = pixels(page.locator(".cr-pictures canvas:visible"))
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2].mean()
    return round((middle / 255 * 400 - 150 + 140) / STEP)


def test_a_stack_of_sixty_slices_is_scrolled_from_its_key_slice(open_page, tmp_path):  # noqa: F811
    room = Room(
        tmp_path, cases=3, training_cases=0, size=128, stack=REACH, change=ramps,
        marks="free_response",
    )  # fmt: skip
    with serving(room) as address:
        page = open_page(1280, 900)
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        page.wait_for_timeout(1500)  # all slices have come
        assert slice_seen(page) == REACH
        box = page.locator(".cr-pictures canvas:visible").bounding_box()
        centre = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*centre)
        for _ in range(5):
            page.mouse.wheel(0, 100)
            page.wait_for_timeout(40)
        assert slice_seen(page) == REACH + 5
        value = -140 + STEP * (REACH + 5)  # the pointer has not moved: the slice below it has
        assert f" {value} HU" in page.locator(".cr-readout").inner_text()
        page.mouse.click(*centre)  # no mark here
        assert "Home leads back" in said(page) and page.locator(".cr-mark").count() == 0
        for key, place in (("ArrowLeft", 4), ("PageUp", -1), ("Home", 0)):
            page.keyboard.press(key)
            assert slice_seen(page) == REACH + place
        for _ in range(70):  # the ends hold
            page.keyboard.press("ArrowRight")
        assert slice_seen(page) == 2 * REACH
        page.keyboard.press("Home")
        zoomed = "document.querySelector('.cr-readout').textContent"
        before = page.evaluate(zoomed)
        page.keyboard.down("Control")
        page.mouse.wheel(0, -400)
        page.keyboard.up("Control")
        assert slice_seen(page) == REACH  # Ctrl zooms and does not scroll
        page.keyboard.press(".")
        page.wait_for_timeout(600)
        page.keyboard.press(".")
        moved = slice_seen(page)
        assert moved != REACH and slice_seen(page) == moved  # cine ran, and has stopped
        page.keyboard.press("Home")
        page.mouse.click(*centre)
        page.keyboard.press("3")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        assert slice_seen(page) >= 0 and page.errors == [] and before
        payload = room.events(kind="locked")[0]["payload"]
        assert [mark["slice"] for mark in payload["marks"]] == [0]
        ways = [value for _, what, value in payload["history"] if what == "slice"]
        assert ways[0] == 0 or 5 in ways
        assert max(ways) == REACH


def held_by(devtools):
    """Heap and buffers in MB, nodes and listeners of a page after a forced collection."""
    devtools.send("HeapProfiler.collectGarbage")
    used, dom = devtools.send("Runtime.getHeapUsage"), devtools.send("Memory.getDOMCounters")
    megabytes = (used["usedSize"] + used["backingStorageSize"]) / 2**20
    return megabytes, dom["nodes"], dom["jsEventListeners"]


def test_a_page_lets_go_of_the_stacks_it_has_shown(open_page, tmp_path):  # noqa: F811
    """Twelve stacks of 61 slices of noise: packed, one of them is about 1 MB, unpacked 2 MB."""
    stacks, held = 12, {}
    room = Room(tmp_path, cases=stacks + 2, training_cases=0, size=128, stack=REACH)
    with serving(room) as address:
        page = open_page(1280, 900)
        page.goto(address)
        begin(page)
        devtools = page.context.new_cdp_session(page)
        for number in range(stacks):
            wait_for(page, "unaided")
            page.wait_for_selector(".cr-session[data-slices='whole']", timeout=60_000)
            press_answer(page, "tumor", 3)
            wait_for(page, "aided")
            if number in (3, stacks - 1):
                page.wait_for_timeout(1000)  # until the slices ahead are unpacked
                held[number] = held_by(devtools)
            press_answer(page, "tumor", 3)
            page.keyboard.press("j")
            page.wait_for_selector(f"progress[value='{number + 1}'], .cr-start")
    (early, *counts), (late, *counts_late) = held[3], held[stacks - 1]
    assert late - early < 4  # eight stacks more are 8 MB packed
    assert [b - a < 60 for a, b in zip(counts, counts_late, strict=True)] == [True, True]
