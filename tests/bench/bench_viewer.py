"""Milliseconds from a key or mouse event to the frame that shows it, in a real browser.

The clock runs from the browser's own event time to the start of the frame after the one that
holds the new picture, so it is an upper bound of what the reader waits. Compared in the same
session with what notebooks usually do: an ipywidgets slider that redraws a matplotlib figure.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from results import finish

from browser import (
    chromium_path,
    execute,
    open_chromium,
    open_jupyterlab,
    open_notebook,
    run_all,
    write_notebook,
)
from camreader.viewer import widget

REPEATS = 60
LIMIT_MS = 40
PEER_NAME = "ipywidgets + matplotlib"
VIEWER = """
import numpy as np
from camreader.viewer.widget import SliceViewer
hu = np.random.default_rng(0).normal(40, 12, (4, 512, 512)).astype(np.int16)
y, x = np.mgrid[:128, :128]
hot = np.exp(-((x - 50) ** 2 + (y - 70) ** 2) / 500)
v = SliceViewer(hu, {"Grad-CAM": [hot] * 4}, cohort_title="Phantom: noise")
v
"""
PEER = """
import ipywidgets, matplotlib.pyplot as plt
def draw(opacity):
    figure, axes = plt.subplots(figsize=(5, 5))
    axes.imshow(hu[0], cmap="gray", vmin=-150, vmax=250)
    axes.imshow(np.kron(hot, np.ones((4, 4))), cmap="inferno", alpha=opacity)
    plt.show()
slider = ipywidgets.FloatSlider(0.5, max=1, step=0.01)
out = ipywidgets.interactive_output(draw, {"opacity": slider})
out.add_class("peer")
display(slider, out)
"""
WAIT = "import pathlib, time\nwhile not pathlib.Path('free').exists(): time.sleep(0.05)"
DRAWN = ".cr-viewer[data-drawn]"
STATUS = "jupyterapp.shell.currentWidget.sessionContext.session.kernel.status"
WATCH = """(selector) => {
    window.times = [];
    let start = null;
    for (const name of ["keydown", "pointermove"])
        addEventListener(name, (event) => (start = event.timeStamp), true);
    new MutationObserver(() => {
        if (start === null) return;
        const began = start;
        start = null;
        requestAnimationFrame(() => times.push(performance.now() - began));
    }).observe(document.querySelector(selector),
        { attributes: true, childList: true, subtree: selector === ".peer" });
}"""
MEASURED = """async (count) => {
    const end = performance.now() + 5000;
    while (times.length < count && performance.now() < end)
        await new Promise((done) => setTimeout(done, 5));
    if (times.length < count) throw new Error("nothing was drawn within 5 s");
}"""  # not wait_for_function: the exported page forbids eval


def medians(page, act, repeats=REPEATS):
    """Median and 95th percentile over `repeats` calls of act(page, index), in ms."""
    page.evaluate("times.length = 0")
    for index in range(repeats):
        act(page, index)
        page.evaluate(MEASURED, index + 1)
    times = sorted(page.evaluate("times"))
    return {
        "median_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[int(0.95 * len(times))], 1),
        "n": len(times),
    }


def press(selector):
    """Press an arrow on a slider, up for half of the presses, then down."""

    def act(page, index):
        page.locator(selector).focus()
        page.keyboard.press("ArrowRight" if index < REPEATS / 2 else "ArrowLeft")

    return act


def drag_window(page, index):
    """Move a pressed mouse over the picture: level and width change, all pixels are redrawn."""
    box = page.locator(".cr-pictures canvas").first.bounding_box()
    if index == 0:
        page.mouse.move(box["x"] + 50, box["y"] + 150)
        page.mouse.down()
    page.mouse.move(box["x"] + 52 + 2 * index, box["y"] + 150)
    if index == REPEATS - 1:
        page.mouse.up()


def watch(page, selector, drawn):
    """Start the clock on a page once `drawn` is there."""
    page.wait_for_selector(drawn, timeout=60_000)
    page.wait_for_timeout(1000)
    page.evaluate(WATCH, selector)


def hands(page):
    """The three movements a reader makes."""
    return {
        "opacity": medians(page, press(".cr-opacity")),
        "threshold": medians(page, press(".cr-threshold")),
        "window": medians(page, drag_window),
    }


def in_jupyterlab(browser, folder):
    """The viewer while the kernel is busy and idle."""
    with open_jupyterlab(folder) as lab:
        write_notebook(folder / "viewer.ipynb", VIEWER, WAIT)
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        open_notebook(page, lab, "viewer.ipynb")
        run_all(page)
        watch(page, ".cr-viewer", DRAWN)
        busy = hands(page)
        assert page.evaluate(STATUS) == "busy"
        (folder / "free").touch()
        page.wait_for_function(f"{STATUS} === 'idle'")
        idle = hands(page)
        page.close()
        peer = matplotlib_peer(browser, lab, folder)
    return {"kernel idle": idle, "kernel busy": busy, PEER_NAME: {"opacity": peer}}


def matplotlib_peer(browser, lab, folder):
    """The usual slider over a matplotlib figure, kernel idle (busy, it does not move at all)."""
    write_notebook(folder / "peer.ipynb", VIEWER.replace("\nv\n", "\n"), PEER)
    page = browser.new_page(viewport={"width": 1300, "height": 1000})
    open_notebook(page, lab, "peer.ipynb")
    run_all(page)
    watch(page, ".peer", ".peer img")
    times = medians(page, press(".noUi-handle"), repeats=20)
    page.close()
    return times


def exported(browser, folder):
    """The exported page, from disk, without a network."""
    source = write_notebook(folder / "export.ipynb", VIEWER)
    execute(source)
    widget.export_notebook(source, folder / "export.html")
    context = browser.new_context(viewport={"width": 1300, "height": 1000})
    context.set_offline(True)
    page = context.new_page()
    page.goto((folder / "export.html").as_uri())
    watch(page, ".cr-viewer", DRAWN)
    times = hands(page)
    context.close()
    return times


def main():
    """Measure and print."""
    if chromium_path() is None:
        print("viewer: no Chromium on this machine, not measured")
        return {"skipped": "no Chromium"}
    with tempfile.TemporaryDirectory() as name, open_chromium() as browser:
        folder = Path(name)
        results = in_jupyterlab(browser, folder)
        results["exported HTML, offline"] = exported(browser, folder)
    rows = [
        {"where": where, "what": what, **times}
        for where, table in results.items()
        for what, times in table.items()
    ]
    for row in rows:
        print("{where:24} {what:10} {median_ms:6.1f} ms  (95 %: {p95_ms})".format(**row))
    ours = [row["median_ms"] for row in rows if row["where"] != PEER_NAME]
    peer = results[PEER_NAME]["opacity"]["median_ms"]
    summary = {
        "event to frame": rows,
        "slowest_median_ms": max(ours),
        "limit_ms": LIMIT_MS,
        "within_limit": max(ours) <= LIMIT_MS,
        "times_faster_than_matplotlib": peer / max(ours),
    }
    return summary


if __name__ == "__main__":
    finish("viewer", main())
