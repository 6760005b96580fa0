"""A reading room served with links, as `camreader read --host` does, and what stands before it."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
import websocket
from places import ROOT
from postgres import free_port

from camreader.session.certificate import self_signed
from camreader.session.links import Links
from camreader.session.server import CERTIFICATES

HOST = "127.0.0.1"
SERVING = ROOT / "docs" / "serving.md"


class Server:
    """A served room: .url, .links, and requests as a program makes them, not a browser."""

    def __init__(self, room, process, port, base, secure, headers):
        self.room, self.process, self.port, self.base = room, process, port, base
        self.secure, self.headers, self.links = secure, headers, Links(room.design)
        self.url = f"{'https' if secure else 'http'}://{HOST}:{port}{base}"
        self.tokens = {}

    def link(self, reader):
        """The secret link of a reader, made at the first call; "admin": the admin link."""
        if reader not in self.tokens:
            make = (
                self.links.admin if reader == "admin" else lambda: self.links.make([reader])[reader]
            )
            self.tokens[reader] = make()
        return f"{self.url}enter#{self.tokens[reader]}"

    def cookies(self, token):
        """A token as whatever cookie the server may look at."""
        return f"camreader-{self.port}={token}; camreader-admin-{self.port}={token}"

    def ask(self, path, token="", method="GET", body=None, origin=True, **headers):
        """(status, headers, body) of one request whose path is sent as it is written."""
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        more = {"context": ssl._create_unverified_context()} if self.secure else {}
        connection = kind(HOST, self.port, timeout=20, **more)
        told = dict(self.headers) | {k.replace("_", "-"): v for k, v in headers.items()}
        told |= {"Cookie": self.cookies(token)} if token else {}
        told |= {"Origin": self.url.split(self.base)[0]} if origin is True else {}
        connection.request(method, path, body, told)
        reply = connection.getresponse()
        found = reply.status, reply.headers, reply.read()
        connection.close()
        return found

    def channel(self, token="", **options):
        """A WebSocket to the room; WebSocketBadStatusException where the handshake is refused."""
        address = self.url.replace("http", "ws", 1) + "channel"
        return websocket.create_connection(
            address,
            timeout=20,
            cookie=self.cookies(token) if token else None,
            origin=options.pop("origin", self.url.split(self.base)[0]),
            sslopt={"cert_reqs": ssl.CERT_NONE},
            **options,
        )


def frame(raw):
    """The head of a frame to the page, and its buffers' bytes."""
    length = struct.unpack_from("<I", raw)[0]
    return json.loads(raw[4 : 4 + length]), raw[4 + length :]


@contextlib.contextmanager
def serving_links(room, *options, base="/", secure=True):
    """`camreader read --host 127.0.0.1` for a room; yields its Server."""
    port, log = free_port(), room.config.with_suffix(".log")
    command = [
        sys.executable,
        "-m",
        "camreader",
        "read",
        "--config",
        str(room.config),
        "--host",
        HOST,
    ]
    command += ["--port", str(port), "--base-url", base, *(["--self-signed"] if secure else [])]
    with open(log, "w") as out:
        process = subprocess.Popen(
            [*command, *options], cwd=ROOT, stdout=out, stderr=subprocess.STDOUT
        )
    headers = {} if secure else {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.1"}
    try:
        for _ in range(600):
            if "Reading room: http" in log.read_text():
                break
            assert process.poll() is None, log.read_text()
            time.sleep(0.1)
        yield Server(room, process, port, base, secure, headers)
    finally:
        process.terminate()
        process.wait(20)


def snippet(language, server):
    """The configuration that docs/serving.md shows for a proxy, with the Server's certificate."""
    block = re.search(rf"```{language}\n(.*?)```", SERVING.read_text(), re.S)[1]
    certificate, key = self_signed(server.room.design.folder / CERTIFICATES, HOST)
    block = block.replace("/etc/ssl/study.pem", str(certificate))
    return block.replace("/etc/ssl/study.key", str(key))


@contextlib.contextmanager
def _running(command, port, server, log):
    """A proxy before a Server while it runs; yields the address there."""
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        _wait_for(port, process, log)
        yield f"https://{HOST}:{port}{server.base}"
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def nginx(server, folder):
    """nginx as docs/serving.md configures it, before a Server; yields the address there."""
    if shutil.which("nginx") is None:
        pytest.skip("no nginx on this machine (Debian: apt install nginx-light)")
    port = free_port()
    block = snippet("nginx", server).replace("listen 443 ssl", f"listen {HOST}:{port} ssl")
    kind = "https" if server.secure else "http"
    block = block.replace("http://127.0.0.1:8866", f"{kind}://{HOST}:{server.port}")
    folder.mkdir(parents=True)
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1;\n"
        f"events {{}}\nhttp {{ access_log {folder}/access.log;\n"
        + "".join(
            f"{what}_temp_path {folder}/{what};\n"
            for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"{block}\n}}\n"
    )
    command = ["nginx", "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    command += ["-p", str(folder)]
    with _running(command, port, server, folder / "error.log") as address:
        yield address


@contextlib.contextmanager
def apache(server, folder):
    """Apache as docs/serving.md configures it, before a Server; yields the address there."""
    modules = Path("/usr/lib/apache2/modules")
    if not modules.is_dir():
        pytest.skip("no Apache on this machine (Debian: apt install apache2-bin)")
    port = free_port()
    block = snippet("apache", server).replace("*:443", f"{HOST}:{port}")
    block = block.replace("http://127.0.0.1:8866", f"http://{HOST}:{server.port}")
    folder.mkdir(parents=True)
    names = ("mpm_event", "authz_core", "ssl", "headers", "proxy", "proxy_http")
    loads = "".join(f"LoadModule {name}_module {modules}/mod_{name}.so\n" for name in names)
    (folder / "apache.conf").write_text(
        f"{loads}ServerName {HOST}\nListen {HOST}:{port}\nPidFile {folder}/pid\n"
        f"DefaultRuntimeDir {folder}\nErrorLog {folder}/error.log\n{block}"
    )
    command = ["apache2", "-X", "-d", str(folder), "-f", str(folder / "apache.conf")]
    with _running(command, port, server, folder / "error.log") as address:
        yield address


def _wait_for(port, process, log):
    for _ in range(100):
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
            return
        assert process.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())
