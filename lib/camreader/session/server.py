"""`make read`: the reading session as a page of its own, on this machine or for a reading room.

On this machine alone (127.0.0.1) the printed address with its token opens it. `--host` serves
several workstations: over TLS, or behind a reverse proxy that has it, one secret link per reader
(`camreader links`). A page gets three files and one WebSocket; slices, answers and maps come
through that alone, from the session of the reader whose link it is. There is no address by which
anything else could be asked for.
"""

import argparse
import asyncio
import ipaddress
import secrets
import signal
import socket
import ssl
import time
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, HTTPError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from camreader.common.errors import DataError
from camreader.session import admin, certificate
from camreader.session.door import PAGE, Enter, Guarded, Nothing, Room, State, own_origin
from camreader.session.links import Links, hashed
from camreader.session.lookup import find_design
from camreader.session.seats import ENDED, Account, Seat, Seats
from camreader.session.widget import STATIC, ReadingSession
from camreader.session.wire import LONGEST, unpack

PORT = 8866
CERTIFICATES = "certificate"  # folder beside design.json
LARGEST_POST = 1 << 16  # bytes
PING_SECONDS = 20.0  # after which a silent connection counts as lost
HEAD = '<script type="module" src="room.js"></script>'
BODY = '<div id="reading"><p>Connecting …</p></div>'


class Page(Guarded):
    """The reading page, at the base address."""

    def get(self) -> None:
        """The page; a token in the address has become a cookie, and goes out of sight."""
        if self.get_query_argument("token", ""):
            return self.redirect("./", status=303)
        self.finish(PAGE.format(title="Reading session", base="", head=HEAD, body=BODY))

    def enter(self) -> None:
        """On this machine alone: the token in the address."""
        token = self.get_query_argument("token", "")
        if self.who is None and token and self.room.links is None:
            self.who = self.room.who(token, self.address)
            if self.who is not None:
                self.let_in(token)
        super().enter()


class Script(Guarded):
    """The page's own files: code and colours, the same for everybody."""

    def initialize(
        self, room: Room, content: Callable[[], str] = str, kind: str = "", door: bool = False
    ) -> None:
        """content: of the file; door: whether it is of the door, which needs no link."""
        super().initialize(room)
        self.content, self.kind, self.door = content, kind, door

    def enter(self) -> None:
        """With a link, or at the door."""
        if not self.door:
            super().enter()

    def get(self) -> None:
        """The file."""
        self.set_header("Content-Type", f"{self.kind}; charset=utf-8")
        self.finish(self.content())


class Channel(Guarded, WebSocketHandler):
    """A page's connection: its session's frames, and the page's messages."""

    seat: Seat | None = None
    account: Account | None = None
    page = ""
    key = ""  # hash of the link that was used

    def enter(self) -> None:
        """Readers only; one whose link opens nothing now is told so by `state`."""
        super().enter()
        if self.why:
            raise HTTPError(403, "Reading is not possible now.")

    def check_origin(self, origin: str) -> bool:
        """Only from a page of this server: a WebSocket is not bound to its origin by itself."""
        return own_origin(self.request, self.room, origin)

    async def on_message(self, message: str | bytes) -> None:
        """The first names the page; the others are its session's."""
        try:
            content = unpack(message)
        except ValueError:
            return self.close(1007)
        if self.account is None:
            return await self._begin(content)
        if self.why:
            return self.close(ENDED)
        self.account.seen = time.time()
        if self.seat is not None:
            await self.account.run(self.seat.hear, content)

    async def _begin(self, content: dict[str, Any]) -> None:
        page = content.get("hello")
        if not isinstance(page, str) or not 16 <= len(page) <= 64:
            return self.close(1007)
        seats, self.page = self.room.seats, page
        self.account = seats.account(str(self.who))
        self.key = hashed(self.token)
        self.seat = await seats.take(self.account, page, content.get("begun") is True, self)

    def put(self, frame: bytes) -> None:
        """Send a frame."""
        with suppress(WebSocketClosedError):
            sent = self.write_message(frame, binary=True)
            asyncio.ensure_future(sent).add_done_callback(lambda done: done.exception())

    def end(self, code: int) -> None:
        """Close the connection."""
        self.close(code)

    def on_close(self) -> None:
        """A page that was left gives its seat back at once; a lost one may come again."""
        if self.account is None:
            return
        self.room.seats.lose(self.account, self.page, self)
        if self.close_code == 1001 and self._lost():
            self.room.seats.leave_soon(self.account, self.page)

    def _lost(self) -> bool:
        seat = self.account.seats.get(self.page) if self.account else None
        return seat is self.seat and seat is not None and seat.socket is None


def application(room: Room) -> Application:
    """The web application: every address that there is, under the base."""
    told, base = {"room": room}, room.base
    read = lambda name: (STATIC / name).read_text("utf-8")  # noqa: E731
    script, style = "text/javascript", "text/css"
    css = lambda: f"{ReadingSession._css}\n{read('room.css')}"  # noqa: E731
    files = {
        "room.js": (lambda: read("room.js"), script, False),
        "session.js": (lambda: ReadingSession._esm, script, False),
        "page.css": (css, style, True),
        "enter.js": (lambda: read("enter.js"), script, True),
    }
    handlers: list[Any] = [
        (base, Page, told),
        (f"{base}enter", Enter, told),
        (f"{base}state", State, told),
        (f"{base}channel", Channel, told),
    ]
    for name, (content, kind, door) in files.items():
        handlers.append(
            (base + name, Script, told | {"content": content, "kind": kind, "door": door})
        )
    if room.links is not None:
        handlers += [
            (f"{base}admin", admin.AdminPage, told),
            (f"{base}admin/(pause|resume|revoke|close)", admin.AdminAct, told),
            (f"{base}admin/(log.json|events.json|answers.csv)", admin.AdminFile, told),
        ]
    return Application(
        handlers,
        default_handler_class=Nothing,
        default_handler_args=told,
        websocket_max_message_size=LONGEST,
        websocket_ping_interval=PING_SECONDS,
        log_function=lambda handler: None,  # addresses and times of readers are in no log
    )


# ---- command line ----


def free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1, or any free one while something else uses it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_here(host: str) -> bool:
    """Whether an address is this machine's own, which nobody else can reach."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def certificates(options: argparse.Namespace, folder: Path) -> tuple[Path, Path] | None:
    """(certificate, key) to serve with; None without TLS. DataError where that is not safe."""
    if options.certificate or options.key:
        if not (options.certificate and options.key):
            raise DataError("A certificate needs its key", expected="--certificate and --key")
        return Path(options.certificate), Path(options.key)
    if options.self_signed:
        return certificate.self_signed(folder / CERTIFICATES, options.host)
    if not options.behind_proxy and not is_here(options.host):
        raise DataError(
            "Readings are served to other machines over TLS only",
            found=f"--host {options.host}",
            expected="--self-signed, --certificate and --key, or --behind-proxy",
        )
    return None


def tls(paths: tuple[Path, Path]) -> ssl.SSLContext:
    """A server's TLS, 1.2 at least; DataError where certificate and key do not fit."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(*paths)
    except (OSError, ssl.SSLError) as error:
        expected = "PEM files that belong together"
        raise DataError(
            f"Certificate and key cannot be used: {error}", file=paths[0], expected=expected
        ) from None
    return context


def base_url(text: str) -> str:
    """A base address with a slash at both ends; DataError for one that no browser would ask for."""
    parts = [part for part in text.split("/") if part]
    if not all(
        part.replace("-", "").replace("_", "").isalnum() and part.isascii() for part in parts
    ):
        raise DataError("Not a base address", found=text, expected="for example /reading/")
    return "/".join(["", *parts, ""])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader read`."""
    add = parser.add_argument
    add("--cohort", default="", help="the study; default: as config.yaml says")
    add("--config", default="config.yaml")
    add("--port", type=int, default=PORT)
    add("--token", default="", help="on this machine alone; default: a new one at every start")
    add("--database", default="", help="PostgreSQL address or SQLite file")
    add("--no-browser", dest="browser", action="store_false")
    about = "serve a reading room from this address (0.0.0.0: all of this machine's)"
    add("--host", default="", help=f"{about}; readers have links: `camreader links make`")
    add("--base-url", default="/", help="where the page stands, for example /reading/")
    add("--certificate", default="", help="PEM file of the certificate, with its chain")
    add("--key", default="", help="PEM file of its key")
    add("--self-signed", action="store_true", help="make a certificate on first use")
    about = "answer only the reverse proxy at this address (default 127.0.0.1), which has TLS and "
    about += "sets X-Forwarded-Proto and X-Forwarded-For"
    add("--behind-proxy", nargs="?", const="127.0.0.1", default="", metavar="ADDRESS", help=about)
    add("--address", default="", help="of the page as browsers see it, for links; default: found")


def run(options: argparse.Namespace) -> None:
    """Serve the reading until it is stopped."""
    design, told = find_design(options.config, options.cohort, options.database)
    links = Links(design)
    if links.closed:
        raise DataError("The study is closed: nobody reads any more", file=links.path)
    open_to_room = options.host or options.behind_proxy
    options.host = options.host or "127.0.0.1"
    pair = certificates(options, design.folder)
    room = Room(design, Seats(design.folder, told, links if open_to_room else None), None)
    room.base, room.proxy = base_url(options.base_url), options.behind_proxy
    room.secure = bool(pair or room.proxy)
    if open_to_room:
        room.links, room.port = links, options.port
    else:
        room.port = free_port(options.port)
        room.token = options.token or secrets.token_urlsafe(24)
    asyncio.run(serve(room, options, pair))


async def serve(room: Room, options: argparse.Namespace, pair: tuple[Path, Path] | None) -> None:
    """Listen, say where, and serve until the process is told to end."""
    context = tls(pair) if pair else None
    server = HTTPServer(application(room), ssl_options=context, max_body_size=LARGEST_POST)
    try:
        sockets = bind_sockets(room.port, options.host)
    except OSError as error:
        wanted = "an address of this machine and a free port"
        raise DataError(
            f"Cannot listen on {options.host}, port {room.port}: {error.strerror}",
            expected=wanted,
        ) from None
    server.add_sockets(sockets)
    print(announcement(room, options, pair), flush=True)
    if options.browser and room.links is None:
        webbrowser.open(_here(room))
    watch, end = asyncio.ensure_future(room.seats.watch()), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows: Ctrl+C ends the loop itself
            asyncio.get_running_loop().add_signal_handler(name, end.set)
    try:
        await end.wait()
    finally:
        watch.cancel()
        server.stop()
        await room.seats.close()


def _here(room: Room) -> str:
    return f"http://127.0.0.1:{room.port}{room.base}?token={room.token}"


def announcement(room: Room, options: argparse.Namespace, pair: tuple[Path, Path] | None) -> str:
    """What the terminal says at the start."""
    if room.links is None:
        return f"\n    Reading session: {_here(room)}\n\n    Stop it with Ctrl+C.\n"
    everywhere = options.host in ("0.0.0.0", "::")
    host = socket.gethostname() if everywhere else options.host
    host = f"[{host}]" if ":" in host else host
    found = f"{'https' if pair else 'http'}://{host}:{room.port}{room.base}"
    address = options.address.rstrip("/") + "/" if options.address else found
    if options.address or not room.proxy:  # a proxy's own address is not ours to guess
        room.links.note_address(address)
    count = sum(not room.links.why_not(name) for name in room.links.readers)
    lines = [f"Reading room: {address}", f"Links that open it: {count} (camreader links list)"]
    if count == 0:
        lines.append("Nobody has a link yet: camreader links make")
    if options.self_signed and pair:
        lines.append(f"Certificate, SHA-256: {certificate.fingerprint(pair[0])}")
    return "\n" + "\n".join(f"    {line}" for line in [*lines, "Stop it with Ctrl+C."]) + "\n"
