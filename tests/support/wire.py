"""The network between a browser and a server, as a test can cut it, slow it down or swallow it."""

import contextlib
import socket
import threading
import time


class Wire:
    """A TCP relay on a port of 127.0.0.1 of its own to `target`, another one.

    cut(): every connection breaks and none is made until mend(). delay: seconds that each piece of
    data waits, in both directions. deaf: what the server says is swallowed while it is True.
    """

    def __init__(self, target):
        self.target, self.delay, self.deaf = target, 0.0, False
        self._whole, self._ends = True, []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = self._door.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                near, _ = self._door.accept()
            except OSError:
                return  # closed
            if not self._whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self._ends += [near, far]
            for way in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._relay, args=way, daemon=True).start()

    def _relay(self, source, sink, from_server):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.delay)
                if not (from_server and self.deaf):
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut(self):
        """Break every connection."""
        self._whole = False
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self._ends = []

    def mend(self):
        """Let connections through again."""
        self._whole = True

    def close(self):
        """End the relay."""
        self.cut()
        self._door.close()
