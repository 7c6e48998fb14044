"""The drain process while nothing is written: what it costs with few tracked tables and with many."""

from __future__ import annotations

import dataclasses
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest import mock

import psutil
from django.db import connection

from cachecontrol.core import registry
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.postgres import triggers
from tests.bench.delay import draining
from tests.bench.measure import Measured, medians

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MORE_TABLES = 200
SHORT_BAR, PROCESS_BAR = 1.5, 1.5
_SERVERS = "SELECT pid FROM pg_stat_activity WHERE application_name = 'larder drain'"


def measure(*, rounds: int, seconds: float) -> list[Measured]:
    few = _costs(rounds, seconds)
    with _more_tables():
        many = _costs(rounds, seconds)
    bars = {"short drain": SHORT_BAR, "CPU of the drain process in a second": PROCESS_BAR}
    return [
        measured
        for name, cost in few.items()
        for measured in (
            Measured(name, cost),
            Measured(f"{name}, {MORE_TABLES} more tables", many[name], many[name] / cost, bars.get(name)),
        )
    ]


def _costs(rounds: int, seconds: float) -> dict[str, float]:
    """Return what drains take, in seconds, and the seconds of CPU that the drain process takes in one, PostgreSQL's included.

    Each kind of drain is measured alone: one that follows a long whole drain finds cold caches.
    """
    runner = DrainRunner()
    runner.run()
    acts: dict[str, Callable[[], object]] = {
        "short drain": lambda: runner.run(certify=False),
        "whole drain": runner.run,
    }
    try:
        costs = {name: medians({name: act}, rounds=rounds)[name] for name, act in acts.items()}
    finally:
        runner.close()
    return costs | {"CPU of the drain process in a second": _cpu(seconds)}


def _cpu(seconds: float) -> float:
    with draining() as pid, connection.cursor() as cursor:
        cursor.execute(_SERVERS)
        processes = [psutil.Process(number) for number in (pid, *(row[0] for row in cursor.fetchall()))]
        assert len(processes) > 1, "the drain process is not connected"
        before, begun = _cpu_seconds(processes), time.monotonic()
        time.sleep(seconds)
        return (_cpu_seconds(processes) - before) / (time.monotonic() - begun)


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def _more_tables() -> Iterator[None]:
    """Create copies of a table, and track them within the block."""
    kept = registry.find("bench_kept")
    assert kept
    names = [f"bench_kept_{number}" for number in range(MORE_TABLES)]
    with mock.patch.dict(
        registry._tables, {name: dataclasses.replace(kept, relation=name) for name in names}
    ):
        for name in names:
            _execute(f"CREATE TABLE {name} (LIKE bench_kept INCLUDING ALL)")
        triggers.synchronise(connection)
        yield
    triggers.synchronise(connection)
    for name in names:
        _execute(f"DROP TABLE {name}")


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
