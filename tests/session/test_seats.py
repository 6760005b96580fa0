"""Seats at the served session: found again, given up, taken over, and ended with their link."""

import asyncio
import time

import pytest
from ipywidgets import Widget
from reading_kernel import KeeperHere
from reading_links import frame
from reading_study import make_study

from camreader.session import seats as module
from camreader.session import widget
from camreader.session.links import Links, hashed
from camreader.session.log import ReadingLog
from camreader.session.seats import ENDED, MOVED, Seats


class Socket:
    """Keeps what it is given."""

    def __init__(self):
        self.heads, self.code, self.key = [], None, ""

    def put(self, raw):
        self.heads.append(frame(raw)[0])

    def end(self, code):
        self.code = code

    @property
    def stage(self):
        told = [
            head["state"]["state"]["stage"]
            for head in self.heads
            if "state" in head.get("state", {})
        ]
        return told[-1]


@pytest.fixture
def room(tmp_path, monkeypatch):
    monkeypatch.setattr(widget, "Keeper", KeeperHere)
    design = make_study(tmp_path / "tiny", cases=4, training_cases=0, size=8)
    links = Links(design)
    links.make(["Ann"])
    return Seats(design.folder, {}, links)


def living(act):
    """Run a test's coroutine, and let frames arrive."""
    asyncio.run(act())


def test_a_lost_page_finds_its_seat_and_another_one_takes_it_over(room):
    async def act():
        ann, one, again, other = room.account("Ann"), Socket(), Socket(), Socket()
        seat = await room.take(ann, "page", False, one)
        await ann.run(seat.hear, {"type": "begin", "id": "1", "name": "Somebody else"})
        await asyncio.sleep(0)
        assert one.stage == "unaided" and seat.session.reading.reader == "Ann"
        room.lose(ann, "page", one)
        assert not ann.open
        assert await room.take(ann, "page", True, again) is seat
        await asyncio.sleep(0)
        assert again.stage == "unaided" and one.code is None
        fresh = await room.take(ann, "other page", True, other)
        await asyncio.sleep(0)
        assert fresh is not seat and (again.stage, again.code) == ("moved", MOVED)
        assert other.stage == "unaided" and list(ann.seats) == ["other page"]
        await room.close()
        assert other.code == 1001 and seat.session.reading is None
        ended = [seat.session, fresh.session, seat.session.layout]
        assert not [w for w in Widget.widgets.values() if any(w is one for one in ended)]

    living(act)


def test_a_seat_that_nobody_comes_back_to_is_given_up(room, monkeypatch):
    async def act():
        ann, socket = room.account("Ann"), Socket()
        seat = await room.take(ann, "page", True, socket)
        room.lose(ann, "page", Socket())  # not the connection that it has now
        assert seat.socket is socket
        room.lose(ann, "page", socket)
        await room.look_after()
        assert "page" in ann.seats
        monkeypatch.setattr(module, "LINGER", -1.0)
        await room.look_after()
        assert ann.seats == {}
        log = ReadingLog(room.folder / "readings.sqlite", room.links.design.study)
        log.claim("Ann")  # the lease was given back

    living(act)


def test_a_link_that_ends_ends_its_session(room):
    async def act():
        ann, socket = room.account("Ann"), Socket()
        seat = await room.take(ann, "page", True, socket)
        assert time.time() - ann.seen < 60 and ann.open
        await room.look_after()
        assert socket.code is None
        room.links.set("Ann", paused=True)
        await room.look_after()
        assert socket.code == ENDED and ann.seats == {} and seat.session.reading is None

    living(act)


def test_a_renewed_link_ends_what_the_old_one_opened(room):
    async def act():
        ann, old, new = room.account("Ann"), Socket(), Socket()
        old.key = hashed(room.links.renew("Ann"))
        await room.take(ann, "page", True, old)
        await room.look_after()
        assert old.code is None
        new.key = hashed(room.links.renew("Ann"))
        await room.look_after()
        assert old.code == ENDED and ann.seats == {}
        await room.take(ann, "page", True, new)
        await room.look_after()
        assert new.code is None and new.stage == "unaided"

    living(act)
