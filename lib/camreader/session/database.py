"""The readings' database: its two tables, its append-only guards, and its errors in words.

SQLite in WAL mode with synchronous=FULL, or PostgreSQL by address. An event is one row and one
statement, so it is stored whole or not at all.
"""

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

from camreader.common.errors import StudyError

LOG = "readings.sqlite"  # in the folder of a reading that names no other database
WAL_SECONDS = 10.0  # to wait for others who make the same file
_metadata = sa.MetaData()
_big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
events_table = sa.Table(
    "events",
    _metadata,
    sa.Column("sequence", _big, primary_key=True, autoincrement=True),
    sa.Column("event_id", sa.Text, nullable=False, unique=True),
    sa.Column("once", sa.Text, unique=True),  # what may be said only once; NULL otherwise
    sa.Column("study", sa.Text, nullable=False),
    sa.Column("reader", sa.Text, nullable=False),
    sa.Column("session", sa.Text),
    sa.Column("case_id", sa.Text),
    sa.Column("phase", sa.Text),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("utc", sa.Text, nullable=False),
    sa.Column("monotonic_ms", sa.BigInteger, nullable=False),
    sa.Column("simulated", sa.Boolean, nullable=False),
    sa.Column("software", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),  # JSON, ASCII
    sa.Index("events_reader", "study", "reader"),
)
leases_table = sa.Table(
    "leases",
    _metadata,
    sa.Column("study", sa.Text, primary_key=True),
    sa.Column("reader", sa.Text, primary_key=True),
    sa.Column("session", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("expires", sa.Float(53), nullable=False),  # seconds since 1970, database clock
)
_REFUSAL = "readings are append-only: correct through a new event"
# The third trigger closes a door of SQLite: INSERT OR REPLACE deletes without a delete trigger.
_SQLITE_GUARDS = (
    f"""CREATE TRIGGER IF NOT EXISTS events_no_update BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    f"""CREATE TRIGGER IF NOT EXISTS events_no_delete BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END""",
    """CREATE TRIGGER IF NOT EXISTS events_no_replace BEFORE INSERT ON events
        WHEN EXISTS (SELECT 1 FROM events WHERE event_id = NEW.event_id
                     OR once = NEW.once OR sequence = NEW.sequence)
        BEGIN SELECT RAISE(IGNORE); END""",
)
_POSTGRES_GUARDS = (
    f"""CREATE OR REPLACE FUNCTION events_append_only() RETURNS trigger AS $$
        BEGIN RAISE EXCEPTION '{_REFUSAL}'; END $$ LANGUAGE plpgsql""",
    """CREATE OR REPLACE TRIGGER events_no_change BEFORE UPDATE OR DELETE ON events
        FOR EACH ROW EXECUTE FUNCTION events_append_only()""",
    """CREATE OR REPLACE TRIGGER events_no_truncate BEFORE TRUNCATE ON events
        FOR EACH STATEMENT EXECUTE FUNCTION events_append_only()""",
)
_SETUP_LOCK = 77480022  # any number of our own: lets one process at a time create the tables


class LogError(StudyError, RuntimeError):
    """The log could not be written or read; the words say which, and why."""


def log_address(folder: str | Path, database: str | Path = "") -> str | Path:
    """The log of the reading in `folder`: where `database` says, else a SQLite file in it."""
    return database or Path(folder) / LOG


def sqlite_file(address: str | Path) -> Path | None:
    """Path of the SQLite file that `address` names, plainly or as sqlite:///path; else None."""
    if "://" not in str(address):
        return Path(address)
    url = sa.make_url(str(address))
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def settled(address: str | Path, folder: str | Path = ".") -> str:
    """`address` as text; a relative SQLite file is one of `folder`, wherever it is opened later."""
    file = sqlite_file(address)
    return str(address) if file is None else str(Path(folder, file).absolute())


def database_url(address: str | Path, readonly: bool = False) -> str:
    """SQLAlchemy address of `address`: a path becomes SQLite, `postgresql+pg8000://` stays."""
    path = sqlite_file(address)
    if path is None:
        return _with_password(sa.make_url(str(address)))
    path = path.absolute()
    return (
        f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true" if readonly else f"sqlite:///{path}"
    )


def _with_password(url: sa.URL) -> str:
    """The server's address; where it has no password, with that of PGPASSWORD."""
    if url.password is None and os.environ.get("PGPASSWORD"):
        url = url.set(password=os.environ["PGPASSWORD"])
    return url.render_as_string(hide_password=False)


def open_engine(url: str) -> sa.Engine:
    """An engine whose every statement is its own transaction, durable when it returns."""
    lite = url.startswith("sqlite")
    engine = sa.create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": 10},
        pool_pre_ping=not lite,
    )
    if not lite:
        sa.event.listen(engine, "connect", _durable_server)
    elif "mode=ro" not in url:
        sa.event.listen(engine, "connect", _durable)
    return engine


def _durable_server(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("SET synchronous_commit TO on")  # whatever the server's own setting is
    connection.commit()
    cursor.close()


def _durable(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    end = time.monotonic() + WAL_SECONDS
    while True:  # SQLite itself does not wait where several make a new file at once
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            break
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.close()


def create_tables(engine: sa.Engine, lite: bool) -> None:
    """Make tables and guards that are missing; safe when several processes start at once."""
    with engine.connect() as connection:
        if not lite:
            connection.execute(sa.text(f"SELECT pg_advisory_lock({_SETUP_LOCK})"))
        try:
            for table in _metadata.sorted_tables:
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))
            for guard in _SQLITE_GUARDS if lite else _missing_postgres_guards(connection):
                connection.execute(sa.text(guard))
        finally:
            if not lite:
                connection.execute(sa.text(f"SELECT pg_advisory_unlock({_SETUP_LOCK})"))


def _missing_postgres_guards(connection: sa.Connection) -> Sequence[str]:
    # Replacing a trigger locks the table, and other workstations may be writing.
    query = "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'events!_no!_%' ESCAPE '!'"
    return () if connection.execute(sa.text(query)).scalar_one() == 2 else _POSTGRES_GUARDS


@contextmanager
def in_words(address: str | Path, failed: str) -> Iterator[None]:
    """Turn the database's errors into a sentence a reader can act on; `failed` is its start."""
    try:
        yield
    except (sa.exc.SQLAlchemyError, OSError) as error:
        raise LogError(f"{failed}: {_reason(error)} ({place(address)})") from error


def place(address: str | Path) -> str:
    """`address` in words: without its password."""
    if "://" in str(address):
        return sa.make_url(str(address)).render_as_string(hide_password=True)
    return str(address)


def _reason(error: Exception) -> str:
    text = str(getattr(error, "orig", None) or error).lower()
    known = {
        "full": "the disk is full",
        "no space": "the disk is full",
        "readonly": "the folder of the readings is read-only",
        "read-only": "the folder of the readings is read-only",
        "permission denied": "the folder of the readings may not be written",
        "unable to open": "its file cannot be opened",
        "locked": "the database is busy",
        "disk i/o": "the disk refused to write (full or failing)",
        "too large": "the disk refused to write (full or failing)",
        "append-only": _REFUSAL,
        "connect": "the database server cannot be reached",
        "connection": "the database server cannot be reached",
    }
    return next((words for sign, words in known.items() if sign in text), text)
