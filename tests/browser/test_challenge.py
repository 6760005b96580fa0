"""Five slices on the report's page, answered with mouse and with keys, in a real browser."""

from dataclasses import replace
from pathlib import Path

import jinja2
import pytest
from explained_fixture import write_study

from browser import chromium  # noqa: F401
from camreader import report
from camreader.common.storage import read_json
from camreader.heatmaps import cases, challenge

PAGE = "<!doctype html><html lang='en'><title>t</title><body style='--edge: red'>{}</body></html>"


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    study = write_study(tmp_path_factory.mktemp("challenge"))
    challenge.write(study, replace(cases.load(study), judged=None), seed=1)
    return read_json(study.challenge)


@pytest.fixture
def page(chromium, content, tmp_path):  # noqa: F811
    folder = Path(report.__path__[0])
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    body = environment.get_template("challenge.html").render(challenge=content)
    (tmp_path / "page.html").write_text(PAGE.format(body))
    context = chromium.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto((tmp_path / "page.html").as_uri())
    yield page
    assert page.complaints == []
    context.close()


def words(page):
    return page.locator("#game-words").inner_text()


def place_of(item, page):
    """The middle of a case's first box in the window; a corner where it has none."""
    left, top, right, bottom = item["boxes"][0] if item["boxes"] else (0, 0, 0.02, 0.02)
    frame = page.locator("#game-stage").bounding_box()
    x, y = (left + right) / 2, (top + bottom) / 2
    return frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]


def test_a_right_answer_at_the_right_place_counts_and_five_prove_nothing(page, content):
    names = content["names"]
    for number, item in enumerate(content["cases"], 1):
        assert f"Slice {number} of {len(content['cases'])}" in words(page)
        assert page.locator("#game-stage img").count() == 1  # no map before the answer
        page.get_by_role("button", name=names[item["truth"]], exact=True).click()
        if item["truth"] == 1:
            page.mouse.click(*place_of(item, page))
            assert "your ring lies in it" in words(page)
        assert f"You: {names[item['truth']]}, right" in words(page)
        assert page.locator("#game-stage img").count() == 2
        page.get_by_role("button").first.click()
    total = len(content["cases"])
    right = sum(item["truth"] == item["answer"] for item in content["cases"])
    assert f"You: {total} of {total} right. The network: {right} of {total}." in words(page)
    low, high = content["intervals"][total]
    assert f"{round(100 * low)} to {round(100 * high)} %" in words(page)
    assert "This shows nothing" in words(page)


def test_it_is_answered_by_keys_alone(page, content):
    page.locator("#game-keys button").first.focus()
    page.keyboard.press("Enter")  # "tumor"
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    ring = page.locator("#game-stage circle")
    middle = float(ring.get_attribute("cx")) / content["cases"][0]["size"][0]
    assert middle == pytest.approx(0.47)
    page.keyboard.press("Enter")
    assert "The network:" in words(page)
    page.keyboard.press("Enter")  # the next slice
    assert "Slice 2 of" in words(page)
