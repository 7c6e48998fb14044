"""Faults of Redis: it loses keys, has too little memory, does not answer, or is killed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

from cachecontrol.prove.faults.target import await_end
from cachecontrol.prove.processes import suspended
from cachecontrol.redis import keys

if TYPE_CHECKING:
    from cachecontrol.prove.faults.target import Target

SPARE_BYTES, LEAST_BYTES = 2**19, 2**20
"""A Redis with too little memory has so many bytes less than it uses, but not less than these."""


def flush(target: Target) -> None:
    """Delete all keys."""
    target.redis().flushall()


def evict_clock(target: Target) -> None:
    """Delete the clock."""
    target.redis().delete(keys.CLOCK)


def evict_tags(target: Target) -> None:
    """Delete tags just before another program writes their rows, while the writers are suspended."""
    share = target.rng.choice((0.5, 1.0, 1.0))
    target.write_externally(
        6 * target.max_lag, pause=3 * target.max_lag, prepare=lambda: _delete_tags(target, share)
    )


def _delete_tags(target: Target, share: float) -> None:
    connection = target.redis()
    tags = [*connection.scan_iter(f"{keys.TAG}*", count=1000)]
    if chosen := [tag for tag in tags if target.rng.random() < share]:
        connection.delete(*chosen)
    target.pause(0.1)


def evict(target: Target) -> None:
    """Let Redis have too little memory, so that it evicts the keys that were not used for the longest time."""
    _limit_memory(target, "volatile-lru")


def fill_up(target: Target) -> None:
    """Let Redis have too little memory, so that it refuses writes."""
    _limit_memory(target, "noeviction")


def _limit_memory(target: Target, policy: str) -> None:
    """Limit the memory for some seconds, if the server has a limit already: others are not for the proof to limit."""
    connection = target.redis()
    limits: Any = connection.config_get("maxmemory", "maxmemory-policy")
    if not int(limits["maxmemory"]):
        return
    used = connection.info("memory")["used_memory"]
    connection.config_set("maxmemory-policy", policy)
    connection.config_set("maxmemory", max(used - SPARE_BYTES, LEAST_BYTES))
    time.sleep(2.0)
    target.pause(4.0)
    for name, value in limits.items():
        connection.config_set(name, value)


def freeze(target: Target) -> None:
    """Suspend Redis for some seconds."""
    if target.servers and (pid := target.servers.valkey_pid()):
        with suspended(pid):
            target.pause(3.0)


def restart(target: Target) -> None:
    """Kill Redis and start it again, with its last writes lost, or all data."""
    if not (target.servers and (pid := target.servers.valkey_pid())):
        return
    if target.rng.random() < 0.8:
        target.redis().save()
        target.pause(2.0)
    os.kill(pid, signal.SIGKILL)
    await_end(pid)
    target.pause(target.rng.choice((0.0, 3.0)))
    target.servers.start_valkey()
