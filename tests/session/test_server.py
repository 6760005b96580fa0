"""`make read`: where it listens and with what, and a reading in the served page."""

import argparse
import asyncio
import socket
import ssl

import pytest
from reading_room import (
    Room as StudyRoom,
)
from reading_room import (
    begin,
    open_page,  # noqa: F401 (a fixture)
    press_answer,
    serving,
    wait_for,
)

from browser import chromium  # noqa: F401 (a fixture)
from camreader.common.errors import DataError
from camreader.session import server
from camreader.session.door import Room
from camreader.session.log import ReadingLog
from camreader.session.tidy import load_tidy


def options(*words):
    parser = argparse.ArgumentParser()
    server.add_arguments(parser)
    return parser.parse_args(words)


def test_other_machines_are_served_over_tls_or_behind_a_proxy_only(tmp_path):
    for host in ("0.0.0.0", "192.0.2.1", "study.example", "::"):
        with pytest.raises(DataError, match="over TLS only"):
            server.certificates(options("--host", host), tmp_path)
        assert server.certificates(options("--host", host, "--behind-proxy"), tmp_path) is None
    for host in ("127.0.0.1", "localhost", "::1", "127.0.0.7"):
        assert server.certificates(options("--host", host), tmp_path) is None
    pair = server.certificates(options("--host", "0.0.0.0", "--self-signed"), tmp_path)
    assert pair == (tmp_path / "certificate/certificate.pem", tmp_path / "certificate/key.pem")
    assert server.tls(pair).minimum_version == ssl.TLSVersion.TLSv1_2
    with pytest.raises(DataError, match="needs its key"):
        server.certificates(options("--certificate", str(pair[0])), tmp_path)
    with pytest.raises(DataError, match="cannot be used"):
        server.tls((pair[0], pair[0]))


def test_a_base_address_has_slashes_around_it_and_nothing_odd_in_it():
    given = {"": "/", "/": "/", "reading": "/reading/", "/a/b_c-1/": "/a/b_c-1/"}
    assert {text: server.base_url(text) for text in given} == given
    for text in ("/a b/", "/../", "/a?b", "/ä/", "/(.*)/"):
        with pytest.raises(DataError, match="Not a base address"):
            server.base_url(text)


def test_a_port_in_use_is_passed_over_on_this_machine_and_said_in_a_room():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert server.free_port(port) != port
        served = Room(None, None, None, port=port)
        with pytest.raises(DataError, match=r"Cannot listen on 127.0.0.1"):
            asyncio.run(server.serve(served, options("--host", "127.0.0.1"), None))


def test_a_correction_shows_the_comment_and_keeps_it_unless_it_is_emptied(
    open_page,  # noqa: F811
    tmp_path,
):
    room = StudyRoom(tmp_path, cases=2, training_cases=0)
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page)
        wait_for(page, "unaided")
        press_answer(page, "tumor", 3)
        wait_for(page, "aided")
        page.keyboard.press("m")
        page.keyboard.type("beside the aorta")
        page.keyboard.press("Escape")
        press_answer(page, "tumor", 4)
        page.keyboard.press("j")
        wait_for(page, "unaided")
        for comment in ("beside the aorta", ""):
            page.keyboard.press("u")
            page.get_by_role("button", name="Correct").click()
            box = page.locator(".cr-answers textarea")
            assert box.input_value() == "beside the aorta"
            box.fill(comment)
            page.get_by_role("button", name="Store the correction").click()
            page.get_by_role("button", name="Back").click()
            wait_for(page, "unaided")
            aided = load_tidy(room.database).query("modality == 'aided'")
            assert aided["comment"].tolist() == [comment] and aided["corrected"].all()


def test_a_second_reader_confirms_the_new_name(open_page, tmp_path):  # noqa: F811
    room = StudyRoom(tmp_path, cases=2, training_cases=0)
    ReadingLog(room.database, room.design.study).append("enrolled", "Ann", payload={"slot": 1})
    with serving(room) as address:
        page = open_page()
        page.goto(address)
        begin(page, "Bob")
        page.wait_for_selector(".cr-said.cr-bad")
        assert "Nobody has read under the name Bob yet" in page.locator(".cr-said").inner_text()
        page.get_by_role("button", name="Start reading").click()
        wait_for(page, "unaided", room.design.steps(2)[0].case)
        assert page.locator(".cr-said").inner_text() == ""
