"""Faults of the proven processes: they are killed, suspended, cut off from Redis, or their clock is wrong."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import redis

from cachecontrol.prove.processes import suspended

if TYPE_CHECKING:
    from cachecontrol.prove.faults.target import Target

CLOCK_SHIFTS = (-5.0, 5.0, -3600.0, 86400.0)
"""Seconds that a wall clock is wrong by."""


def kill_web(target: Target) -> None:
    """Kill a worker of the web server, which starts another."""
    target.processes.kill_web_worker(target.rng)


def kill_drain(target: Target) -> None:
    """Kill the drain process and start another, sometimes late."""
    target.processes.kill("drain")
    target.pause(target.rng.choice((0.5, 6.0)))
    target.processes.start("drain")


def kill_celery(target: Target) -> None:
    """Kill the Celery worker with its children and start another. A proof without a worker has nothing to kill."""
    if target.processes.is_running("worker"):
        target.processes.restart("worker")


def freeze_web(target: Target) -> None:
    """Suspend a worker of the web server for some seconds, whatever its threads do at the moment."""
    if pid := target.processes.web_worker(target.rng):
        with suppress(ProcessLookupError), suspended(pid):
            target.pause(2.5 * target.max_lag)


def freeze_drain(target: Target) -> None:
    """Suspend the drain process for some seconds."""
    with target.processes.suspended("drain"):
        target.pause(5.0)


def slow_drain(target: Target) -> None:
    """Let the drain process pause for seconds between reading changes and moving tags, while another program writes."""
    target.processes.restart("drain", drain_pause=1.5 * target.max_lag)
    target.write_externally(6 * target.max_lag)
    target.processes.restart("drain")


def external_writes(target: Target) -> None:
    """Let another program write while no drain process runs and the writers are suspended."""
    target.processes.kill("drain")
    target.write_externally(4 * target.max_lag)
    target.processes.start("drain")


def shift_clock(target: Target) -> None:
    """Restart the drain process, the web server, a reader or a writer with a wrong wall clock."""
    clients = [*target.processes.named("reader"), *target.processes.named("writer")]
    name = target.rng.choice(["drain", "web", target.rng.choice(["drain", "web", *clients])])
    target.processes.restart(name, clock_shift=target.rng.choice(CLOCK_SHIFTS))


def kill_writer(target: Target) -> None:
    """Kill a writer, whatever it does at the moment, and start it again."""
    target.processes.restart(target.rng.choice(target.processes.named("writer")))


def cut_writer(target: Target) -> None:
    """Cut one writer off from Redis for some seconds."""
    _cut_off(target, target.rng.choice(target.processes.named("writer")), 3.0)


def cut_web(target: Target) -> None:
    """Cut the web server off from Redis for some seconds, while the drain process and the writers reach it."""
    _cut_off(target, "web", 4 * target.max_lag)


def _cut_off(target: Target, name: str, longest: float) -> None:
    target.processes.cut_off(name)
    with suppress(redis.RedisError):
        _close_connections(target, name)
    target.pause(longest)
    target.processes.reconnect(name)


def _close_connections(target: Target, name: str) -> None:
    connection = target.redis()
    for client in connection.client_list():
        if client["name"] == name:
            connection.client_kill_filter(_id=client["id"])
