"""Frames of the served page: what is packed comes out again, and a page can set nothing."""

import json
import struct

import numpy as np
import pytest
from reading_links import frame

from camreader.session.wire import Wire, pack, unpack


def test_head_and_buffers_come_out_as_they_went_in():
    data = {
        "method": "update",
        "state": {"n": np.int64(3), "x": "ü"},
        "buffer_paths": [["a"], ["b"]],
    }
    raw = pack(data, [b"12345", memoryview(np.arange(3, dtype="<u2")), b""])
    assert struct.unpack_from("<I", raw)[0] == len(raw) - 4 - 11
    head, rest = frame(raw)
    assert head["state"] == {"n": 3, "x": "ü"} and head["sizes"] == [5, 6, 0]
    assert rest == b"12345" + b"\x00\x00\x01\x00\x02\x00"


def test_a_page_speaks_as_custom_only():
    put, heard = [], []
    wire = Wire(put.append, "id")
    wire.on_msg(heard.append)
    wire.hear({"method": "update", "state": {"stage": "finished"}})
    assert heard[0]["content"]["data"]["method"] == "custom" and heard[0]["buffers"] == []
    wire.send({"method": "custom", "content": 1})
    wire.close()
    assert [frame(raw)[0]["method"] for raw in put] == ["custom"]


@pytest.mark.parametrize("text", ["", "[1]", "3", "{", b"\xff", json.dumps("x")])
def test_what_is_no_message_is_refused(text):
    with pytest.raises(ValueError):
        unpack(text)
