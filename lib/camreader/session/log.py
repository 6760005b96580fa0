"""The reading log: append-only events, on disk before the next case shows.

One event a row, told once however often it is sent, in a table that the database itself refuses
to change; and one lease per reader, so that nobody reads in two places at once. Light on
purpose: a process killed in the middle of a reading is back as fast as Python starts.
"""

import json
import os
import re
import socket
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from camreader import __version__
from camreader.common import machine
from camreader.common.errors import StudyError
from camreader.session.database import (
    LogError,
    create_tables,
    database_url,
    events_table,
    in_words,
    leases_table,
    open_engine,
    sqlite_file,
)

__all__ = ["KINDS", "LogError", "Occupied", "ReadingLog", "Refused", "new_id"]

PHASE = re.compile("[a-z][a-z_]{0,39}")  # "training", or the name of a stage
KINDS = (
    "enrolled",  # a reader takes one of the study's stored case orders
    "started",  # a case is on the screen
    "locked",  # the unaided answer, final
    "revealed",  # the network's answer and heat-map were released
    "revised",  # the answer with the CNN's help, and how helpful it was
    "answered",  # the answer at any other stage, which its payload names
    "corrected",  # a later word on an earlier answer; the earlier one stays
    "comment",
    "display",  # what a reader saw of the test pattern, on which screen
    "paused",
    "resumed",
    "finished",
)
ONE_OF_EACH = ("locked", "revised")  # per reader and case
LEASE_SECONDS = 20.0


class Refused(StudyError, RuntimeError):
    """The log is sound and says no: another session, a second answer, a wrong case."""

    final = True  # trying again makes no sense


class Occupied(Refused):
    """Another session of this reader is open; it may end, so trying again makes sense."""

    final = False


def new_id() -> str:
    """A fresh event or session id (UUID 4, text)."""
    return str(uuid.uuid4())


class ReadingLog:
    """One study's events in one database; opens (and first makes) the tables.

    address: path of a SQLite file, or a SQLAlchemy address. study: the study's id, so that
    several studies share a PostgreSQL; None reads all of them. simulated: marks every event as
    invented, forever. readonly: for exports; makes no file and no table, and holds no event where
    none is there yet.
    Raises LogError, in words, where the database cannot be opened or written.
    """

    def __init__(
        self,
        address: str | Path,
        study: str | None,
        *,
        simulated: bool = False,
        model: str = "",
        session: str | None = None,
        readonly: bool = False,
    ) -> None:
        self.address, self.study, self.simulated, self.model = address, study, simulated, model
        self.session, self.readonly = session or new_id(), readonly
        url, file = database_url(address, readonly), sqlite_file(address)
        self._lite = file is not None
        self._insert = (sqlite if self._lite else postgresql).insert
        with in_words(address, "The readings' database cannot be opened for writing"):
            if file is not None and not readonly:
                file.absolute().parent.mkdir(parents=True, exist_ok=True)
            self._engine = open_engine(url)
            if not readonly:
                create_tables(self._engine, self._lite)

    def append(
        self,
        kind: str,
        reader: str,
        case_id: str | None = None,
        phase: str | None = None,
        payload: dict | None = None,
        event_id: str | None = None,
    ) -> dict | None:
        """Store one event; return it as `events` tells it, None if it had been stored before.

        Returns once the event is on disk. Raises Refused for a second answer to a question or an
        event id used for something else, LogError if not stored.
        """
        if kind not in KINDS or not (phase is None or PHASE.fullmatch(phase)):
            raise Refused(f"The log knows no event {kind!r} in phase {phase!r}")
        row = {
            "event_id": event_id or new_id(),
            "once": _once(self.study, reader, case_id, kind, payload or {}),
            "study": self.study,
            "reader": reader,
            "session": self.session,
            "case_id": case_id,
            "phase": phase,
            "kind": kind,
            "utc": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "monotonic_ms": time.monotonic_ns() // 1_000_000,
            "simulated": self.simulated,
            "software": f"camreader {__version__}",
            "model": self.model,
            "payload": json.dumps(payload or {}, sort_keys=True, allow_nan=False),
        }
        statement = self._insert(events_table).values(row).on_conflict_do_nothing()
        with in_words(self.address, "The readings cannot be written"), self._engine.connect() as db:
            if db.execute(statement).rowcount == 1:
                return row | {"payload": _decoded(str(row["payload"]))}
            same = sa.select(events_table).where(events_table.c.event_id == row["event_id"])
            stored = db.execute(same).mappings().first()
        _check_resend(stored, row)
        return None

    def events(
        self, reader: str | None = None, case_id: str | None = None, kind: str | None = None
    ) -> list[dict]:
        """Stored events as dicts in the order of storing; payload decoded."""
        wanted = {"study": self.study, "reader": reader, "case_id": case_id, "kind": kind}
        query = sa.select(events_table).order_by(events_table.c.sequence)
        for name, value in wanted.items():
            if value is not None:
                query = query.where(events_table.c[name] == value)
        words = "The readings cannot be read"
        with in_words(self.address, words), self._engine.connect() as connection:
            if self.readonly and not sa.inspect(connection).has_table(events_table.name):
                return []
            rows = [dict(row) for row in connection.execute(query).mappings()]
        return [row | {"payload": _decoded(row["payload"])} for row in rows]

    def claim(self, reader: str) -> None:
        """Take or renew the reader's one lease; Occupied, in words, while another session has it.

        A lease runs out after LEASE_SECONDS without renewal; one whose process has died on this
        machine is taken over at once, so a killed kernel costs the reader no waiting.
        """
        table, words = leases_table, "The reader's session cannot be renewed"
        with in_words(self.address, words), self._engine.connect() as connection:
            now = self._now(connection)
            held = self._lease(connection, reader)
            dead = held.session if held is not None and _is_gone(held) else self.session
            values = self._lease_values(reader, now)
            free = sa.or_(table.c.expires < now, table.c.session.in_([self.session, dead]))
            statement = self._insert(table).values(values)
            statement = statement.on_conflict_do_update(
                index_elements=["study", "reader"],
                set_={k: values[k] for k in ("session", "host", "pid", "expires")},
                where=free,
            )
            if connection.execute(statement).rowcount == 0:
                raise Occupied(_occupied(self._lease(connection, reader), now))

    def release(self, reader: str) -> None:
        """Give the lease back, if it is still ours."""
        table = leases_table.c
        ours = (table.study == self.study, table.reader == reader, table.session == self.session)
        words = "The reader's session cannot be ended"
        with in_words(self.address, words), self._engine.connect() as connection:
            connection.execute(sa.delete(leases_table).where(*ours))

    def _lease_values(self, reader: str, now: float) -> dict:
        names = {"study": self.study, "reader": reader, "session": self.session}
        place = {"host": socket.gethostname(), "pid": os.getpid()}
        return names | place | {"expires": now + LEASE_SECONDS}

    def _lease(self, connection: sa.Connection, reader: str) -> sa.Row | None:
        table = leases_table.c
        query = sa.select(leases_table).where(table.study == self.study, table.reader == reader)
        return connection.execute(query).first()

    def _now(self, connection: sa.Connection) -> float:
        # Workstations' clocks differ; the shared database's clock is one.
        if self._lite:
            return time.time()
        clock = "SELECT extract(epoch FROM clock_timestamp())"
        return float(connection.execute(sa.text(clock)).scalar_one())

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


def _decoded(payload: str) -> dict:
    """A stored payload; half a surrogate pair, which no file or page can hold, becomes U+FFFD."""
    value = json.loads(payload)
    if "\\ud" not in payload:
        return value
    text = json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass")
    return json.loads(text.decode("utf-16", "replace"))


def _once(
    study: str | None, reader: str, case_id: str | None, kind: str, payload: dict
) -> str | None:
    if kind == "enrolled":
        return json.dumps([study, "slot", payload["slot"]])
    if kind in ONE_OF_EACH:
        return json.dumps([study, reader, case_id, kind])
    if kind == "answered":
        return json.dumps([study, reader, case_id, kind, payload["stage"], payload["period"]])
    return None


def _check_resend(stored: Mapping | None, row: dict) -> None:
    if stored is None:
        raise Refused(
            "This question has already been answered, and answers are never changed; "
            "store a correction instead"
        )
    told = ("study", "reader", "case_id", "phase", "kind", "payload")
    if any(stored[name] != row[name] for name in told):
        raise Refused("This event id was already used for a different event")


def _is_gone(lease: sa.Row) -> bool:
    """True if the lease's process ran on this machine and is no more."""
    if lease.host != socket.gethostname():
        return False
    return not machine.is_running(lease.pid)


def _occupied(lease: sa.Row | None, now: float) -> str:
    wait = max(1, round(lease.expires - now)) if lease is not None else 1
    place = f" on {lease.host}" if lease is not None else ""
    return (
        f"Another session of this reader is open{place}. Close it there, or wait: a session "
        f"that has ended is released after {wait} s"
    )
