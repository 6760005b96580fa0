"""A reading room: several browsers on one server over TLS, each with its own secret link."""

import contextlib
import subprocess
import sys

import numpy as np
import pytest
from places import ROOT
from reading_links import apache, nginx, serving_links
from reading_room import (
    CASES,
    GRID,
    PRACTICE,
    Room,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    until,
    wait_for,
)

from browser import chromium  # noqa: F401 (a fixture)
from camreader.session.tidy import load_tidy

READERS = ("Ann", "Bea", "Cy", "Dan")
HELP = {"yes": "j", "some": "k", "no": "l"}


@pytest.fixture
def browse(chromium, open_page):  # noqa: F811
    """A browser of its own that has accepted the room's certificate."""
    contexts = []

    def browse():
        view = {"width": 1280, "height": 800}
        contexts.append(chromium.new_context(ignore_https_errors=True, viewport=view))
        return open_page(context=contexts[-1])

    yield browse
    for context in contexts:
        context.close()


def enter(page, link):
    """Open a secret link and start."""
    page.goto(link)
    page.wait_for_selector(".cr-start input.cr-name", timeout=60_000)
    assert page.locator(".cr-name").evaluate("field => field.readOnly")
    page.get_by_role("button", name="Start reading").click()


def links(room, *words):
    """`camreader links` from another terminal."""
    command = [sys.executable, "-m", "camreader", "links", *words, "--config", str(room.config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def case_on(page):
    return page.locator(".cr-session").get_attribute("data-case")


@pytest.mark.long
def test_four_browsers_read_twenty_cases_each_and_one_of_them_behind_a_proxy(browse, tmp_path):
    """Answers of all four, interleaved: nothing lost, nothing twice, nothing another's."""
    room = Room(tmp_path, readers=4)
    rng = np.random.default_rng(4)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving_links(room, base="/reading/"))
        outside = stack.enter_context(nginx(server, tmp_path / "nginx"))
        pages = {name: browse() for name in READERS}
        for name, page in pages.items():
            enter(
                page,
                server.link(name).replace(server.url, outside if name == "Dan" else server.url),
            )
        given = {name: [] for name in READERS}
        for _ in range(CASES + PRACTICE):
            for name, page in pages.items():
                wait_for(page, "unaided")
                case, said = case_on(page), []
                for stage in ("unaided", "aided"):
                    wait_for(page, stage, case)
                    said += [str(rng.choice(list(GRID))), int(rng.integers(1, 6))]
                    press_answer(page, *said[-2:])
                said.append(str(rng.choice(list(HELP))))
                page.keyboard.press(HELP[said[-1]])
                given[name].append([case, *said])
        for page in pages.values():
            wait_for(page, "finished")
            assert page.errors == []
            assert all(url.startswith(page.url) or "enter" in url for url in page.traffic.asked)
        assert pages["Dan"].url == outside != server.url
    check_log(room, given)


def check_log(room, given):
    """Every answer of every reader once, in the reader's own order, as it was pressed."""
    slots = {e["reader"]: e["payload"]["slot"] for e in room.events(kind="enrolled")}
    assert sorted(slots) == sorted(READERS)
    frame = load_tidy(room.database)
    assert len(frame) == 2 * CASES * len(READERS)
    for name, rows in given.items():
        assert [row[0] for row in rows] == [step.case for step in room.design.steps(slots[name])]
        stored = [e for e in room.events(reader=name) if e["kind"] in ("locked", "revised")]
        assert [(e["case_id"], e["kind"]) for e in stored] == [
            (row[0], kind) for row in rows for kind in ("locked", "revised")
        ]
        said = [(e["payload"]["diagnosis"], e["payload"]["confidence"]) for e in stored]
        assert said == [pair for row in rows for pair in (tuple(row[1:3]), tuple(row[3:5]))]
        own = frame[(frame["reader"] == name) & (frame["modality"] == "aided")]
        assert own["helpfulness"].tolist() == [row[5] for row in rows[PRACTICE:]]


def test_a_revoked_link_shows_nothing_not_even_in_mid_session(browse, tmp_path):
    room = Room(tmp_path, cases=4, training_cases=0)
    with serving_links(room) as server:
        link, page = server.link("Ann"), browse()
        enter(page, link)
        wait_for(page, "unaided")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        known = len(room.events())
        links(room, "revoke", "ann")
        page.wait_for_selector('[data-stage="shut"]', timeout=10_000)
        assert "not valid any more" in page.inner_text("[role=alert]")
        assert page.locator("canvas").count() == 0 and case_on(page) is None
        page.keyboard.press("q")
        heard = len(page.traffic.frames)
        page.wait_for_timeout(1500)
        assert len(page.traffic.frames) == heard and len(room.events()) == known
        for address in (server.url, link):
            page.goto("about:blank")
            page.goto(address)
            until(page, "document.body.textContent.includes('not valid any more')")
            assert page.locator("canvas, .cr-name").count() == 0
        renewed = links(room, "renew", "Ann").split("enter#")[1].split()[0]
        page.goto("about:blank")
        enter(page, f"{server.url}enter#{renewed}")
        wait_for(page, "aided")


def test_a_paused_reader_goes_on_where_he_was(browse, tmp_path):
    room = Room(tmp_path, cases=4, training_cases=0)
    with serving_links(room) as server:
        page, keeper = browse(), browse()
        enter(page, server.link("Ann"))
        wait_for(page, "unaided")
        case = case_on(page)
        page.on("dialog", lambda dialog: dialog.accept())
        keeper.goto(server.link("admin"))
        keeper.get_by_role("button", name="Pause").click()
        page.wait_for_selector('[data-stage="shut"]', timeout=10_000)
        assert "paused by whoever runs the study" in page.inner_text("[role=alert]")
        keeper.get_by_role("button", name="Let go on").click()
        page.get_by_role("button", name="Start reading").click(timeout=20_000)
        wait_for(page, "unaided", case)
        assert keeper.errors == []


def test_the_admin_page_tells_how_far_everybody_is_and_no_answer(browse, tmp_path):
    room = Room(tmp_path, cases=2, training_cases=0)
    with serving_links(room) as server:
        page, keeper = browse(), browse()
        enter(page, server.link("Ann"))
        wait_for(page, "unaided")
        press_answer(page, "other", 2)
        wait_for(page, "aided")
        keeper.goto(server.link("admin"))
        row = keeper.locator("tbody tr").first
        row.wait_for()
        assert row.inner_text().split("\t")[:5] == ["Ann", "valid", "open", "0 of 2", "aided"]
        log = keeper.request.get(f"{server.url}admin/log.json")
        assert [e["kind"] for e in log.json()] == [
            "enrolled",
            "started",
            "locked",
            "started",
            "revealed",
        ]
        for name in ("answers.csv", "events.json"):
            assert keeper.request.get(f"{server.url}admin/{name}").status == 403
        seen = b"\n".join([log.body(), keeper.content().encode()])
        for word in (b"diagnosis", b"confidence", b"payload", b"truth", b"cnn", b"other"):
            assert word not in seen.replace(b"Answers and truth", b""), word
        keeper.get_by_label("Close it for good").check()
        keeper.get_by_role("button", name="Close the study").click()
        page.wait_for_selector('[data-stage="shut"]', timeout=10_000)
        assert "The study is closed" in page.inner_text("[role=alert]")
        events = keeper.request.get(f"{server.url}admin/events.json").json()
        locked = next(event for event in events if event["kind"] == "locked")
        assert locked["payload"]["diagnosis"] == "other"
        assert b"truth" in keeper.request.get(f"{server.url}admin/answers.csv").body()


@pytest.mark.parametrize("proxy", [nginx, apache], ids=["nginx", "apache"])
def test_the_proxies_of_the_docs_pass_a_reading_on(browse, tmp_path, proxy):
    """Their configuration is that of docs/serving.md; around them nothing is answered."""
    room = Room(tmp_path, cases=2, training_cases=0)
    with (
        serving_links(room, "--behind-proxy", base="/reading/", secure=False) as server,
        proxy(server, tmp_path / "proxy") as outside,
    ):
        page = browse()
        enter(page, server.link("Ann").replace(server.url, outside))
        for _ in room.design.steps(1):
            wait_for(page, "unaided")
            press_answer(page, "tumor", 3)
            wait_for(page, "aided")
            press_answer(page, "tumor", 4)
            page.keyboard.press("j")
        wait_for(page, "finished")
        (cookie,) = page.context.cookies()
        assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Strict"
        assert cookie["path"] == "/reading/"
        token = server.tokens["Ann"]
        assert token not in (tmp_path / "proxy" / "error.log").read_text()
        assert server.ask("/reading/", token)[0] == 200
        assert server.ask("/reading/", token, X_Forwarded_Proto="http")[0] == 403
    assert [e["kind"] for e in room.events()].count("revised") == 2


def test_a_second_workstation_goes_on_and_a_new_server_too(browse, tmp_path):
    """The link moves with its reader; an answer given while the server was away is kept."""
    room = Room(tmp_path, cases=4, training_cases=0)
    first, second = browse(), browse()
    with serving_links(room) as server:
        link = server.link("Ann")
        enter(first, link)
        wait_for(first, "unaided")
        case = case_on(first)
        enter(second, link)
        wait_for(second, "unaided", case)
        first.wait_for_selector('[data-stage="moved"]')
        port = server.port
    press_answer(second, "tumor", 3)
    second.wait_for_selector(".cr-said.cr-bad", timeout=15_000)
    with serving_links(room, "--port", str(port)):
        wait_for(second, "aided", case)
    stored = room.events(kind="locked")
    assert [(e["case_id"], e["payload"]["confidence"]) for e in stored] == [(case, 3)]
