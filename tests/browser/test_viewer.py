"""The viewer under real fingers: in JupyterLab and in exported HTML with the network off."""

import base64
import subprocess
import sys

import numpy as np
import pytest
from viewer_page import write_page

from browser import (
    chromium,  # noqa: F401 (fixtures)
    execute,
    jupyterlab,  # noqa: F401
    open_notebook,
    pixels,
    requests_of,
    run_all,
    write_notebook,
)
from camreader.viewer import widget as viewer
from camreader.viewer.html import STATIC
from camreader.viewer.widget import SliceViewer

TITLE = "Slice {} <script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>"
CELL = f"""
import numpy as np
from camreader.viewer.widget import SliceViewer
hu = np.full((3, 64, 64), -1000, np.int16)
hu[:, 8:56, 8:56] = np.array([40, 60, 20])[:, None, None]
y, x = np.mgrid[:16, :16]
hot = np.exp(-((x - 5) ** 2 + (y - 8) ** 2) / 8)
maps = {{"Grad-CAM": [hot] * 3, "occlusion": [hot[:, ::-1]] * 3}}
v = SliceViewer(
    hu, maps, boxes=[[[12, 24, 30, 42]]] * 3, titles=[{TITLE!r}.format(i) for i in range(3)],
    cohort_title="Phantom: synthetic CT", opacity=0.5,
)
v
"""
DRAWN = ".cr-viewer[data-drawn]"
# The second cell's prompt. Not the kernel's status: widget messages of a subshell end with "idle".
PROMPT = "document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[1].textContent"


def overlay(page):
    return page.locator(".cr-pictures canvas").nth(1)


def settle(page):
    """Wait until what was asked for is on the screen: two frames without a new drawing."""
    page.evaluate(
        """async () => {
            const viewer = document.querySelector(".cr-viewer");
            const frame = () => new Promise(requestAnimationFrame);
            for (let last = null; last !== viewer.dataset.drawn; await frame(), await frame())
                last = viewer.dataset.drawn;
        }"""
    )


def changed(page, act):
    """Mean change of the overlay's pixels through `act`."""
    before = pixels(overlay(page))
    act()
    settle(page)
    return np.abs(pixels(overlay(page)) - before).mean()


def drag_slider(page, name, share):
    box = page.locator(f".cr-{name}").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()


def check_hands_on(page):
    """What must work anywhere: opacity by mouse and by arrows, cases by keys, typed text inert."""
    opacity = page.locator(".cr-opacity")
    opacity.fill("0.5")
    settle(page)
    assert changed(page, lambda: drag_slider(page, "opacity", 0.95)) > 0.5
    assert float(opacity.input_value()) > 0.85
    opacity.focus()
    value = float(opacity.input_value())
    assert changed(page, lambda: [page.keyboard.press("ArrowLeft") for _ in range(9)]) > 0.1
    assert float(opacity.input_value()) == pytest.approx(value - 0.09)
    overlay(page).click(position={"x": 20, "y": 20})
    assert changed(page, lambda: page.keyboard.press("ArrowDown")) > 0.05
    assert changed(page, lambda: page.keyboard.press("ArrowRight")) > 0.5
    assert page.locator(".cr-title").inner_text() == TITLE.format(1)
    assert page.evaluate("window.hacked") is None
    assert changed(page, lambda: page.keyboard.press("`")) > 0.5
    assert changed(page, lambda: page.keyboard.press("\\")) > 0.1
    assert changed(page, lambda: page.keyboard.press("2")) > 1
    assert changed(page, lambda: page.keyboard.press("h")) > 0.5


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """An executed notebook exported as one HTML file, in a folder of its own."""
    folder = tmp_path_factory.mktemp("export")
    source = write_notebook(folder / "x.ipynb", CELL)
    execute(source)
    viewer.export_notebook(source, folder / "x.html")
    source.unlink()
    return folder / "x.html"


@pytest.fixture
def offline(chromium, page_file):  # noqa: F811
    """The exported page, opened from disk without a network; it may ask for nothing else."""
    context = chromium.new_context(viewport={"width": 1000, "height": 900})
    context.set_offline(True)
    page = context.new_page()
    asked, errors = requests_of(page), []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(page_file.as_uri())
    page.wait_for_selector(DRAWN)
    settle(page)
    yield page
    context.close()
    assert errors == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
    assert [url for url in asked if url.startswith("file:")] == [page_file.as_uri()]


def test_exported_html_works_without_network(offline):
    check_hands_on(offline)


def test_jupyterlab_while_the_kernel_is_busy_and_idle(chromium, jupyterlab):  # noqa: F811
    link = (
        "import ipywidgets\ns = ipywidgets.FloatSlider(0.5, max=1, step=0.01)\n"
        "ipywidgets.jslink((s, 'value'), (v, 'opacity'))\ndisplay(s, v)"
    )
    busy = "import pathlib, time\nwhile not pathlib.Path('free').exists(): time.sleep(0.1)"
    write_notebook(jupyterlab.folder / "x.ipynb", CELL[:-2] + link, busy)
    page = chromium.new_page(viewport={"width": 1200, "height": 1000})
    open_notebook(page, jupyterlab, "x.ipynb")
    run_all(page)
    page.wait_for_selector(DRAWN, timeout=60_000)
    settle(page)
    page.wait_for_function(f"{PROMPT} === '[*]:'")
    check_hands_on(page)
    before = page.locator(".cr-opacity").input_value()
    page.locator(".widget-slider .noUi-handle").focus()
    page.keyboard.press("ArrowUp")
    settle(page)
    assert page.locator(".cr-opacity").input_value() != before  # the linked slider
    assert page.evaluate(PROMPT) == "[*]:"  # still running
    (jupyterlab.folder / "free").touch()
    page.wait_for_function(f"{PROMPT} === '[2]:'")
    overlay(page).click()
    for key in ("Home", "h", "1"):
        page.keyboard.press(key)
    check_hands_on(page)
    page.close()


# ---- the pixels themselves, against independent implementations ----


@pytest.fixture(scope="module")
def scripted(chromium):  # noqa: F811
    """A blank page with the viewer's own functions in it."""
    page = chromium.new_page()
    for name in ("viewer_pixels.js", "viewer_draw.js"):
        page.add_script_tag(content=(STATIC / name).read_text())
    yield page
    page.close()


def packed_for_page(packed):
    return {**packed, "data": base64.b64encode(packed["data"]).decode()}


DECODE = (
    "const view = (t) => new DataView(Uint8Array.from(atob(t), (c) => c.charCodeAt(0)).buffer);"
)


def test_slices_arrive_without_loss(scripted):
    hu = np.random.default_rng(1).integers(-32768, 32768, (7, 13)).astype(np.int16)
    script = f"""async (packed) => {{ {DECODE}
        const slice = await unpackSlice({{ ...packed, data: view(packed.data) }});
        return [slice.width, slice.height, [...slice.values]]; }}"""
    width, height, values = scripted.evaluate(script, packed_for_page(viewer.pack_slice(hu)))
    np.testing.assert_array_equal(np.reshape(values, (height, width)), hu)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (8, 8), (40, 31)])
def test_maps_are_enlarged_as_torch_does(scripted, shape):
    torch = pytest.importorskip("torch")
    heat = np.random.default_rng(2).integers(0, 256, shape) / 255
    script = f"""async (packed) => {{ {DECODE}
        return [...await unpackHeat({{ ...packed, data: view(packed.data) }}, 24, 32)]; }}"""
    found = scripted.evaluate(script, packed_for_page(viewer.pack_map(heat)))
    expected = torch.nn.functional.interpolate(
        torch.tensor(heat)[None, None], size=(32, 24), mode="bilinear", align_corners=False
    )
    np.testing.assert_allclose(np.reshape(found, (32, 24)), expected[0, 0], atol=1e-6)


def test_window_and_heat_are_the_formulas(scripted):
    hu = np.array([-2000, -150, -149, 50, 249, 250, 3000])
    script = """(values) =>
        Array.from(greyPixels({ values }, new Uint32Array(7), 50, 400), (pixel) => pixel & 255)"""
    expected = np.rint(np.clip((hu - -150) / 400, 0, 1) * 255)
    np.testing.assert_allclose(scripted.evaluate(script, hu.tolist()), expected, atol=0)
    script = """(heat) => [...heatPixels(heat, 0.5, new Uint8Array(768).fill(9))]"""
    rgba = np.reshape(scripted.evaluate(script, [0, 0.49, 0.5, 1]), (4, 4))
    np.testing.assert_array_equal(rgba[:, 3], [0, 0, 128, 255])  # cold areas stay anatomy
    np.testing.assert_array_equal(rgba[2:, 0], [9, 9])


def test_a_hidden_map_is_not_called_missing(scripted):
    script = """([heat, shown]) => overlayName({ heat, model: new Map([
        ["show_heat", shown], ["method", "Grad-CAM"]]) })"""
    said = [scripted.evaluate(script, case) for case in ([1, True], [1, False], [None, True])]
    assert said == ["Grad-CAM", "heat-map hidden", "no heat-map"]


# ---- one page, its details ----


@pytest.fixture
def page(chromium, tmp_path):  # noqa: F811
    """Open a viewer as a page of its own."""
    opened = []

    def open_page(widget, width=1000):
        write_page(widget, tmp_path / "page.html")
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tab.goto((tmp_path / "page.html").as_uri())
        tab.wait_for_selector(DRAWN)
        settle(tab)
        opened.append(tab)
        return tab

    yield open_page
    for tab in opened:
        tab.close()


def example(**arguments):
    hu = np.full((2, 64, 64), 50, np.int16)
    hot = np.zeros((2, 64, 64))
    hot[:, :, 32:] = 0.8
    return SliceViewer(hu, {"Grad-CAM": hot}, boxes=[[[8, 8, 24, 24]]] * 2, **arguments)


def patch(page, which, x, y):
    """Mean colour of a small patch of picture `which`, at shares x, y of its size."""
    shot = pixels(page.locator(".cr-pictures canvas").nth(which))
    row, column = int(y * shot.shape[0]), int(x * shot.shape[1])
    return shot[row : row + 4, column : column + 4].reshape(-1, 3).mean(axis=0)


def test_overlay_is_the_blend_and_cold_areas_are_the_anatomy(page):
    tab = page(example(opacity=0.5, threshold=0.3, window=(50, 100)))
    np.testing.assert_allclose(patch(tab, 0, 0.7, 0.7), 128, atol=1)
    np.testing.assert_allclose(patch(tab, 1, 0.3, 0.7), 128, atol=1)
    colour = np.frombuffer(example()._colours["inferno"], np.uint8).reshape(256, 3)[204]
    np.testing.assert_allclose(patch(tab, 1, 0.7, 0.7), 0.4 * colour + 0.6 * 127.5, atol=2)
    tab.locator(".cr-threshold").fill("0.9")
    settle(tab)
    np.testing.assert_allclose(patch(tab, 1, 0.7, 0.7), 128, atol=1)


def test_one_and_the_same_map_fits_slices_of_any_shape(page):
    """An empty map, or a slice of one value, is the same in bytes at several shapes."""
    shapes = [(48, 64), (64, 48), (64, 64)]
    hot = np.zeros((8, 8))
    hot[:4] = 1
    grey = [np.full(shape, 50, np.int16) for shape in shapes]
    tab = page(SliceViewer(grey, {"Grad-CAM": [hot] * 3}, opacity=1, threshold=0.5))
    for height, width in shapes:
        box = overlay(tab).bounding_box()
        assert box["height"] / box["width"] == pytest.approx(height / width, rel=0.01)
        assert np.ptp(patch(tab, 1, 0.5, 0.75)) < 2 and np.ptp(patch(tab, 1, 0.5, 0.25)) > 50
        tab.get_by_role("button", name="Next").click()
        settle(tab)


def test_a_box_lies_where_it_should(page):
    tab = page(example(show_box=True))
    frame = patch(tab, 0, 8.5 / 64, 16 / 64)
    assert frame[2] > frame[0] + 40  # blue on the box's left edge
    assert np.ptp(patch(tab, 0, 16 / 64, 16 / 64)) < 2  # grey inside


def test_drag_sets_level_and_width_and_wheel_zooms(page):
    tab = page(example())
    canvas = tab.locator(".cr-pictures canvas").nth(0)
    box = canvas.bounding_box()
    tab.mouse.move(box["x"] + 100, box["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 160, box["y"] + 130, steps=3)
    tab.mouse.up()
    assert tab.locator(".cr-window_width").input_value() == "480"
    assert tab.locator(".cr-window_centre").input_value() == "90"
    assert tab.locator("select").last.input_value() == "own"
    before = pixels(canvas)
    tab.mouse.wheel(0, -300)
    settle(tab)
    assert np.abs(pixels(overlay(tab)) - before).mean() > 1


def test_a_window_stays_within_what_a_slice_can_need(page):
    """Typed or dragged: whole numbers, a width of at least 1, levels of int16."""
    tab = page(example())
    level, width = tab.locator(".cr-window_centre"), tab.locator(".cr-window_width")
    for typed, shown in (("-1e9", "-32768"), ("40.6", "41"), ("99999", "32767")):
        level.fill(typed)
        level.press("Enter")
        assert level.input_value() == shown
    for typed, shown in (("0", "1"), ("-3", "1"), ("1e9", "65536")):
        width.fill(typed)
        width.press("Enter")
        assert width.input_value() == shown
    box = overlay(tab).bounding_box()
    tab.mouse.move(box["x"] + 100, box["y"] + 100)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 160, box["y"] + 130)
    tab.mouse.up()
    assert (level.input_value(), width.input_value()) == ("32767", "65536")


def test_letters_reach_the_page_from_a_list_or_a_number(page):
    """A list chosen from with the mouse gives the keys back; one reached by Tab keeps its place."""
    tab = page(example())
    heat = tab.locator(".cr-show_heat")
    tab.locator("select").last.click()
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("Enter")  # of the open list
    active = "document.activeElement.className || document.activeElement.tagName"
    assert tab.evaluate(active) == "cr-viewer"
    tab.locator("select").last.focus()
    tab.keyboard.press("ArrowDown")
    assert tab.evaluate(active) == "SELECT"
    tab.keyboard.press("h")
    assert not heat.is_checked()
    tab.locator(".cr-window_width").fill("90")
    tab.keyboard.press("h")
    assert heat.is_checked() and tab.locator(".cr-window_width").input_value() == "90"


def test_hidden_heat_means_one_picture(page):
    widget = example()
    widget.maps = None
    tab = page(widget)
    assert tab.locator(".cr-pictures canvas:visible").count() == 1
    assert tab.locator(".cr-opacity:visible").count() == 0
    assert "opacity" not in tab.locator(".cr-help").inner_text()


def test_a_picture_fits_the_screen(page):
    tab = page(SliceViewer(np.full((1, 64, 64), 50, np.int16)), width=1300)
    assert tab.locator(".cr-pictures canvas:visible").bounding_box()["height"] <= 900


def test_navigation_can_be_left_to_the_program(page):
    tab = page(example(navigation=False, titles=["one", "two"]))
    overlay(tab).click()
    tab.keyboard.press("ArrowRight")
    settle(tab)
    assert tab.locator(".cr-title").inner_text() == "one"
    assert tab.locator("button:visible").all_inner_texts() == ["Fit picture"]


def test_narrow_screens_and_keyboards_reach_everything(page):
    tab = page(example(titles=["a" * 90] * 2), width=380)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 380
    names = tab.evaluate(
        """() => [...document.querySelectorAll("input, select, button")].map((node) =>
            node.labels?.[0]?.textContent.trim() || node.textContent.trim())"""
    )
    assert all(names) and len(names) >= 12
    reached = set()
    for _ in range(20):
        tab.keyboard.press("Tab")
        reached.add(
            tab.evaluate("document.activeElement.className || document.activeElement.tagName")
        )
    assert {"cr-viewer", "cr-case", "cr-opacity", "cr-threshold", "SELECT", "BUTTON"} <= reached
    tab.locator(".cr-opacity").focus()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert tab.evaluate(outline) == "solid"


def test_importing_the_viewer_does_not_load_torch():
    code = "import camreader.viewer.widget, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
