"""The state of the services that the cache relies on, for ``/readyz`` and the dashboard. Nothing here raises."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import connections

from cachecontrol.conf import conf
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.postgres import clock_check
from cachecontrol.redis import server_state

if TYPE_CHECKING:
    from cachecontrol.redis.protocol import Clock


class RedisState(StrEnum):
    """Whether Redis can be used."""

    OK = "ok"
    FULL = "full"
    """It answers and takes no writes."""
    DOWN = "down"
    """It does not answer."""


class ClockState(StrEnum):
    """Whether the clock proves that entries are fresh."""

    OK = "ok"
    OLD = "old"
    """The last drain began more than ``MAX_LAG`` seconds ago, or Redis' time went back since."""
    MISSING = "missing"
    """The next drain creates it."""
    DOWN = "down"
    """Redis does not answer."""


class DrainState(StrEnum):
    """Whether a drain process runs."""

    OK = "ok"
    MISSING = "missing"
    """Readers and writers drain alone."""
    UNKNOWN = "unknown"
    """Redis does not answer."""


def database_version() -> str | None:
    """Return the version of PostgreSQL; None if it does not answer."""

    def ask() -> str:
        with connections[conf.database].cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchone()[0])

    return failsafe(ask)


def redis_state() -> RedisState:
    return failsafe(lambda: RedisState.FULL if server_state.is_full() else RedisState.OK, RedisState.DOWN)


def clock_state(clock: Clock | None) -> ClockState:
    """Judge the clock; None stands for a Redis that does not answer."""
    if clock is None:
        return ClockState.DOWN
    if clock.age is None:
        return ClockState.MISSING
    return ClockState.OK if 0 <= clock.age <= conf.max_lag else ClockState.OLD


def drain_state() -> DrainState:
    return failsafe(
        lambda: DrainState.OK if server_state.has_drain() else DrainState.MISSING, DrainState.UNKNOWN
    )


def tables_without_triggers(clock: Clock | None) -> list[str]:
    """Return the tracked tables whose triggers were not all in order at the last whole drain; none if Redis does not answer."""
    return clock_check.tables_without_triggers(clock) if clock else []
