"""A real PostgreSQL server for a test: started in a temporary folder, gone afterwards."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port():
    """A TCP port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _binaries():
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server in /usr/lib/postgresql (Debian package `postgresql`)")
    return found[-1].parent


def _as_postgres(command, check=True):
    # The server refuses to run as root.
    account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    command = [*(account if os.geteuid() == 0 else []), *command]
    # DEVNULL, not a pipe: the server inherits it and would keep a pipe open.
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(command, check=check, cwd="/", **quiet)


@contextmanager
def running_postgres():
    """Yield the SQLAlchemy address of a fresh server on 127.0.0.1."""
    binaries, port = _binaries(), free_port()
    folder = Path(tempfile.mkdtemp(prefix="camreader-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    data, log = str(folder / "data"), str(folder / "log")
    control = [str(binaries / "pg_ctl"), "-D", data, "-w", "-l", log]
    try:
        _as_postgres([str(binaries / "initdb"), "-D", data, "-U", "study", "-A", "trust", "-N"])
        options = f"-c listen_addresses=127.0.0.1 -p {port} -k {folder}"
        _as_postgres([*control, "-o", options, "start"])
        yield f"postgresql+pg8000://study@127.0.0.1:{port}/postgres"
    finally:
        _as_postgres([*control, "-m", "immediate", "stop"], check=False)
        shutil.rmtree(folder, ignore_errors=True)
