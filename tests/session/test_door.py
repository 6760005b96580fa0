"""The served reading's door: addresses, origins, and how many wrong tokens are looked at."""

from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders
from tornado.web import HTTPError

from camreader.session import door
from camreader.session.door import Room, client, own_origin


def request(remote="198.51.100.7", **headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return SimpleNamespace(remote_ip=remote, headers=HTTPHeaders(names))


def room(proxy=""):
    return Room(None, None, None, token="right", proxy=proxy)


def test_behind_a_proxy_only_the_proxy_is_answered_and_only_over_https():
    told = {"X_Forwarded_For": "192.0.2.1, 192.0.2.9", "X_Forwarded_Proto": "https"}
    assert client(request(**told), room()) == "198.51.100.7"  # anybody can say so
    assert client(request("127.0.0.1", **told), room("127.0.0.1")) == "192.0.2.9"
    for remote, headers in (
        ("198.51.100.7", told),
        ("127.0.0.1", told | {"X_Forwarded_Proto": "http"}),
        ("127.0.0.1", {}),
    ):
        with pytest.raises(HTTPError) as refused:
            client(request(remote, **headers), room("127.0.0.1"))
        assert refused.value.status_code == 403


def test_the_origin_is_the_host_or_what_the_proxy_was_asked_for():
    told = {"Host": "10.0.0.1:8866", "X_Forwarded_Host": "study.example"}
    assert own_origin(request(**told), room(), "https://10.0.0.1:8866")
    assert not own_origin(request(**told), room(), "https://study.example")
    assert own_origin(request(**told), room("127.0.0.1"), "https://study.example")
    for other in (None, "", "null", "https://10.0.0.1", "https://evil.example"):
        assert not own_origin(request(**told), room("127.0.0.1"), other)


def test_ten_wrong_tokens_end_the_looking_for_a_while(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(door.time, "monotonic", lambda: now[0])
    served = room()
    assert served.who("right", "2001:db8::1") == ""
    for n in range(door.MOST_WRONG):
        assert served.who(f"wrong{n}", f"2001:db8::{n:x}") is None  # one /64 is one address
    with pytest.raises(HTTPError) as refused:
        served.who("other", "2001:db8::77")
    assert refused.value.status_code == 429
    assert served.who("right", "2001:db8::2") == ""  # admitted from there before
    assert served.who("right", "2001:db8:0:1::1") == ""  # another network
    now[0] += door.WINDOW + 1
    assert served.who("other", "2001:db8::77") is None


def test_a_right_token_that_is_new_there_has_to_wait_as_well():
    served = room()
    for n in range(door.MOST_WRONG):
        served.who(f"wrong{n}", "192.0.2.1")
    with pytest.raises(HTTPError):
        served.who("right", "192.0.2.1")
    assert served.who("", "192.0.2.1") is None  # no token is no guess


def test_addresses_that_are_remembered_have_an_end(monkeypatch):
    monkeypatch.setattr(door, "MOST_ADDRESSES", 5)
    served = room()
    for n in range(20):
        served.who("wrong", f"192.0.2.{n}")
    assert len(served.wrong) == 5
