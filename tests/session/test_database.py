"""The readings' database refuses to forget, is durable, and says its errors in words."""

import pytest
import sqlalchemy as sa
from postgres import running_postgres

from camreader.session import database
from camreader.session.log import LogError, ReadingLog

ANSWER = {"diagnosis": "tumor", "confidence": 4}


@pytest.fixture(scope="module")
def server():
    with running_postgres() as address:
        yield address


@pytest.fixture(params=["sqlite", "postgres"])
def log(request, tmp_path):
    lite = request.param == "sqlite"
    address = tmp_path / "readings.sqlite" if lite else request.getfixturevalue("server")
    opened = ReadingLog(address, study=str(tmp_path))
    yield opened
    opened.close()


def test_an_address_is_a_file_or_a_server(tmp_path):
    assert database.log_address(tmp_path) == tmp_path / "readings.sqlite"
    assert database.log_address(tmp_path, "x.db") == "x.db"
    server = "postgresql+pg8000://study:secret@host/readings"
    assert database.sqlite_file(server) is None and database.settled(server) == server
    assert database.sqlite_file("sqlite:///data/x.db") == database.sqlite_file("data/x.db")
    assert database.settled("x.db", tmp_path) == str(tmp_path / "x.db")
    assert database.place(server) == "postgresql+pg8000://study:***@host/readings"


def test_a_server_out_of_reach_is_said_without_its_password():
    with pytest.raises(LogError, match="cannot be reached") as caught:
        ReadingLog("postgresql+pg8000://study:secret@127.0.0.1:1/readings", "s")
    assert "secret" not in str(caught.value)


def test_the_password_may_stay_out_of_the_address(server, tmp_path, monkeypatch):
    """An address stands in notebooks, their pages and lists of processes; PGPASSWORD does not."""
    monkeypatch.setenv("PGPASSWORD", "sec/ret")
    url = database.database_url("postgresql+pg8000://study@host/readings")
    assert sa.make_url(url).password == "sec/ret"
    own = "postgresql+pg8000://study:own@host/readings"
    assert database.database_url(own) == own
    log = ReadingLog(server, str(tmp_path))
    assert log.append("comment", "Ann") and "sec" not in str(log.address)


def test_an_event_is_on_the_servers_disk_whatever_its_setting(server):
    admin = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(sa.text("ALTER DATABASE postgres SET synchronous_commit TO off"))
    for readonly in (False, True):
        log = ReadingLog(server, "s", readonly=readonly)
        with log._engine.connect() as connection:
            assert connection.execute(sa.text("SHOW synchronous_commit")).scalar() == "on"
        log.close()
    admin.dispose()


def test_the_file_is_durable(tmp_path):
    log = ReadingLog(tmp_path / "readings.sqlite", "s")
    with log._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "INSERT OR REPLACE INTO events SELECT * FROM events",
        "TRUNCATE events",
    ],
)
def test_the_database_itself_refuses_to_change_an_event(log, change):
    log.append("locked", "Ann", "C1", "unaided", ANSWER)
    before = log.events()
    try:
        with log._engine.connect() as connection:
            connection.execute(sa.text(change))
    except sa.exc.DBAPIError as error:
        assert "append-only" in str(error) or "syntax" in str(error)
    assert log.events() == before
