"""Four readers at one server: its memory, and how long an answer takes to come back.

The server is `make read` for a room: over TLS, one secret link per reader, stacks of 61 slices of
512 x 512 as in bench_stack. Four pages read in turn, each fetching its whole stack. Memory is the
unique set of the server and its keepers; an answer's time runs from the key to the next stage.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import numpy as np
from bench_stack import FETCHED, deep_room, servers, unique_mb
from reading_links import serving_links
from reading_room import press_answer, until, wait_for
from results import finish

from browser import chromium_path, open_chromium

READERS, SERVER_MB = 4, 1000


def enter(browser, link):
    """A browser of its own with a reader in it, at the first case."""
    context = browser.new_context(
        ignore_https_errors=True, viewport={"width": 1300, "height": 1000}
    )
    page = context.new_page()
    page.goto(link)
    page.get_by_role("button", name="Start reading").click(timeout=60_000)
    return page


def read_one(page):
    """One case with its whole stack; ms from the answer's key to the next stage, with the map."""
    wait_for(page, "unaided")
    case = page.locator(".cr-session").get_attribute("data-case")
    page.wait_for_selector(FETCHED, timeout=120_000)
    start = time.perf_counter()
    press_answer(page, "tumor", 3)
    page.wait_for_selector('[data-stage="aided"][data-waiting="false"]', timeout=60_000)
    took = 1000 * (time.perf_counter() - start)
    wait_for(page, "aided", case)
    press_answer(page, "tumor", 3)
    page.keyboard.press("j")
    until(page, f"document.querySelector('.cr-session').dataset.case !== '{case}'")
    return took


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=10, help="of each reader")
    cases = parser.parse_known_args()[0].cases
    if chromium_path() is None:
        print("room: no Chromium on this machine, not measured")
        return {"skipped": "no Chromium"}
    with tempfile.TemporaryDirectory() as name, open_chromium() as browser:
        room = deep_room(name, cases, READERS)
        with serving_links(room) as server:
            start = unique_mb(servers())
            pages = [enter(browser, server.link(f"R{n}")) for n in range(1, READERS + 1)]
            held, took = [], []
            for number in range(1, cases + 1):
                took += [read_one(page) for page in pages]
                held.append({"cases_each": number, "server_mb": unique_mb(servers())})
                print(held[-1], flush=True)
    most = max(row["server_mb"] for row in held)
    return {
        "readers": READERS,
        "server_mb_before": start,
        "server_mb": most,
        "memory": held,
        "answer to next stage, ms": {
            "median": round(float(np.median(took))),
            "p95": round(float(np.percentile(took, 95))),
            "n": len(took),
        },
        "limit_server_mb": SERVER_MB,
        "within_limit": most <= SERVER_MB,
    }


if __name__ == "__main__":
    finish("room", main())
