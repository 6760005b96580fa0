"""A stack of 60 slices in the served page: event to frame by wheel and keys, and memory held.

The page is `make read` with a reading of 61-slice stacks, 512 x 512, noise of a real CT's width.
Times are as in bench_viewer: from the browser's own event time to the start of the frame after the
one that holds the slice. Memory is the unique set of the page's process and of the server with its
kernels, after stack upon stack was read to its end.
"""

import argparse
import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
import psutil
from bench_viewer import MEASURED
from reading_room import Room, begin, press_answer, serving, until, wait_for
from results import finish

from browser import chromium_path, open_chromium
from camreader.session.stacks import Stack

REACH, SIDE = 30, 512
MEDIAN_MS, P95_MS, PAGE_MB, SERVER_MB = 33, 50, 500, 1000
FETCHED = ".cr-session[data-slices='whole']"


def deep(chosen, images):
    """A stack of noise on a body for every case; of most only the size, until `share` links it."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE]
    body = np.where((x - 256) ** 2 + (y - 256) ** 2 < 200**2, 40.0, -1000.0)
    slices = 2 * REACH + 1
    drawn = [np.array([body + rng.normal(0, 12, body.shape) for _ in range(slices)]) for _ in "ab"]
    empty = Stack(np.zeros((slices, 0, 0), np.int16), REACH, 1.0)
    own = [Stack(images.astype(np.int16), REACH, 1.0) for images in drawn]
    chosen["stack"] = own + [empty] * (len(chosen) - len(own))
    return chosen, np.broadcast_to(own[0].images[REACH], (len(chosen), SIDE, SIDE))


def share(room):
    """Every further stack is one of the first two once more: a hundred of them fit on any disk."""
    files = sorted((room.design.folder / "stacks").iterdir())
    for number, path in enumerate(files[2:]):
        path.unlink()
        os.link(files[number % 2], path)


def unique_mb(processes):
    """Unique set size of processes, MB."""
    return round(sum(process.memory_full_info().uss for process in processes) / 2**20)


def renderers():
    """Chromium's processes that hold a page of this run."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if "--type=renderer" in " ".join(p.cmdline())]


def servers():
    """The server and its kernels."""
    found = psutil.Process().children(recursive=True)
    return [p for p in found if any("python" in word for word in p.cmdline()[:1])]


WATCH = """(selector) => {
    window.times = [];
    let now = null;
    for (const name of ["keydown", "wheel"])
        addEventListener(name, ({ timeStamp }) => (now = [timeStamp, performance.now()]), true);
    new MutationObserver(() => {
        if (!now) return;
        const found = [...now, performance.now()];
        now = null;
        requestAnimationFrame(() => times.push([...found, performance.now()]));
    }).observe(document.querySelector(selector), { attributes: true });
}"""
EMPTY = """<body style="height: 900px"><script>
    addEventListener("wheel", (event) => {
        event.preventDefault();
        requestAnimationFrame(() => (document.body.dataset.drawn = performance.now()));
    }, { passive: false });
</script></body>"""
PARTS = ("heard_ms", "page_ms", "next_frame_ms")  # browser, page, browser


def timed(page, act, repeats=60):
    """Median and 95th percentile of act(page, index) to frame, ms; medians of its three parts."""
    page.evaluate("times.length = 0")
    for index in range(repeats):
        act(page, index)
        page.evaluate(MEASURED, index + 1)
    ways = page.evaluate("times")
    whole = sorted(way[-1] - way[0] for way in ways)
    parts = [statistics.median(way[k + 1] - way[k] for way in ways) for k in range(3)]
    found = {"median_ms": statistics.median(whole), "p95_ms": whole[int(0.95 * len(whole))]}
    found |= dict(zip(PARTS, parts, strict=True))
    return {name: round(value, 1) for name, value in found.items()} | {
        "n": len(ways),
        "load": round(os.getloadavg()[0], 1),  # of the machine's last minute
    }


def way(k):
    """Down the stack and up again."""
    return 1 if k % 60 < 30 else -1


def scroll(page):
    """Event to frame by wheel and by key, up and down the stack."""
    page.wait_for_selector(FETCHED, timeout=60_000)
    page.wait_for_timeout(1500)  # the last ones are unpacked
    box = page.locator(".cr-pictures canvas:visible").bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 200)
    page.wait_for_timeout(500)
    page.evaluate(WATCH, ".cr-viewer")
    wheel = timed(page, lambda p, k: p.mouse.wheel(0, 100 * way(k)))
    key = {1: "ArrowRight", -1: "ArrowLeft"}
    keys = timed(page, lambda p, k: p.keyboard.press(key[way(k)]))
    return {"wheel": wheel, "keys": keys}


def floor(browser):
    """The same wheel over an empty page."""
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    page.set_content(EMPTY)
    page.mouse.move(200, 200)
    page.evaluate(WATCH, "body")
    found = timed(page, lambda p, k: p.mouse.wheel(0, 100 * way(k)))
    page.close()
    return found


def heap(devtools):
    """The page's own memory after a forced collection, MB, and its nodes and listeners."""
    devtools.send("HeapProfiler.collectGarbage")
    used, nodes = devtools.send("Runtime.getHeapUsage"), devtools.send("Memory.getDOMCounters")
    held = used["usedSize"] + used.get("backingStorageSize", 0)
    counts = {"nodes": nodes["nodes"], "listeners": nodes["jsEventListeners"]}
    return {"heap_mb": round(held / 2**20)} | counts


def read_on(page, stacks):
    """Read so many cases, each with its whole stack fetched; memory after each tenth."""
    held, devtools = [], page.context.new_cdp_session(page)
    for number in range(1, stacks + 1):
        wait_for(page, "unaided")
        page.wait_for_selector(FETCHED, timeout=60_000)
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        press_answer(page, "tumor", 3)
        page.keyboard.press("j")
        if number % 10 == 0 or number == stacks:
            memory = {"page_mb": unique_mb(renderers()), "server_mb": unique_mb(servers())}
            held.append({"stacks": number} | memory | heap(devtools))
            print(held[-1], flush=True)
        until(page, f"document.querySelector('.cr-bar progress')?.value !== {number - 1}")
    return held


def deep_room(folder, stacks, readers=1):
    """A room whose cases are stacks as the benchmarks scroll and fetch them."""
    room = Room(
        Path(folder), cases=stacks + 1, training_cases=0, readers=readers, size=SIDE, stack=REACH,
        slices=2 * stacks + 20, change=deep,
    )  # fmt: skip
    share(room)
    return room


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stacks", type=int, default=100, help="read one after the other")
    stacks = parser.parse_known_args()[0].stacks
    if chromium_path() is None:
        print("stack: no Chromium on this machine, not measured")
        return {"skipped": "no Chromium"}
    with tempfile.TemporaryDirectory() as name, open_chromium() as browser:
        room = deep_room(name, stacks)
        with serving(room) as address:
            empty = floor(browser)
            page = browser.new_page(viewport={"width": 1300, "height": 1000})
            page.goto(address)
            begin(page)
            wait_for(page, "unaided")
            times = scroll(page)
            print(times, empty, flush=True)
            held = read_on(page, stacks)
    most = {name: max(row[name] for row in held) for name in ("page_mb", "server_mb")}
    fast = all(t["median_ms"] <= MEDIAN_MS and t["p95_ms"] <= P95_MS for t in times.values())
    small = most["page_mb"] <= PAGE_MB and most["server_mb"] <= SERVER_MB
    return {
        "event to frame": [
            {"what": what, **row} for what, row in (times | {"wheel, empty page": empty}).items()
        ],
        "limit_median_ms": MEDIAN_MS,
        "limit_p95_ms": P95_MS,
        "memory": held,
        "limit_page_mb": PAGE_MB,
        "limit_server_mb": SERVER_MB,
        "within_limit": fast and small,
    }


if __name__ == "__main__":
    finish("stack", main())
