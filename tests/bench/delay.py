"""From a write's beginning to the first fresh cached read, with the drain process running."""

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

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ORM_BAR, PSQL_BAR = 0.020, 0.120
PATIENCE = 5.0


def measure(*, writes: int) -> list[Measured]:
    with _draining(), _psql() as tell:
        orm = [_delay(_by_orm, number) for number in range(writes)]
        psql = [_delay(tell, number) for number in range(writes)]
    return [
        *_percentiles("ORM write to fresh", orm, ORM_BAR),
        *_percentiles("psql write to fresh", psql, PSQL_BAR),
    ]


def _delay(write: Callable[[int, Decimal], None], number: int) -> float:
    pk, price = number % 40 + 1, Decimal(number) + 1000
    cached = Kept.objects.cached()
    cached.get(pk=pk)
    time.sleep(number % 7 / 200)  # so that writes fall anywhere between two drains
    begun = time.perf_counter()
    write(pk, price)
    while cached.get(pk=pk).price != price:
        assert time.perf_counter() - begun < PATIENCE, "the write was never seen"
        time.sleep(0.0005)
    return time.perf_counter() - begun


def _by_orm(pk: int, price: Decimal) -> None:
    item = Kept.objects.get(pk=pk)
    item.price = price
    item.save()


def _percentiles(name: str, delays: list[float], bar: float) -> list[Measured]:
    ordered = sorted(delays)
    return [
        Measured(f"{name}, p50", ordered[len(ordered) // 2]),
        Measured(f"{name}, p99", ordered[int(len(ordered) * 0.99)], None, bar),
    ]


@contextmanager
def _draining() -> Iterator[None]:
    """Run the drain process, as the Procfile does."""
    process = subprocess.Popen([sys.executable, "-m", "tests.bench", "drain"], env=os.environ.copy())
    try:
        time.sleep(3)
        assert process.poll() is None, "the drain process ended"
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _psql() -> Iterator[Callable[[int, Decimal], None]]:
    """A psql process that updates one row for each call, and returns when psql has said that it is done."""
    from tests.bench.settings import postgres

    command = [str(postgres._programs / "psql"), postgres.url, "--no-psqlrc", "--quiet"]
    psql = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    sent, received = psql.stdin, psql.stdout
    assert sent and received

    def write(pk: int, price: Decimal) -> None:
        sent.write(f"UPDATE bench_kept SET price = {price} WHERE id = {pk};\n\\echo done\n")
        sent.flush()
        assert received.readline() == "done\n"

    try:
        yield write
    finally:
        sent.close()
        psql.wait()
