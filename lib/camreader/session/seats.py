"""Who sits at the served session: accounts, their pages, and the thread that each account has.

An account is a reader with a link, or whoever has the token of `make read` on this machine. All
that its sessions do happens in the account's own thread, one thing after the other; sockets and
seats are looked after by the event loop. A page that loses its connection finds its seat again for
LINGER seconds; after that, and after the server was started again, a new one takes up the reading
where the log ends.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from camreader.session.links import Links
from camreader.session.widget import ReadingSession
from camreader.session.wire import SHOWN, Wire

LINGER = 120.0  # seconds for which a seat without a page is kept
WATCH = 1.0  # seconds after which a change of links counts at the latest
MOVED, ENDED = 4001, 4002  # codes of the closing WebSocket: room.js knows them
T = TypeVar("T")


class Socket(Protocol):
    """What a seat needs of a connection. key: hash of the link that opened it."""

    key: str

    def put(self, frame: bytes) -> None:
        """Send a frame; never waits."""

    def end(self, code: int) -> None:
        """Close it."""


class Account:
    """A reader with a link, or (reader "") whoever is at this machine and types a name."""

    def __init__(self, reader: str) -> None:
        self.reader = reader
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self.seats: dict[str, Seat] = {}  # by the page's own id
        self.seen = 0.0  # time.time() of the last message

    @property
    def open(self) -> bool:
        """Whether a page of this account is connected."""
        return any(seat.socket for seat in self.seats.values())

    async def run(self, act: Callable[..., T], *arguments: Any) -> T:
        """Run in the account's own thread, after whatever it is doing."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, act, *arguments)


class Seat:
    """One page's session. Made and used in its account's thread, but for the socket."""

    def __init__(self, account: Account, loop: asyncio.AbstractEventLoop) -> None:
        self.account, self.loop = account, loop
        self.socket: Socket | None = None
        self.session: ReadingSession | None = None
        self.key = ""  # hash of the link that it was opened with
        self.left = 0.0  # time.monotonic() when its page was lost

    def start(self, folder: Path, options: dict[str, Any], begun: bool) -> None:
        """Make the session; where the page had begun before, begin at once."""
        self.session = ReadingSession(folder, account=self.account.reader, **options)
        self.wire = Wire(self._put, self.session.model_id)
        self.session.comm = self.wire
        if begun and self.account.reader:
            self.wire.hear({"type": "begin"})

    def hear(self, content: dict[str, Any]) -> None:
        """A message from the page."""
        self.wire.hear(content)

    def show_all(self) -> None:
        """Send all that the page draws."""
        if self.session is not None:
            self.session.send_state(list(SHOWN))

    def end(self, moved: bool = False) -> None:
        """End the session; the reader may begin another one at once."""
        if self.session is None:
            return
        if moved:
            self.session.state = {**self.session.state, "stage": "moved"}
        self.session.layout.close()
        self.session.close()

    def _put(self, frame: bytes) -> None:
        self.loop.call_soon_threadsafe(self._send, frame)

    def _send(self, frame: bytes) -> None:
        if self.socket is not None:
            self.socket.put(frame)


class Seats:
    """All seats of a served reading. links: None where it is served to this machine alone."""

    def __init__(self, folder: Path, options: dict[str, Any], links: Links | None) -> None:
        self.folder, self.options, self.links = folder, options, links
        self.accounts: dict[str, Account] = {}
        self._tasks: set[asyncio.Future] = set()

    def account(self, reader: str) -> Account:
        """The account of a reader."""
        return self.accounts.setdefault(reader, Account(reader))

    async def take(self, account: Account, page: str, begun: bool, socket: Socket) -> Seat:
        """The page's seat, found again or new; another page of the same reader gives way."""
        account.seen = time.time()
        seat = account.seats.get(page)
        if seat is None:
            if account.reader:
                for other in list(account.seats):
                    await self.leave(account, other, MOVED)
            seat = account.seats[page] = Seat(account, asyncio.get_running_loop())
            seat.socket, seat.key = socket, socket.key
            try:
                await account.run(seat.start, self.folder, self.options, begun)
            except BaseException:
                del account.seats[page]
                raise
        elif seat.socket not in (None, socket):
            seat.socket.end(MOVED)
        seat.socket, seat.key = socket, socket.key
        await account.run(seat.show_all)
        return seat

    async def leave(self, account: Account, page: str, code: int) -> None:
        """End a page's session, and say so to the page where it is still there."""
        seat = account.seats.pop(page, None)
        if seat is None:
            return
        await account.run(seat.end, code == MOVED)
        await asyncio.sleep(0)  # what it said last is sent first
        if seat.socket is not None:
            seat.socket.end(code)

    def leave_soon(self, account: Account, page: str) -> None:
        """End the session of a page that was closed by its reader."""
        task = asyncio.ensure_future(self.leave(account, page, 1001))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def lose(self, account: Account, page: str, socket: Socket) -> None:
        """A connection has broken: the seat is kept for a while."""
        seat = account.seats.get(page)
        if seat is not None and seat.socket is socket:
            seat.socket, seat.left = None, time.monotonic()

    async def look_after(self) -> None:
        """End what links do not allow any more, and seats that nobody came back to."""
        for account in list(self.accounts.values()):
            for page, seat in list(account.seats.items()):
                why = self.links.why_not(account.reader, seat.key) if self.links else ""
                left = seat.socket is None and time.monotonic() - seat.left > LINGER
                if why or left:
                    await self.leave(account, page, ENDED)

    async def watch(self) -> None:
        """Look after the seats until cancelled."""
        while True:
            await asyncio.sleep(WATCH)
            await self.look_after()

    async def close(self) -> None:
        """End every session: readers may go on elsewhere at once."""
        for account in self.accounts.values():
            for page in list(account.seats):
                await self.leave(account, page, 1001)
