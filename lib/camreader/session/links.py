"""`camreader links`: one secret link per reader, who may read, and who only looks after them.

A link holds 32 random bytes; the disk holds their SHA-256 alone, beside the design. A link is shown
once, when it is made: one that is lost is renewed, which ends the old one. Whatever is changed here
counts at once, in sessions under way as well.
"""

import argparse
import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock

from camreader.common.errors import DataError
from camreader.common.storage import atomic_path, read_json
from camreader.common.text import counted
from camreader.session.database import log_address, sqlite_file
from camreader.session.log import ReadingLog
from camreader.session.lookup import find_design
from camreader.session.progress import Design, clean_name, enrolled

FILE = "links.json"  # beside design.json
ADMIN = "\n"  # no reader's name has a line break: who holds the admin link reads no case
ACTIONS = ("list", "make", "renew", "revoke", "pause", "resume", "admin", "close")
WORDS = {  # why a link opens nothing, as its reader is told
    "unknown": "This link is not valid. Ask whoever runs the study for a new one.",
    "paused": "Reading is paused by whoever runs the study. Your answers are kept, and this page "
    "comes back by itself when the pause is over.",
    "revoked": "This link is not valid any more. Ask whoever runs the study for a new one.",
    "closed": "The study is closed. Thank you for reading.",
}


class Links:
    """The links of a study, from links.json in its folder; read again whenever it has changed."""

    def __init__(self, design: Design) -> None:
        self.design, self.path = design, design.folder / FILE
        self._seen: tuple[int, int] | None = None
        self._content: dict[str, Any] = {}

    @property
    def content(self) -> dict[str, Any]:
        """{"readers": {name: {...}}, "admin": ..., "closed": ..., "address": ...}, as stored now.

        Empty where the links are those of another design: its readers are no readers of this one.
        """
        try:
            told = self.path.stat()
        except FileNotFoundError:
            return self._empty()
        if self._seen != (told.st_mtime_ns, told.st_ino):
            self._content = read_json(self.path)
            self._seen = told.st_mtime_ns, told.st_ino
        return self._content if self._content.get("study") == self.design.study else self._empty()

    def _empty(self) -> dict[str, Any]:
        return {"study": self.design.study, "readers": {}, "admin": None, "closed": None}

    @contextmanager
    def change(self) -> Iterator[dict[str, Any]]:
        """What is stored, to be changed in place; one process at a time."""
        with FileLock(f"{self.path}.lock"):
            self._seen = None
            content = self.content
            yield content
            with atomic_path(self.path) as temporary:
                temporary.touch(mode=0o600)
                temporary.write_text(json.dumps(content, indent=1, sort_keys=True), "utf-8")
            self._seen = None

    @property
    def readers(self) -> dict[str, dict]:
        """{name: {"hash", "made", "revoked", "paused"}}."""
        return self.content["readers"]

    @property
    def closed(self) -> str | None:
        """When the study was closed (UTC, text), or None."""
        return self.content["closed"]

    def who(self, token: str) -> str | None:
        """The reader whose link it is, ADMIN, or None for a link that nobody has (any more).

        Of revoked links too: `why_not` says so.
        """
        content, found = self.content, None
        told = {name: entry["hash"] for name, entry in content["readers"].items()}
        if content["admin"]:
            told[ADMIN] = content["admin"]["hash"]
        given = hashed(token)
        for name, kept in told.items():  # all of them: how long it takes says nothing
            found = name if hmac.compare_digest(kept, given) else found
        return found

    def why_not(self, reader: str, key: str = "") -> str:
        """Why this reader's link opens nothing now, a key of WORDS; "" where it does.

        key: the hash of the link itself, which may have been renewed meanwhile; "": the valid one.
        """
        entry = self.readers.get(reader)
        if entry is None or entry["revoked"]:
            return "revoked"
        if key and not hmac.compare_digest(key, entry["hash"]):
            return "unknown"
        if self.closed:
            return "closed"
        return "paused" if entry["paused"] else ""

    # ---- changes ----

    def make(self, names: Sequence[str] = (), taken: Sequence[str] = ()) -> dict[str, str]:
        """{reader: token}: new links; without names, for every place of the study without one.

        taken: readers enrolled in the log, who keep their places. DataError for a name that has a
        link, and for more readers than the study has places.
        """
        with self.change() as content:
            readers, places = content["readers"], len(self.design.slots)
            wanted = [clean_name(name) for name in names] or _free_names(readers, taken, places)
            held = {name.casefold() for name in readers}
            for name in wanted:
                if name.casefold() in held:
                    raise DataError("This reader has a link already", found=name)
                held.add(name.casefold())
            valid = [name for name, entry in readers.items() if not entry["revoked"]]
            if len({name.casefold() for name in (*valid, *taken, *wanted)}) > places:
                expected = f"at most {places} readers"
                raise DataError(
                    "The study has no place for them", found=", ".join(wanted), expected=expected
                )
            made = {name: secrets.token_urlsafe(32) for name in wanted}
            readers |= {name: _entry(token) for name, token in made.items()}
        return made

    def renew(self, name: str) -> str:
        """A new token for a reader; the old link, if there was one, opens nothing any more."""
        token = secrets.token_urlsafe(32)
        with self.change() as content:
            content["readers"][self._known(name, content)] = _entry(token)
        return token

    def set(self, name: str, **told: Any) -> str:
        """Set `paused` or `revoked` of a reader; his name as it is stored. DataError for none."""
        with self.change() as content:
            name = self._known(name, content)
            content["readers"][name] |= told
        return name

    def revoke(self, name: str) -> str:
        """End a reader's link, now."""
        return self.set(name, revoked=_now())

    def admin(self) -> str:
        """A new token for the admin page; the old one is void."""
        token = secrets.token_urlsafe(32)
        with self.change() as content:
            content["admin"] = {"hash": hashed(token), "made": _now()}
        return token

    def close(self) -> str:
        """Close the study, for good: nobody reads or corrects any more; answers may be seen.

        When it was closed (UTC).
        """
        with self.change() as content:
            content["closed"] = content["closed"] or _now()
        return content["closed"]

    def note_address(self, address: str) -> None:
        """Remember where the room is, so that new links are whole."""
        if self.content.get("address") != address:
            with self.change() as content:
                content["address"] = address

    def _known(self, name: str, content: dict) -> str:
        alike = [own for own in content["readers"] if own.casefold() == clean_name(name).casefold()]
        if not alike:
            have = ", ".join(content["readers"]) or "none yet"
            raise DataError("No link was made for this reader", found=name, expected=f"of {have}")
        return alike[0]

    def whole(self, token: str) -> str:
        """The link itself; the token stands behind #, which browsers send to no server and to no
        log of a proxy."""
        return f"{self.content.get('address') or 'https://ADDRESS/'}enter#{token}"


def hashed(token: str) -> str:
    """What the disk keeps of a token: it is random and long, so that one SHA-256 is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def _entry(token: str) -> dict[str, Any]:
    return {"hash": hashed(token), "made": _now(), "revoked": None, "paused": False}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _free_names(readers: Sequence[str], taken: Sequence[str], places: int) -> list[str]:
    """A name for each place without a link: of those who read already, then R1, R2 and so on."""
    held = {name.casefold() for name in readers}
    found = [name for name in taken if name.casefold() not in held]
    numbers = (f"R{number}" for number in range(1, 2 * places + 1))
    fresh = [name for name in numbers if name.casefold() not in held]
    return (found + fresh)[: max(0, places - len(readers))]


def readers_of(design: Design, database: str | Path = "") -> list[str]:
    """Names of those who have a place in the log; none where there is no log yet."""
    address = log_address(design.folder, database)
    file = sqlite_file(address)
    if file is not None and not file.exists():
        return []
    return list(enrolled(ReadingLog(address, design.study, readonly=True)).values())


# ---- command line ----


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `camreader links`."""
    about = "list; make, renew, revoke, pause or resume readers' links; admin: a new admin link; "
    parser.add_argument("action", choices=ACTIONS, help=about + "close: end the study, for good")
    about = "readers (make, without names: one for every place of the study that has none)"
    parser.add_argument("names", nargs="*", metavar="NAME", help=about)
    parser.add_argument("--cohort", default="", help="the study; default: as config.yaml says")
    parser.add_argument("--config", default="config.yaml")
    parser.add_argument("--database", default="", help="PostgreSQL address or SQLite file")
    about = "the room's, as readers' browsers see it; default: that of the last `camreader read`"
    parser.add_argument("--address", default="", help=about)


def run(options: argparse.Namespace) -> None:
    """Do it, and print new links: nobody can print them again."""
    design, told = find_design(options.config, options.cohort, options.database)
    links = Links(design)
    if options.address:
        links.note_address(options.address.rstrip("/") + "/")
    if options.action not in ("list", "make", "admin", "close") and not options.names:
        raise DataError("Which reader?", expected=f"camreader links {options.action} NAME")
    lines = {
        "list": lambda: [_line(links, name) for name in links.readers],
        "make": lambda: _made(links, options.names, readers_of(design, told["database"])),
        "renew": lambda: [f"{name}  {links.whole(links.renew(name))}" for name in options.names],
        "revoke": lambda: [f"{links.revoke(name)}  revoked" for name in options.names],
        "pause": lambda: [f"{links.set(n, paused=True)}  paused" for n in options.names],
        "resume": lambda: [f"{links.set(n, paused=False)}  may go on" for n in options.names],
        "admin": lambda: [f"admin  {links.whole(links.admin())}"],
        "close": lambda: [f"closed {links.close()}: answers may be seen, nobody reads on"],
    }[options.action]()
    print("\n".join(lines) or "No links yet: camreader links make")
    if options.action in ("make", "renew", "admin"):
        print("\nThey are shown once. Send each reader the own one, and keep no copy.")


def _made(links: Links, names: Sequence[str], taken: Sequence[str]) -> list[str]:
    made = links.make(names, taken)
    lines = [f"{name}  {links.whole(token)}" for name, token in made.items()]
    if links.content["admin"] is None:
        lines.append(f"admin  {links.whole(links.admin())}")
    return lines or [f"All {counted(len(links.readers), 'place')} have links"]


def _line(links: Links, name: str) -> str:
    entry = links.readers[name]
    return f"{name}  made {entry['made']}  {links.why_not(name) or 'valid'}"
