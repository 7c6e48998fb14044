"""Local services start when they are needed, survive what may happen, and leave nothing behind."""

import os
import shutil
import signal
import subprocess
import sys
import time

import psutil
import psycopg
import pytest
from redis import Redis

from project import embedded, services
from project.embedded import Postgres, ServiceError, Valkey
from project.processes import alive
from tests.patience import LONG

USER = """
import sys
from pathlib import Path
from project import services
from project.embedded import Postgres, Valkey

home = Path(sys.argv[1])
servers = [Postgres(home / "postgres"), Valkey(home / "valkey")]
services.use(servers, home=home)
print(*(server.pid() for server in servers), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def user(home):
    """Starts processes that use services under ``home``, and ends them."""
    processes = []

    def start():
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", USER, str(home)],
                cwd=services.BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
    services.stop(home)


@pytest.fixture
def postgres(home):
    server = Postgres(home / "postgres")
    yield server
    server.stop()
    server.remove()


def pids(process):
    return [int(word) for word in process.stdout.readline().split()]


def gone(*processes):
    deadline = time.monotonic() + LONG
    while any(map(alive, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, processes))


def test_services_stop_after_their_last_user_was_killed(user, home):
    first, second = user(), user()
    servers = pids(first)
    assert pids(second) == servers
    first.kill()
    first.wait()
    time.sleep(services.GRACE + 1)
    assert all(map(alive, servers)), "the second process still uses them"
    second.kill()
    second.wait()
    assert gone(*servers)


def test_many_processes_that_start_at_once_share_one_pair_of_servers(user):
    processes = [user() for _ in range(6)]
    assert len({tuple(pids(process)) for process in processes}) == 1


def test_servers_whose_folder_is_deleted_end(user, home):
    servers = pids(user())
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)  # again, if a server wrote a file meanwhile
    assert gone(*servers)


def test_a_stale_pid_file_that_names_a_living_stranger_is_repaired(postgres):
    postgres.start()
    postgres.stop()
    file = postgres.home / "data" / "postmaster.pid"
    file.write_text(f"{os.getpid()}\n{postgres.home / 'data'}\n1\n5432\n\n\n")
    assert postgres.pid() is None
    postgres.start()
    assert postgres.pid() not in {None, os.getpid()}


def test_committed_data_survives_a_killed_server(postgres):
    postgres.start()
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    pid = postgres.pid()
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_an_interrupted_creation_starts_over(postgres):
    (postgres.home / "data.new").mkdir(parents=True)
    (postgres.home / "data.new" / "PG_VERSION").write_text("18\n")
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        assert connection.execute("SHOW server_version_num").fetchone()[0].startswith("18")


def test_other_processes_connect_by_the_url_alone(postgres):
    postgres.start()
    psql = postgres._programs / "psql"
    command = [psql, postgres.url, "-Atc", "SELECT current_database()"]
    assert (
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONG).stdout == "larder\n"
    )


def test_replicas_prepared_transactions_and_many_connections_are_possible(postgres):
    postgres.start()
    with psycopg.connect(postgres.url) as connection:
        show = {name: connection.execute(f"SHOW {name}").fetchone()[0] for name in embedded.POSTGRES_SETTINGS}
    assert show["wal_level"] == "logical"
    assert int(show["max_connections"]) >= 200
    assert int(show["max_prepared_transactions"]) >= 20


def test_a_path_too_long_for_a_socket_gets_a_short_one(home):
    deep = home / ("a-long-name-" * 10)
    servers = [Postgres(deep / "postgres"), Valkey(deep / "valkey")]
    try:
        for server in servers:
            server.start()
        with psycopg.connect(servers[0].url) as connection, Redis.from_url(servers[1].url) as client:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert client.ping()
    finally:
        for server in servers:
            server.stop()
            server.remove()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hides folders from the user that PostgreSQL runs as")
def test_root_may_work_in_a_folder_that_others_cannot_enter(home, monkeypatch):
    hidden = home / "hidden"
    hidden.mkdir(mode=0o700)
    monkeypatch.setattr(
        embedded, "_reachable", lambda path: False
    )  # the virtual environment is hidden there, too
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


def test_a_full_disk_is_one_clear_line(postgres, monkeypatch):
    monkeypatch.setattr(embedded, "NEEDED_BYTES", 2**60)
    with pytest.raises(ServiceError, match=r"The disk is full: .* MB free"):
        postgres.start()


def test_why_postgresql_does_not_start_is_one_clear_line(home):
    server = Postgres(home / "postgres", settings={"max_connections": "-1"})
    with pytest.raises(ServiceError, match=r"PostgreSQL did not start: .*max_connections"):
        server.start()
    server.remove()


def test_local_services_let_nobody_else_in(postgres):
    postgres.start()
    assert postgres.home.stat().st_mode & 0o077 == 0
    listening = [
        c for c in psutil.Process(postgres.pid()).net_connections(kind="inet") if c.status == "LISTEN"
    ]
    assert not listening
