"""A reading under real fingers: 20 cases by keyboard, in JupyterLab and as the served page."""

import json
import urllib.error
import urllib.request

import nbformat
import numpy as np
import pytest
from reading_room import (
    CASES,
    GRID,
    PRACTICE,
    TOKEN,
    Room,
    begin,
    kernels_of,
    mount,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    said,
    serving,
    small_disk,
    wait_for,
)
from reading_study import secrets_of

from browser import (
    KERNEL_IDLE,
    chromium,  # noqa: F401 (fixtures)
    jupyterlab,  # noqa: F401
    open_notebook,
    run_all,
)
from camreader.__main__ import main
from camreader.session.tidy import load_tidy

NASTY = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"
NAME = "Dr <b onmouseover=window.hacked=1>O'Neil</b>"
HELP = {"yes": "j", "some": "k", "no": "l"}


# ---- the whole reading ----


def plan_of_answers(design, seed):
    """What the reader will say: [(case, (diagnosis, confidence), (…, …, helpfulness), comment)]."""
    rng = np.random.default_rng(seed)
    say = lambda: (str(rng.choice(list(GRID))), int(rng.integers(1, 6)))  # noqa: E731
    rows = []
    for turn, step in enumerate(design.steps(1)):
        comment = f"{NASTY} {turn}" if turn % 7 == 3 else ""
        rows.append((step.case, say(), (*say(), str(rng.choice(list(HELP)))), comment))
    return rows


def check_nothing_is_told(page, room, case, known):
    """Before the lock: no truth, no score and no map of the case, on the page or on its way."""
    page_text = page.content() + page.evaluate("JSON.stringify(localStorage)")
    for secret in secrets_of(room.truth[case]):
        assert secret not in page.traffic.received
        assert secret.decode("latin-1") not in page_text
    since = b"\n".join(page.traffic.frames[known:])
    for word in ("cnn_prediction", "cnn_probability", "truth", "label", "slice_id"):
        assert f'"{word}"'.encode() not in since, word  # as a name in the page's data
    assert room.truth[case]["slice_id"].encode() not in page.traffic.received
    assert "The network says" not in page_text


def read_everything(page, room):
    """Twenty cases and the practice by keyboard alone; returns what was said."""
    given, known = plan_of_answers(room.design, 5), 0
    begin(page, NAME)
    for turn, (case, first, second, comment) in enumerate(given):
        wait_for(page, "unaided", case)
        check_nothing_is_told(page, room, case, known)
        if comment:
            page.keyboard.press("m")
            page.keyboard.type(comment)
            page.keyboard.press("Escape")
        if turn == 4:
            use_the_tools(page)
        press_answer(page, *first)
        wait_for(page, "aided", case)
        if turn == 5:
            page.keyboard.press("ArrowUp")
            page.keyboard.press("h")
        press_answer(page, *second[:2])
        known = len(page.traffic.frames)
        page.keyboard.press(HELP[second[2]])
    wait_for(page, "finished")
    return given


def use_the_tools(page):
    """Window presets and zoom by key, a pause, and the list of answers."""
    page.keyboard.press("3")
    page.keyboard.press("+")
    page.keyboard.press("p")
    page.wait_for_selector('[data-stage="paused"]')
    page.keyboard.press("p")
    page.keyboard.press("u")
    page.wait_for_selector(".cr-answers table")
    assert page.evaluate("window.hacked") is None
    page.keyboard.press("u")
    page.wait_for_selector('[data-stage="unaided"]')


def check_export(room, given, folder):
    """The export is exactly what was answered: values, order, milliseconds."""
    order = [step.case for step in room.design.steps(1)]
    assert [row[0] for row in given] == order
    assert len(given) == CASES + PRACTICE
    rows = given[PRACTICE:]
    frame = load_tidy(room.database)
    for modality, place in (("unaided", 1), ("aided", 2)):
        part = frame[frame["modality"] == modality]
        assert part["case"].tolist() == order[PRACTICE:]
        assert part["order"].tolist() == list(range(1, CASES + 1))
        assert part["diagnosis"].tolist() == [row[place][0] for row in rows]
        assert part["confidence"].tolist() == [row[place][1] for row in rows]
        assert part["truth"].tolist() == [room.truth[row[0]]["truth"] for row in rows]
        times = part["milliseconds"].astype(int)
        assert (times > 0).all() and times.nunique() > 5 and times.max() < 60_000
    aided, unaided = (frame[frame["modality"] == m] for m in ("aided", "unaided"))
    assert aided["helpfulness"].tolist() == [row[2][2] for row in rows]
    assert unaided["comment"].tolist() == [row[3] for row in rows]
    assert set(frame["reader"]) == {NAME} and not frame["simulated"].any()
    check_histories(room)
    for name in ("t.csv", "t.json", "t.imrmc"):
        main(["readings", "export", "--folder", str(room.design.folder), str(folder / name)])
    back = load_tidy(folder / "t.csv")
    assert back["comment"].tolist() == frame["comment"].tolist()
    assert len(json.loads((folder / "t.json").read_text())) == len(room.events())


def check_histories(room):
    """Window, opacity and the pause are in the log with their milliseconds."""
    kinds = [event["kind"] for event in room.events()]
    assert kinds.count("paused") == kinds.count("resumed") == 2
    locked = room.events(kind="locked")[4]["payload"]
    assert locked["window"] == [60, 160]  # the third preset, liver
    assert [
        next(v for _, what, v in reversed(locked["history"]) if what == name)
        for name in ("window_centre", "window_width")
    ] == [60, 160]
    way = [(what, v) for _, what, v in room.events(kind="revised")[5]["payload"]["history"]]
    assert ("opacity", 0.55) in way and ("show_heat", False) in way


def check_order_of_events(room):
    """Each case: shown, locked, only then revealed, revised; one at a time."""
    kinds = ("started", "locked", "revealed", "revised")
    story = [(e["case_id"], e["kind"]) for e in room.events() if e["kind"] in kinds]
    cases = [step.case for step in room.design.steps(1)]
    expected = ("started", "locked", "started", "revealed", "revised")
    assert story == [(case, kind) for case in cases for kind in expected]


@pytest.fixture
def room(tmp_path):
    return Room(tmp_path)


def test_twenty_cases_by_keyboard_in_the_served_page(open_page, room, tmp_path):  # noqa: F811
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        given = read_everything(page, room)
        assert page.evaluate("window.hacked") is None and page.errors == []
        host = address.split("/?")[0]
        assert [u for u in page.traffic.asked if not u.startswith((host, "blob:", "data:"))] == []
        assert b"<code" not in page.content().encode()  # no code is shown
    check_export(room, given, tmp_path)
    check_order_of_events(room)


def test_twenty_cases_by_keyboard_in_jupyterlab(open_page, jupyterlab, tmp_path):  # noqa: F811
    room = Room(tmp_path)
    nbformat.write(room.notebook(), jupyterlab.folder / "reading.ipynb")
    page = open_page(1400, 1000)
    open_notebook(page, jupyterlab, "reading.ipynb")
    run_all(page)
    given = read_everything(page, room)
    assert page.evaluate("window.hacked") is None
    check_export(room, given, tmp_path)
    check_order_of_events(room)
    page.close()


# ---- doors ----


def fetch(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_doors_of_the_served_page(open_page, tmp_path):  # noqa: F811
    """No token, nothing; a second page of one reader takes over; a reload goes on."""
    room = Room(tmp_path, cases=4, training_cases=1)
    with serving(room) as address:
        host = address.split("/?")[0]
        for path in (
            "/",
            "/?token=wrong",
            "/session.js",
            "/room.js",
            "/state",
            "/x",
            "/api/kernels",
        ):
            status, body = fetch(host + path)
            assert status == 403 and b"createSession" not in body and b"Made-up" not in body
        assert fetch(f"{host}/design.json?token={TOKEN}")[0] == 403
        first = open_page()
        first.goto(address)
        begin(first, "Ann")
        wait_for(first, "unaided")
        case = first.locator(".cr-session").get_attribute("data-case")
        second = open_page()
        second.goto(address)
        begin(second, "ann")
        wait_for(second, "unaided", case)
        first.wait_for_selector('[data-stage="moved"]')
        assert "opened in another window" in first.inner_text(".cr-cover")
        second.close()
        first.reload()
        begin(first, "Ann")
        wait_for(first, "unaided", case)
        press_answer(first, "tumor", 3)
        wait_for(first, "aided", case)
        first.reload()
        begin(first, "Ann")
        wait_for(first, "aided", case)


# ---- trouble ----


def test_a_killed_kernel_loses_nothing(open_page, jupyterlab, tmp_path):  # noqa: F811
    """kill -9 of the true kernel: said on the page, and the answer arrives with the next one."""
    room = Room(tmp_path, cases=6, training_cases=1)
    nbformat.write(room.notebook(), jupyterlab.folder / "killed.ipynb")
    page = open_page(1400, 1000)
    open_notebook(page, jupyterlab, "killed.ipynb")
    run_all(page)
    begin(page)
    stage, cases = "unaided", [step.case for step in room.design.steps(1)]
    for turn in range(3):
        case = cases[turn // 2]
        wait_for(page, stage, case)
        for kernel in kernels_of(jupyterlab.process.pid):
            kernel.kill()
        press_answer(page, "other", 2)
        if stage == "aided":
            page.keyboard.press("k")
        page.wait_for_selector(".cr-said.cr-bad")
        assert "Not stored yet" in said(page) and "kept on this page" in said(page)
        page.locator(".jp-Dialog-button.jp-mod-accept").click()  # "Kernel Restarting": it says so
        page.wait_for_function(KERNEL_IDLE, timeout=60_000)
        run_all(page)
        begin(page)
        stage = "aided" if stage == "unaided" else "unaided"
    wait_for(page, stage, cases[1])
    answers = [e for e in room.events() if e["kind"] in ("locked", "revised")]
    assert [(e["case_id"], e["kind"]) for e in answers] == [
        (cases[0], "locked"),
        (cases[0], "revised"),
        (cases[1], "locked"),
    ]
    page.close()


def test_a_read_only_folder_is_said_before_the_first_case(open_page, tmp_path):  # noqa: F811
    """The name stays on the page, and reading begins once the folder can be written."""
    with small_disk(tmp_path) as room, serving(room) as address:
        assert mount("-o", "remount,ro", room.database.parent)
        page = open_page()
        page.goto(address)
        begin(page)
        page.wait_for_selector(".cr-said.cr-bad", timeout=20_000)
        assert "cannot be opened for writing" in said(page)
        assert page.locator(".cr-name").input_value() == "Ann"
        assert mount("-o", "remount,rw", room.database.parent)
        page.get_by_role("button", name="Try again").click()
        wait_for(page, "unaided", room.design.steps(1)[0].case)
        assert [e["reader"] for e in room.events(kind="enrolled")] == ["Ann"]
