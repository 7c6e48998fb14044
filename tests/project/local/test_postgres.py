"""The local PostgreSQL comes up whatever happened to it before, says in one line why it cannot, and lets nobody else in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest

from project.local import postgres as postgres_module
from project.local.postgres import Postgres
from project.local.processes import await_end
from project.local.server import ServiceError
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def postgres(home: Path) -> Iterator[Postgres]:
    server = Postgres(home / "postgres")
    yield server
    server.stop()
    server.remove()


def shown(connection: psycopg.Connection[Any], setting: str) -> str:
    """Return the value of a setting of the server."""
    (row,) = connection.execute(f"SHOW {setting}").fetchall()
    return str(row[0])


def test_a_stale_pid_file_that_names_a_living_stranger_is_repaired(postgres: Postgres) -> None:
    postgres.start()
    postgres.stop()
    file = postgres.home / "data" / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n{postgres.home / 'data'}\n1\n5432\n\n\n")
    assert postgres.pid() is None
    postgres.start()
    assert postgres.pid() not in {None, os.getpid()}


def test_committed_data_survives_a_killed_server(postgres: Postgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postgres.pid()
    assert pid
    os.kill(pid, signal.SIGKILL)
    assert await_end([pid], seconds=LONG)
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_an_interrupted_creation_starts_over(postgres: Postgres) -> None:
    (postgres.home / "data.new").mkdir(parents=True)
    (postgres.home / "data.new" / "PG_VERSION").write_text("18\n")
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert shown(connection, "server_version_num").startswith("18")


def test_other_processes_connect_by_the_url_alone(postgres: Postgres) -> None:
    postgres.start()
    psql = postgres._programs / "psql"
    command = [str(psql), postgres.url, "-Atc", "SELECT current_database()"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG).stdout == "larder\n"
    )


def test_replicas_prepared_transactions_and_many_connections_are_possible(postgres: Postgres) -> None:
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        show = {name: shown(connection, name) for name in postgres_module.SETTINGS}
    assert show["wal_level"] == "logical"
    assert int(show["max_connections"]) >= 200
    assert int(show["max_prepared_transactions"]) >= 20


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hides folders from the user that PostgreSQL runs as")
def test_root_may_work_in_a_folder_that_others_cannot_enter(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = home / "hidden"
    hidden.mkdir(mode=0o700)
    # The virtual environment is hidden there, too.
    monkeypatch.setattr(postgres_module, "hidden_from_others", lambda path: True)
    server = Postgres(hidden / "postgres")
    try:
        server.start()
        process = psutil.Process(server.pid())
        assert process.uids().effective != 0
        assert not process.exe().startswith(sys.prefix)
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert hidden.stat().st_mode & 0o777 == 0o700
    finally:
        server.stop()
        server.remove()


def test_a_full_disk_is_one_clear_line(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_module, "NEEDED_BYTES", 2**60)
    with pytest.raises(ServiceError, match=r"The disk is full: .* MB free"):
        postgres.start()


def test_why_postgresql_does_not_start_is_one_clear_line(home: Path) -> None:
    server = Postgres(home / "postgres", settings={"max_connections": "-1"})
    with pytest.raises(ServiceError, match=r"PostgreSQL did not start: .*max_connections"):
        server.start()
    server.remove()


def test_local_services_let_nobody_else_in(postgres: Postgres) -> None:
    postgres.start()
    assert postgres.home.stat().st_mode & 0o077 == 0
    listening = [
        c for c in psutil.Process(postgres.pid()).net_connections(kind="inet") if c.status == "LISTEN"
    ]
    assert not listening
