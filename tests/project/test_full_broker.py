"""A broker without memory left: the worker waits for room, as it waits for a broker that is away."""

from __future__ import annotations

import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from celery import Celery
from redis import Redis
from redis.exceptions import OutOfMemoryError

from project import environment
from project.local import services
from project.local.valkey import Valkey
from tests.product import running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from celery.app.control import Inspect

FULL = {"maxmemory": "8mb", "maxmemory-policy": "noeviction"}


@pytest.fixture
def broker(home: Path) -> Iterator[str]:
    """The URL of a small Valkey of the test's own."""
    server = Valkey(home / "valkey", settings=FULL)
    server.start()
    yield server.url
    services.stop(home)


@contextmanager
def filled(url: str) -> Iterator[None]:
    """Fill a server with keys of database 5 to the last byte, and empty that again."""
    with Redis.from_url(url, db=5) as client:
        for size in (100_000, 1_000, 10):
            with suppress(OutOfMemoryError):
                for number in range(100_000):
                    client.set(f"{size}-{number}", "x" * size)
        yield
        client.flushdb()


def test_a_worker_outlives_a_full_broker_and_goes_on_when_there_is_room(
    django_db_setup: None, broker: str, tmp_path: Path
) -> None:
    with (
        running("worker", tmp_path, BROKER_URL=broker) as worker,
        Celery(broker=broker_url(broker)) as client,
    ):
        workers = client.control.inspect(timeout=0.5)
        until(workers.ping, worker)
        worker.process.send_signal(signal.SIGSTOP)
        client.send_task("cachecontrol.prune")
        with filled(broker):
            worker.process.send_signal(signal.SIGCONT)
            worker.says("OutOfMemoryError")
            worker.says("used memory > 'maxmemory'")
        until(workers.ping, worker)
        client.send_task("cachecontrol.prune")
        until(lambda: "cachecontrol.prune" in ran(workers), worker)


def broker_url(url: str) -> str:
    return environment.broker(url)[0]


def ran(workers: Inspect) -> set[str]:
    """Return the names of the tasks that some worker ran since it started."""
    return {name for facts in (workers.stats() or {}).values() for name in facts["total"]}
