"""Local services start when they are needed, survive what may happen, and leave nothing behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psycopg
import pytest
from redis import Redis

from project.local import services
from project.local.folders import BASE_DIR
from project.local.postgres import Postgres
from project.local.processes import alive, await_end
from project.local.valkey import Valkey
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USER = """
import sys
from pathlib import Path
from project.local import services
from project.local.postgres import Postgres
from project.local.valkey import Valkey

home = Path(sys.argv[1])
servers = [Postgres(home / "postgres"), Valkey(home / "valkey")]
services.use(servers, home=home)
print(*(server.pid() for server in servers), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def user(home: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts processes that use services under ``home``, and ends them."""
    processes: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", USER, str(home)],
                cwd=BASE_DIR,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        with process:
            process.kill()
    services.stop(home)


def pids(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout
    return [int(word) for word in process.stdout.readline().split()]


def test_services_stop_after_their_last_user_was_killed(
    user: Callable[[], subprocess.Popen[str]], home: Path
) -> None:
    first, second = user(), user()
    servers = pids(first)
    assert pids(second) == servers
    first.kill()
    first.wait()
    time.sleep(services.GRACE + 1)
    assert all(map(alive, servers)), "the second process still uses them"
    second.kill()
    second.wait()
    assert await_end(servers, seconds=LONG)


def test_many_processes_that_start_at_once_share_one_pair_of_servers(
    user: Callable[[], subprocess.Popen[str]],
) -> None:
    processes = [user() for _ in range(6)]
    assert len({tuple(pids(process)) for process in processes}) == 1


def test_servers_whose_folder_is_deleted_end(user: Callable[[], subprocess.Popen[str]], home: Path) -> None:
    servers = pids(user())
    while home.exists():
        shutil.rmtree(home, ignore_errors=True)  # again, if a server wrote a file meanwhile
    assert await_end(servers, seconds=LONG)


def test_a_path_too_long_for_a_socket_gets_a_short_one(home: Path) -> None:
    deep = home / ("a-long-name-" * 10)
    postgres, valkey = servers = (Postgres(deep / "postgres"), Valkey(deep / "valkey"))
    try:
        for server in servers:
            server.start()
        with psycopg.connect(postgres.url) as connection, Redis.from_url(valkey.url) as client:
            assert connection.execute("SELECT 1").fetchone() == (1,)
            assert client.ping()
    finally:
        for server in servers:
            server.stop()
            server.remove()
