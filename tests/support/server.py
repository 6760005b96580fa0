"""A local HTTP server that serves bytes with ranges and drops connections when told to."""

import contextlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Files(BaseHTTPRequestHandler):
    """Serves `server.files` {path: bytes}; `server.drops` connections end early, half-way."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """One request, honouring Range and If-Range as RFC 9110 asks."""
        server, body = self.server, self.server.files.get(self.path)
        span = self.headers.get("Range", "")
        server.requests.append((self.path, span))
        if body is None:
            return self._reply(404, b"", {})
        tag = f'"{hash(body)}"'
        fits = self.headers.get("If-Range") in (None, tag)
        match = re.fullmatch(r"bytes=(\d+)-", span) if fits and server.ranges else None
        start = int(match[1]) if match else 0
        if match and start >= len(body):
            return self._reply(416, b"", {"Content-Range": f"bytes */{len(body)}"})
        headers = {"ETag": tag}
        if match:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        return self._reply(206 if match else 200, body[start:], headers)

    def _reply(self, status, body, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.drops and len(body) > 1:
            self.server.drops -= 1
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        else:
            self._send_slowly(body)

    def _send_slowly(self, body):
        for place in range(0, len(body), 1 << 16):
            self.wfile.write(body[place : place + (1 << 16)])
            self.server.pause.wait(self.server.delay)

    def log_message(self, *_):
        """Say nothing."""


@contextlib.contextmanager
def serve(files, drops=0, ranges=True, delay=0.0):
    """Yield (base URL, server); `delay` seconds between blocks of 64 KiB."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    server.files, server.drops, server.ranges, server.delay = files, drops, ranges, delay
    server.requests, server.pause = [], threading.Event()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server
    finally:
        server.shutdown()
        server.server_close()
