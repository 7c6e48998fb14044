"""From a write's beginning to the first fresh read by other processes, from their own memory, with the drain process running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.bench.measure import Measured
from tests.bench.models import Kept
from tests.bench.watcher import Watcher, watchers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORM_BAR, PSQL_BAR = 0.010, 0.020
WEB_PROCESSES = 4
WARM = 10
"""Writes before the measurement, after which each process has met each kind of query."""


def measure(*, writes: int) -> list[Measured]:
    with draining(), _psql() as tell, watchers(WEB_PROCESSES) as processes:
        orm = [delay for number in range(WARM + writes) for delay in _delays(_by_orm, processes, number)]
        psql = [delay for number in range(WARM + writes) for delay in _delays(tell, processes, number)]
    orm, psql = orm[WARM * WEB_PROCESSES :], psql[WARM * WEB_PROCESSES :]
    return [
        *_percentiles("ORM write to fresh", orm, ORM_BAR),
        *_percentiles("psql write to fresh", psql, PSQL_BAR),
    ]


def _delays(write: Callable[[Kept], None], processes: list[Watcher], number: int) -> Iterator[float]:
    """Yield for each process how long it took, in seconds, until it read what was written."""
    pk, price = number % 40 + 1, Decimal(number) + 1000
    item = Kept.objects.get(pk=pk)
    item.price = price
    for process in processes:
        process.expect(pk, price)
    time.sleep(number % 7 / 200)  # so that writes fall anywhere between two drains
    begun = time.monotonic()
    write(item)
    for process in processes:
        yield process.seen() - begun


def _by_orm(item: Kept) -> None:
    item.save()


def _percentiles(name: str, delays: list[float], bar: float) -> list[Measured]:
    ordered = sorted(delays)
    return [
        Measured(f"{name}, p50", ordered[len(ordered) // 2]),
        Measured(f"{name}, p99", ordered[int(len(ordered) * 0.99)], None, bar),
    ]


@contextmanager
def draining() -> Iterator[int]:
    """Run the drain process, as the Procfile does, and give its process id."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench", "drain"], env=os.environ.copy())
    try:
        time.sleep(3)
        assert process.poll() is None, "the drain process ended"
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _psql() -> Iterator[Callable[[Kept], None]]:
    """A psql process that updates one row for each call, and returns when psql has said that it is done."""
    from tests.bench.settings import postgres

    command = [str(postgres._programs / "psql"), postgres.url, "--no-psqlrc", "--quiet"]
    psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    sent, received = psql.stdin, psql.stdout
    assert sent and received

    def write(item: Kept) -> None:
        sent.write(f"UPDATE bench_kept SET price = {item.price} WHERE id = {item.pk};\n\\echo done\n")
        sent.flush()
        assert received.readline() == "done\n"

    try:
        yield write
    finally:
        sent.close()
        psql.wait()
