"""Every address and message that a reader can think of: nothing but what is the reader's own."""

import json
import threading

import numpy as np
import pytest
import websocket
from reading_links import frame, serving_links
from reading_room import Room
from reading_study import secrets_of

from camreader.viewer.widget import pack_slice

PAGE = "a-page-of-this-test"
# Of Voila, JupyterLab, a hub and files: none of them is there.
PLACES = """
api api/kernels api/kernels/0/channels api/contents api/contents/design.json api/sessions
api/terminals api/status api/config api/users hub/ lab tree files/design.json files/
voila/files/design.json voila/static/voila.js terminals/1 notebooks/07_reading_session.ipynb
nbconvert/html/x.ipynb login logout metrics static/room.js static/ data/ design.json begun.json
links.json keeper.key sealed/ readings.sqlite images/ stacks/ certificate/key.pem .git/config
config.yaml admin admin/ admin/log.json admin/events.json admin/answers.csv admin/pause admin/close
favicon.ico robots.txt channel/ channel Channel state/ x
"""
DOWN = r"""
../{} ..%2f{} %2e%2e/{} %2e%2e%2f{} ..\{} %252e%252e%252f{} ./../../{} room.js/../{}
session.js?file={} ?case={} ?reader=Ann&file={} %00{} //{}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A room with two readers, each with cases that the other has not, and Ann in mid-case."""
    folder = tmp_path_factory.mktemp("walk")
    room = Room(
        folder, cases=12, cases_each=4, training_cases=0, readers=3, stack=2, marks="free_response"
    )
    with serving_links(room, base="/reading/") as server:
        for reader in ("Ann", "Bob", "Cy", "admin"):
            server.link(reader)
        server.links.revoke("Cy")
        server.tokens |= {"nobody": "", "wrong": "wrong"}
        talk = Talk(server, server.tokens["Ann"])
        talk.say(type="begin", name="Ann")
        yield server


class Talk:
    """A page that says what it likes."""

    def __init__(self, server, token, page=PAGE, begun=False):
        self.socket, self.received, self.state = server.channel(token), b"", {}
        self.said, self.heard = 0, threading.Event()
        self.socket.send(json.dumps({"hello": page + token[:9], "begun": begun}))
        self.until(lambda head: "_colours" in head.get("state", {}))

    def until(self, fits):
        """The head of the first frame that fits; the state is kept up on the way."""
        while True:
            raw = self.socket.recv()
            self.received += raw
            head = frame(raw)[0]
            self.state |= head.get("state", {}) if head["method"] == "update" else {}
            if fits(head):
                return head

    def say(self, **message):
        """Say it; the reply."""
        self.said += 1
        told = {"id": f"{id(self)}-{self.said}", **message}
        self.socket.send(json.dumps(told))
        mine = lambda head: head.get("content", {}).get("re") == told["id"]  # noqa: E731
        return self.until(lambda head: mine(head) or "stack" in head.get("content", {}))["content"]


def secrets(room):
    """Everything of the study that may not be told, as bytes, by case; and its slices."""
    design = room.design
    found = {
        case: [*secrets_of(facts), facts["slice_id"].encode()] for case, facts in room.truth.items()
    }
    for case in found:
        found[case].append(pack_slice(np.load(design.image_path(case)))["data"])
        found[case] += [pack_slice(image)["data"] for image in np.load(design.stack_path(case))]
    return found


def cases_of(room, reader):
    slots = {e["reader"]: e["payload"]["slot"] for e in room.events(kind="enrolled")}
    return [step.case for step in room.design.steps(slots[reader])]


def walk(server):
    """Every address below and beside the base."""
    room = server.room
    cases = list(room.truth)
    names = [
        f"{kind}/{case}{end}"
        for case in cases
        for kind, end in (
            ("sealed", ""),
            ("images", ".npy"),
            ("stacks", ".npy"),
            ("cases", ""),
            ("case", ".json"),
        )
    ]
    envelopes = [f"sealed/{path.name}" for path in (room.design.folder / "sealed").iterdir()]
    files = [
        "design.json",
        "keeper.key",
        "readings.sqlite",
        "links.json",
        f"sealed/{cases[0]}",
        "etc/passwd",
        str(room.design.folder / "design.json"),
    ]
    for name in (*PLACES.split(), *names, *envelopes):
        yield server.base + name
        yield f"/{name}"
    yield from (server.base + way.format(name) for way in DOWN.split() for name in files)


@pytest.mark.parametrize("who", ["nobody", "Bob", "Cy"])
def test_no_address_tells_a_reader_anything_else(served, who):
    """Statuses and bodies of every address, with a link, without one, and with one that ended."""
    room = served.room
    told = [secret for found in secrets(room).values() for secret in found]
    told += [b'"orders"', room.design.study.encode(), b"hash", b"SQLite format", b"PRIVATE KEY"]
    own = {served.base + name for name in ("", "state", "session.js")}
    asked = 0
    for path in walk(served):
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            if method != "GET" and asked % 7:  # every way, but not to every door
                asked += 1
                continue
            status, _, body = served.ask(path, served.tokens[who], method, body=b"x")
            asked += 1
            fine = (200,) if who == "Bob" and path.split("?")[0] in own else ()
            assert status in (400, 403, 404, 405, *fine), (method, path, status)
            assert not any(secret in body for secret in told), path
    assert asked > 1000


@pytest.mark.parametrize("who", ["nobody", "wrong", "Cy", "admin"])
def test_no_channel_opens_without_a_readers_own_link(served, who):
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        served.channel(served.tokens[who])
    assert refused.value.status_code == 403


def test_no_other_site_can_use_a_readers_cookie(served):
    token = served.tokens["Bob"]
    for origin in ("https://evil.example", "null", None):
        with pytest.raises(websocket.WebSocketBadStatusException) as refused:
            served.channel(token, origin=origin or "http://127.0.0.1:1")
        assert refused.value.status_code == 403
    keeper = served.tokens["admin"]
    assert served.ask("/reading/admin/close", keeper, "POST", b"sure=on", origin=False)[0] == 403
    assert served.links.closed is None


def test_a_page_gets_its_own_readers_cases_and_nothing_else(served):
    """Whatever it calls itself and asks for."""
    room = served.room
    talk = Talk(served, served.tokens["Bob"])
    assert talk.state["state"]["reader"] == "Bob"
    assert talk.say(type="begin", name="Ann")["ok"]  # it is Bob who begins
    assert talk.state["state"]["reader"] == "Bob"
    mine, anns = cases_of(room, "Bob"), cases_of(room, "Ann")
    others = [case for case in room.truth if case not in mine]
    assert set(anns) & set(others)
    ask = [{"type": "look"}, {"type": "slices", "wanted": [0, 1]}]
    answer = {"diagnosis": "tumor", "confidence": 3, "milliseconds": 5, "history": [], "marks": []}
    for kind in ("locked", "revised", "answered", "corrected", "comment", "revealed", "started"):
        payload = answer | {"target": "unaided", "stage": "aided", "period": 1, "comment": "x"}
        ask.append({"type": "event", "kind": kind, "payload": payload})
    before = len(room.events())
    for case in (*others, *mine[2:], "../sealed/" + mine[0], f"{mine[0]}.aided", ""):
        for message in ask:
            if message.get("kind") == "comment":  # words of the reader's own, shown to nobody
                continue
            reply = talk.say(**message, case=case)
            assert reply["ok"] is False, (case, message)
    odd_ones = [{"method": "update", "state": {"state": {}}}, {"type": "state"}]
    odd_ones.append({"type": "slices", "case": mine[0], "wanted": [-1]})
    odd_ones.append({"type": "reveal", "case": mine[0]})
    for odd in odd_ones:
        assert talk.say(**odd)["ok"] is False, odd
    assert len(room.events()) == before
    known = secrets(room)
    for case in others + mine[2:]:
        assert not any(secret in talk.received for secret in known[case]), case
    for case in mine[:2]:  # pictures of this case and the next, and nothing that is said of them
        content = secrets_of(room.truth[case])
        assert not any(secret in talk.received for secret in content), case
    assert known[mine[0]][-6] in talk.received  # the walk can see what is there
    talk.socket.close()


def test_the_door_looks_at_ten_wrong_links_and_no_more(served):
    """Who reads already reads on; a right link from there has to wait."""
    right = served.tokens["Bob"]
    assert served.ask("/reading/state", right)[0] == 200
    statuses = [served.ask("/reading/enter", method="POST", body=f"wrong{n}")[0] for n in range(12)]
    assert statuses[-1] == 429 and statuses.count(429) >= 2
    fresh = served.links.renew("Ann")
    assert served.ask("/reading/enter", method="POST", body=fresh)[0] == 429
    assert served.ask("/reading/state", right)[0] == 200
