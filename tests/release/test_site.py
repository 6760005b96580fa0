"""The documentation site: built offline, every link and heading there, readable by everybody."""

import shutil
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from places import ROOT

from browser import chromium  # noqa: F401

GRAVE = ("serious", "critical")
SOURCES = ("mkdocs.yml", ".site", "docs", "README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def build(folder, target):
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", target],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Page(HTMLParser):
    """What a page links to, loads and can be linked at."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.ids = [], [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.ids.add(values.get("id"))
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        self.loaded += [values[name] for name in ("src", "data-src") if values.get(name)]
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "shortcut icon"):
            self.loaded.append(values["href"])


def test_every_link_leads_to_a_page_and_a_heading_that_are_there(site):
    """Checked on the built pages, beside what mkdocs checks in their sources."""
    pages = {path: Page(path) for path in site.glob("*.html") if path.name != "404.html"}
    assert len(pages) == 1 + 2 + len(list((ROOT / "docs").glob("*.md")))
    followed = 0
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "#":
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if parts.fragment and target.suffix == ".html":
                assert unquote(parts.fragment) in pages[target].ids, f"{path.name}: {link}"
            followed += 1
    assert followed > 100


def test_nothing_is_loaded_from_elsewhere(site):
    for path in site.glob("*.html"):
        if path.name != "404.html":  # a server's, with addresses from its root
            for address in Page(path).loaded:
                assert not urlsplit(address).netloc, f"{path.name}: {address}"
                assert (site / unquote(urlsplit(address).path)).is_file(), address


@pytest.mark.parametrize(
    "broken",
    [
        "[gone](gone.md)",
        "[no such heading](statistics.md#no-such-heading)",
        "[absolute](/docs/statistics.md)",
        "![no picture](pictures/none.png)",
    ],
)
def test_a_link_that_leads_nowhere_stops_the_build(tmp_path, broken):
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, tmp_path / name)
    (tmp_path / "reports").symlink_to(ROOT / "reports")
    (tmp_path / "Dockerfile").touch()
    (tmp_path / "CITATION.cff").touch()
    assert build(tmp_path, tmp_path / "whole").returncode == 0
    with open(tmp_path / "docs" / "reading.md", "a") as page:
        page.write(f"\n{broken}\n")
    done = build(tmp_path, tmp_path / "broken")
    assert done.returncode != 0 and "reading.md" in done.stdout + done.stderr


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_grave_accessibility_violation_and_no_network(site, chromium, scheme):  # noqa: F811
    context = chromium.new_context(
        offline=True, color_scheme=scheme, viewport={"width": 1200, "height": 900}
    )
    page, asked = context.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    for path in sorted(site.glob("[!4]*.html")):
        page.goto(path.as_uri())
        found = Axe().run(page).response["violations"]
        grave = {v["id"]: v["nodes"][0]["html"][:200] for v in found if v["impact"] in GRAVE}
        assert grave == {}, path.name
    assert asked and all(url.startswith("file:") for url in asked)
    context.close()


def test_no_page_is_wider_than_a_phone(site, chromium):  # noqa: F811
    context = chromium.new_context(viewport={"width": 390, "height": 800})
    page = context.new_page()
    for path in sorted(site.glob("[!4]*.html")):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path.name
    context.close()
