"""PostgreSQL clusters of a test's own, copied from the one that all tests share: to be crashed, promoted and left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, connections
from psycopg.conninfo import conninfo_to_dict

from cachecontrol.drain import runner
from cachecontrol.prove.processes import suspended
from project.local.account import make_private
from project.local.postgres import Postgres
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PLACE = ("HOST", "PORT")
WAL_WRITER = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walwriter'"


@contextmanager
def clone(*, standby: bool = False, **settings: str) -> Iterator[Postgres]:
    """Copy the cluster that Django is connected to, as a standby of it or as one for itself, and run the copy."""
    home = Path(tempfile.mkdtemp(prefix="larder-home-"))
    home.chmod(0o755)
    server = Postgres(home / "postgres", settings={"fsync": "off"} | settings)
    try:
        _copy(server, standby=standby)
        server.start()
        yield server
    finally:
        server.stop(seconds=5)
        server.remove()
        shutil.rmtree(home, ignore_errors=True)


def _copy(server: Postgres, *, standby: bool) -> None:
    target = server._data
    make_private(server._data_folder, data_folder=server._data_folder)
    source = " ".join(f"{name}={value}" for name, value in parameters().items() if name != "dbname")
    command = [
        str(server._programs / "pg_basebackup"),
        "-d",
        source,
        "-D",
        str(target),
        "-c",
        "fast",
        "-X",
        "stream",
    ]
    done = subprocess.run(
        [*command, *(["-R"] if standby else [])], check=False, capture_output=True, timeout=LONG
    )
    assert done.returncode == 0, done.stderr
    make_private(target, data_folder=server._data_folder, recursive=True)


@contextmanager
def forgetful(server: Postgres) -> Iterator[None]:
    """Let the server write no commit to disk that did not ask for it, until it crashes or the block ends.

    The process that writes them now and then stands still; a crash has to kill it, since it hears nothing else.
    """
    with suspended(_wal_writer(server)):
        yield


def _wal_writer(server: Postgres) -> int:
    with connect(server) as connection:
        ((pid,),) = connection.execute(WAL_WRITER).fetchall()
    return int(pid)


def crash(server: Postgres) -> None:
    """Stop at once, without flushing anything, and start again: what was not on disk is lost."""
    pid, writer = server.pid(), _wal_writer(server)
    assert pid
    os.kill(pid, signal.SIGQUIT)
    _kill(writer)
    _wait(lambda: not server.pid())
    server.start()


def crash_backend(server: Postgres) -> None:
    """Kill a single backend: the server recovers in place, under the same postmaster."""
    writer = _wal_writer(server)
    with connect(server) as victim, connect(server) as witness:
        _kill(victim.info.backend_pid, writer)
        with pytest.raises(psycopg.OperationalError):
            witness.execute(f"SELECT pg_sleep({LONG})")  # the server answers as ever until it noticed
    _wait(lambda: _answers(server))


def _kill(*pids: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _answers(server: Postgres) -> bool:
    try:
        connect(server).close()
    except psycopg.OperationalError:
        return False
    return True


def promote(server: Postgres) -> None:
    """Make a standby a primary with a timeline of its own, and wait until it takes writes."""
    with connect(server) as connection:
        connection.execute("SELECT pg_promote()")
        _wait(lambda: connection.execute("SELECT WHERE NOT pg_is_in_recovery()").rowcount)


def connect(server: Postgres) -> psycopg.Connection[Any]:
    """A connection of another program to the test's database on that server."""
    host = conninfo_to_dict(server.url)["host"]
    return psycopg.connect(dbname=parameters()["dbname"], user="postgres", host=host, autocommit=True)


@contextmanager
def at(server: Postgres) -> Iterator[None]:
    """Point Django and new drains at that server within the block."""
    before = {name: connection.settings_dict[name] for name in PLACE}
    _point({"HOST": conninfo_to_dict(server.url)["host"], "PORT": ""})
    try:
        yield
    finally:
        _point(before)


def _point(location: dict[str, Any]) -> None:
    connections.close_all()
    runner.runner.close()
    connection.settings_dict.update(location)
    connections.settings["default"].update(location)


def parameters() -> dict[str, Any]:
    """What a program needs to connect to the database that Django uses."""
    given = connection.get_connection_params()
    return {name: given[name] for name in ("dbname", "user", "host", "port", "password") if name in given}


def _wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not until():
        assert time.monotonic() < deadline, "the server did not follow in time"
        time.sleep(0.02)


def reconnect() -> None:
    """Let go of connections that a crash broke."""
    connections.close_all()
    runner.runner.close()
