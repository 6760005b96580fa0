"""What travels between a served page and its session: the frames of one WebSocket.

To the page a frame is the length of its head (uint32, little-endian), the head as JSON, and the
buffers that the head lists. From the page it is JSON text, the content of one message: a page asks,
it can set nothing of what the session holds.
"""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comm import get_comm_manager
from comm.base_comm import BaseComm

SHOWN = ("settings", "state", "_slices", "_heat", "_colours")  # the traits that a page draws
LONGEST = 2 << 20  # bytes of a message from the page: an answer with its history has 200 KB


class Wire(BaseComm):
    """A widget's comm whose other end is a served page; `put` takes each frame, in any thread."""

    def __init__(self, put: Callable[[bytes], None], comm_id: str) -> None:
        self.put = put
        super().__init__(target_name="jupyter.widget", comm_id=comm_id, primary=False)

    def publish_msg(
        self,
        msg_type: str,
        data: Mapping[str, Any] | None = None,
        metadata: Any = None,
        buffers: Sequence[bytes | memoryview] | None = None,
        **keys: Any,
    ) -> None:
        """Pass what the widget says on to the page; opening and closing say nothing."""
        if msg_type == "comm_msg" and data is not None:
            self.put(pack(data, buffers or ()))

    def close(self, *_: Any, **__: Any) -> None:
        """End it: nothing is said any more."""
        self._closed = True
        get_comm_manager().comms.pop(self.comm_id, None)

    def hear(self, content: Mapping[str, Any]) -> None:
        """Hand a message of the page to the widget, as `custom`: the only kind a page can send."""
        data = {"method": "custom", "content": content}
        self.handle_msg({"content": {"data": data}, "buffers": []})


def pack(head: Mapping[str, Any], buffers: Sequence[bytes | memoryview] = ()) -> bytes:
    """One frame to the page; `head` gains "sizes", the lengths of the buffers in bytes."""
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    told = {**head, "sizes": [len(view) for view in views]}
    text = json.dumps(told, default=_plain, allow_nan=False).encode()
    return b"".join([struct.pack("<I", len(text)), text, *views])


def _plain(value: Any) -> Any:
    return value.item()  # a number of NumPy's


def unpack(text: str | bytes) -> dict[str, Any]:
    """A message from the page; ValueError where it is none."""
    content = json.loads(text)
    if not isinstance(content, dict):
        raise ValueError("A message is an object")
    return content
