"""The connections of drains: they give up on a server that has fallen silent, and plan their statements once."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from django.db import connections

from cachecontrol.conf import conf
from cachecontrol.postgres.sql_files import statement

if TYPE_CHECKING:
    from psycopg.abc import PQGen

    from cachecontrol.postgres.drain_query import PrimaryState


T = TypeVar("T")

SILENCE = 2
"""How many times its ``statement_timeout`` a drain waits for an answer."""
_PLAN_GENERICALLY = statement("drain.plan_generically")
_LIMIT = statement("drain.limit")


@dataclass(frozen=True, slots=True)
class LastDrain:
    """What a drain knew at its end."""

    state: PrimaryState
    looked_at: str
    """The snapshot with which the tables were last looked at; empty if a table lacked triggers then."""
    certified: int
    """Microseconds of Redis' clock: the time that the drain with this look certified."""
    now: int
    """Microseconds of Redis' clock when the drain moved its tags."""


class DrainConnection(psycopg.Connection[Any]):
    """A connection of drains. Only the server enforces ``statement_timeout``, so the connection has a deadline of its own."""

    last_drain: LastDrain | None = None
    """What the last drain on this connection knew at its end; None before the first whole one."""
    _deadline: float | None = None
    """The moment, of the monotonic clock, until which an answer is waited for."""
    _timeout = 0
    """The ``statement_timeout`` of the session in milliseconds; 0 until it is set."""

    def limit(self, seconds: float) -> None:
        """Let each statement from now on take this long at most. The answer may take ``SILENCE`` times as long from now."""
        self._deadline = time.monotonic() + SILENCE * seconds
        timeout = max(1, round(seconds * 1000))  # PostgreSQL takes 0 for no limit
        if self._timeout != timeout:
            self.execute(_LIMIT, {"timeout": str(timeout)})
            self._timeout = timeout

    def wait(self, gen: PQGen[T], *_: Any, **__: Any) -> T:
        timeout = self._deadline and max(0.01, self._deadline - time.monotonic())
        return super().wait(gen, timeout=timeout)


def connect() -> DrainConnection:
    """Open a connection to the primary, in autocommit, with the parameters of Django's. Raises psycopg.Error."""
    parameters = connections[conf.database].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    seconds = max(1, round(conf.drain_timeout))
    parameters |= {
        "application_name": "larder drain",
        "connect_timeout": seconds,
        "tcp_user_timeout": seconds * 10_000,  # milliseconds
    }
    connection = DrainConnection.connect(**parameters, autocommit=True, prepare_threshold=1)
    connection._deadline = time.monotonic() + seconds
    connection.execute(_PLAN_GENERICALLY)
    return connection
