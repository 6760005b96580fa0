"""The served reading's door: who asks, whether the token is right, and what every reply carries.

Nothing but the door itself is served without a token. It comes as the cookie that a link has set;
its hash is compared at every request, so that a link that ends opens nothing from then on. Whoever
shows too many wrong ones from one address is not looked at for a while, however right the next is.
"""

import hmac
import html
import ipaddress
import json
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.log import app_log
from tornado.web import HTTPError, RequestHandler

from camreader.session.links import ADMIN, WORDS, Links, hashed
from camreader.session.progress import Design
from camreader.session.seats import Seats

MOST_WRONG = 10  # tokens from one address
WINDOW = 300.0  # within so many seconds
MOST_ADDRESSES = 10_000  # that are remembered
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: "
    "blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",  # no-referrer would hide a form's origin from us
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
UNKNOWN = "Open the secret link that you were sent: this address alone shows nothing."
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="{base}page.css">
{head}</head>
<body>{body}</body></html>
"""
MESSAGE = '<div class="cr-session"><div class="cr-start"><h2>{}</h2><p id="said">{}</p></div></div>'


@dataclass
class Room:
    """What is served, and how. proxy: the address of the reverse proxy, the only one to be
    answered; token: of whoever is at this machine, where there are no links."""

    design: Design
    seats: Seats
    links: Links | None
    token: str = ""
    base: str = "/"
    port: int = 0
    secure: bool = False
    proxy: str = ""
    wrong: dict[str, deque[float]] = field(default_factory=dict)
    admitted: set[tuple[str, str]] = field(default_factory=set)

    def cookie(self, admin: bool = False) -> str:
        """Name of the cookie; cookies of one machine are shared by all its ports."""
        return f"camreader-{'admin-' if admin else ''}{self.port}"

    def who(self, token: str, address: str) -> str | None:
        """Reader of a token ("" on this machine alone), ADMIN, or None.

        HTTPError 429 for a token from where too many wrong ones came.
        """
        key = (_network(address), hashed(token))
        if not token:
            return None
        if self._spent(key[0]) and key not in self.admitted:
            raise HTTPError(429, "Too many wrong links from this address: wait five minutes")
        if self.links is not None:
            found = self.links.who(token)
        else:
            found = "" if hmac.compare_digest(token.encode(), self.token.encode()) else None
        if found is None:
            self._count(key[0])
        else:
            self.admitted.add(key)
        return found

    def _spent(self, network: str) -> bool:
        times = self.wrong.get(network, deque())
        while times and times[0] < time.monotonic() - WINDOW:
            times.popleft()
        return len(times) >= MOST_WRONG

    def _count(self, network: str) -> None:
        if len(self.wrong) >= MOST_ADDRESSES:
            del self.wrong[next(iter(self.wrong))]
        times = self.wrong.setdefault(network, deque(maxlen=MOST_WRONG))
        times.append(time.monotonic())
        if len(times) == MOST_WRONG:
            app_log.warning("Ten wrong links from %s: no new one is looked at for a while", network)


def _network(address: str) -> str:
    """The address, or the /64 of an IPv6 address, all of which one machine may have."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address


def client(request: HTTPServerRequest, room: Room) -> str:
    """Where a request comes from; behind a proxy what it says, and only over https.

    HTTPError 403 for whoever goes around the proxy.
    """
    peer = request.remote_ip or ""
    if not room.proxy:
        return peer
    if peer != room.proxy:
        raise HTTPError(403, "This server answers its reverse proxy alone")
    if request.headers.get("X-Forwarded-Proto", "") != "https":
        raise HTTPError(403, "The reverse proxy has to say X-Forwarded-Proto: https")
    return request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip() or peer


def own_origin(request: HTTPServerRequest, room: Room, origin: str | None) -> bool:
    """Whether a page of this very server asks: no other may use the reader's cookie."""
    names = [request.headers.get("Host")]
    if room.proxy:
        names.append(request.headers.get("X-Forwarded-Host"))
    return bool(origin) and urlsplit(str(origin)).netloc in names


class Guarded(RequestHandler):
    """A handler that knows who asks (`who`: a reader, ADMIN or None) before it does anything."""

    who: str | None = None
    of_admin = False

    def initialize(self, room: Room) -> None:
        """room: what is served."""
        self.room = room

    def set_default_headers(self) -> None:
        """What every reply carries, errors included."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Who it is; a request that changes something must come from a page of ours."""
        address = client(self.request, self.room)
        if self.request.method not in ("GET", "HEAD"):
            self.check_origin_of_post()
        self.address = address
        self.token = self.get_cookie(self.room.cookie(self.of_admin)) or ""
        self.who = self.room.who(self.token, address)
        self.enter()

    def check_origin_of_post(self) -> None:
        """HTTPError 403 for another site's page."""
        if not own_origin(self.request, self.room, self.request.headers.get("Origin")):
            raise HTTPError(403, "This request does not come from this server's own page")

    def enter(self) -> None:
        """HTTPError 403 for whoever may not see this: here, without a valid link."""
        if self.who is None or self.who == ADMIN:
            raise HTTPError(403, UNKNOWN)
        if self.why not in ("", "paused"):  # a paused page waits, and goes on by itself
            raise HTTPError(403, WORDS[self.why])

    def log_exception(self, *error: Any) -> None:
        """A refusal is no fault of the server: only faults are logged."""
        if not isinstance(error[1], HTTPError):
            super().log_exception(*error)

    def check_xsrf_cookie(self) -> None:
        """Origin and a strict cookie stand for it."""

    @property
    def why(self) -> str:
        """Why the reader's link opens nothing now, a key of WORDS; else ""."""
        links = self.room.links
        if self.who is None:
            return "unknown"
        if links is None or self.who == ADMIN:
            return ""
        return links.why_not(self.who, hashed(self.token))

    def let_in(self, token: str) -> None:
        """Set the cookie: for this server and path, for no script, and for no other site."""
        self.set_cookie(
            self.room.cookie(self.who == ADMIN),
            token,
            path=self.room.base,
            httponly=True,
            secure=self.room.secure,
            samesite="Strict",
        )

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """A refusal in one sentence; nothing of the server's inside."""
        error = kwargs.get("exc_info", (None, None))[1]
        words = error.log_message if isinstance(error, HTTPError) else None
        words = words.replace("%%", "%") if words else None  # as HTTPError guards its text
        self.write_page(words or "There is nothing at this address.")

    def write_page(self, words: str, head: str = "", title: str = "Reading session") -> None:
        """A page of one sentence."""
        body = MESSAGE.format(html.escape(title), html.escape(words))
        self.finish(PAGE.format(title=title, base=self.room.base, head=head, body=body))

    def write_told(self, **told: Any) -> None:
        """JSON."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(told))


class Nothing(Guarded):
    """Every other address: 403 without a link, 404 with one."""

    def prepare(self) -> None:
        """Refuse."""
        super().prepare()
        raise HTTPError(404)


class Enter(Guarded):
    """The secret link's page, and the token that it hands over."""

    def enter(self) -> None:
        """Whoever comes, may try."""

    def get(self) -> None:
        """The page: its script takes the token from behind the #."""
        head = f'<script type="module" src="{self.room.base}enter.js"></script>'
        self.write_page("Opening your link …", head)

    def post(self) -> None:
        """Set the cookie and say where to go, or why not."""
        self.token = self.request.body[:200].decode("utf-8", "replace").strip()
        self.who = self.room.who(self.token, self.address)
        if self.why:
            self.set_status(403)
            return self.write_told(words=WORDS[self.why], to=None)
        self.let_in(self.token)
        return self.write_told(to="admin" if self.who == ADMIN else "./")


class State(Guarded):
    """What a page that lost its connection asks: may it go on?"""

    def enter(self) -> None:
        """Whoever lost a link may ask why."""

    def get(self) -> None:
        """{"why", "words", "again"}: why is "" where the reader may go on."""
        why = self.why
        self.set_status(403 if why else 200)
        self.write_told(why=why, words=WORDS.get(why, ""), again=why == "paused")
