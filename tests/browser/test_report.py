"""The report as a reviewer opens it: from a folder, in a real browser, without a network."""

import subprocess
import sys

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from study_run import checkout_environment

from browser import chromium, pixels, requests_of  # noqa: F401
from camreader.report import catalogue

GRAVE = ("serious", "critical")
A4_ACROSS = 1046  # CSS pixels of the long side, less the margins of a print


@pytest.fixture
def offline(chromium):  # noqa: F811
    """A page without a network that writes down what went wrong on it."""
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
    yield page
    context.close()


def pages(finished):
    """index.html and every executed notebook."""
    reports = finished / "reports"
    return [reports / "index.html", *sorted((reports / "notebooks").glob("*.html"))]


def test_nothing_leaves_and_nothing_complains(finished, offline):
    asked = requests_of(offline)
    for path in pages(finished):
        offline.goto(path.as_uri())
        offline.wait_for_load_state("load")
    assert [address for address in asked if not address.startswith(("file:", "data:"))] == []
    assert offline.complaints == []


def test_no_grave_accessibility_violation(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    offline.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    found = Axe().run(offline).response["violations"]
    grave = {v["id"]: [n["html"][:200] for n in v["nodes"]] for v in found if v["impact"] in GRAVE}
    assert grave == {}


def test_every_link_of_the_page_leads_somewhere(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    links = offline.evaluate(
        "[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))"
    )
    assert len(links) > 60
    for link in links:
        if link.startswith("#"):
            assert offline.locator(f"[id='{link[1:]}']").count() == 1, link
        else:
            assert (finished / "reports" / link).exists(), link


def test_the_page_keeps_its_shape_while_pictures_arrive(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    height = "document.scrollingElement.scrollHeight"
    before = offline.evaluate(height)
    offline.evaluate("document.querySelectorAll('img').forEach((i) => (i.loading = 'eager'))")
    offline.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
    assert abs(offline.evaluate(height) - before) <= 1  # fractions of a pixel are rounded


def test_it_fits_a_phone(finished, offline):
    offline.set_viewport_size({"width": 390, "height": 800})
    offline.goto((finished / "reports" / "index.html").as_uri())
    assert offline.evaluate("document.scrollingElement.scrollWidth") <= 390


def test_every_table_prints_whole_on_a_page_on_its_side(finished, offline):
    offline.set_viewport_size({"width": A4_ACROSS, "height": 700})
    offline.goto((finished / "reports" / "index.html").as_uri())
    assert b"842.88 595.91" in offline.pdf(format="A4")
    assert offline.locator("details[open]").count() == 0, "they close again after printing"
    offline.evaluate("document.querySelectorAll('details').forEach((d) => (d.open = true))")
    offline.emulate_media(media="print")
    cut = """[...document.querySelectorAll('.scroll')].filter((part) =>
        part.scrollWidth > part.clientWidth).map((part) => part.ariaLabel)"""
    assert offline.evaluate(cut) == []


def test_the_keyboard_shows_where_it_is(finished, offline):
    """A ring that stands out from white by 3 to 1, as WCAG 1.4.11 asks."""
    offline.goto((finished / "reports" / "index.html").as_uri())
    offline.keyboard.press("Tab")  # the keyboard is in use
    for part in ("nav a", "summary", "#against .scroll"):
        offline.locator(part).first.focus()
        style = offline.evaluate(
            """() => {
                const { outlineStyle, outlineColor } = getComputedStyle(document.activeElement);
                return [outlineStyle, ...outlineColor.match(/\\d+/g).map(Number)];
            }"""
        )
        assert style[0] == "solid" and 1.05 / (luminance(style[1:4]) + 0.05) >= 3


def luminance(colour):
    """Relative luminance of an sRGB colour 0..255, by the formula of WCAG 2."""
    shares = [c / 255 for c in colour]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_first_screen_answers_and_every_notebook_tells_its_finding(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    answer = offline.locator("#answer li")
    assert answer.count() == 5
    assert answer.last.bounding_box()["y"] < 900, "the answer is below the first screen"
    for notebook in catalogue.PARTS:
        found = offline.locator(f"[id='{notebook}'] ul.finding li")
        assert found.count() >= 1, f"{notebook} ends without a finding in words"


def test_simulated_numbers_stand_under_rehearsal_only(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    study = offline.locator("[id='08_reader_study']")
    assert study.locator("h2").text_content() == "Rehearsal: The reader study"
    assert "No person read these cases" in study.locator(".warning").text_content()
    first = offline.locator("#answer").text_content()
    assert "Nobody has read these cases" in first and "SIMULATED" not in first


def test_the_viewer_of_the_page_is_alive(finished, offline):
    offline.goto((finished / "reports" / "index.html").as_uri())
    picture = offline.locator("#viewer .cr-pictures").first
    picture.scroll_into_view_if_needed()
    offline.locator("#viewer canvas").first.wait_for()
    before = pixels(picture)
    slider = offline.locator("#viewer input.cr-opacity").first
    slider.focus()
    for _ in range(5):
        slider.press("ArrowUp")
    offline.wait_for_timeout(200)
    assert (pixels(picture) != before).any()


def test_figures_are_shown_at_the_size_their_text_was_set_for(finished, offline):
    """150 dots per inch hold text for 100; borders aside, none is smaller unless the page is."""
    offline.goto((finished / "reports" / "index.html").as_uri())
    shrunk = """[...document.querySelectorAll('figure img')].filter((image) =>
        image.width + 2 < Math.min(image.getAttribute('width'), 1000)).map((image) => image.alt)"""
    assert offline.evaluate(shrunk) == []


def test_the_viewer_of_the_executed_notebook_is_alive(finished, offline):
    offline.goto((finished / "reports" / "notebooks" / "04_gradcam.html").as_uri())
    picture = offline.locator(".cr-pictures").first
    picture.scroll_into_view_if_needed()
    offline.locator(".cr-viewer canvas").first.wait_for()
    before = pixels(picture)
    slider = offline.locator("input.cr-opacity").first
    slider.focus()
    for _ in range(5):
        slider.press("ArrowUp")
    offline.wait_for_timeout(200)
    assert (pixels(picture) != before).any()


def test_typed_strings_stay_text(finished_copy, offline):
    """A script in a table's cell is shown, not run."""
    path = finished_copy / "reports" / "tables" / "08_readers.csv"
    frame = pd.read_csv(path)
    frame["reader"] = "<script>document.title = 'run'</script><img src=x onerror=alert(1)>"
    frame.to_csv(path, index=False)
    command = [
        sys.executable,
        "-m",
        "camreader",
        "page",
        "--data",
        "data",
        "--cohort",
        "phantom",
    ]
    environment = checkout_environment(finished_copy)
    subprocess.run(
        [*command, "--reports", "reports"], cwd=finished_copy, env=environment, check=True
    )
    offline.goto((finished_copy / "reports" / "index.html").as_uri())
    assert offline.title() != "run"
    assert (
        "<script>document.title"
        in offline.locator("#08_reader_study".replace("#0", "#\\30 ")).text_content()
    )
