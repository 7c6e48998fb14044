"""The connection of drains."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from django.db import connections

from cachecontrol.conf import conf

if TYPE_CHECKING:
    from psycopg.abc import PQGen


T = TypeVar("T")


PLANNED_ONCE = (
    "SET jit = off; SET plan_cache_mode = force_generic_plan;"
    " SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)
"""Every drain looks up a few rows by index, however large the tables: planning that again would cost more than running it."""


class DrainConnection(psycopg.Connection[Any]):
    """A connection that gives up on a server which fell silent: ``statement_timeout`` is kept by the server alone."""

    deadline: float | None = None
    """The moment, of the monotonic clock, until when an answer is waited for."""

    def wait(self, gen: PQGen[T], *_: Any, **__: Any) -> T:
        timeout = self.deadline and max(0.01, self.deadline - time.monotonic())
        return super().wait(gen, timeout=timeout)


def connect() -> DrainConnection:
    parameters = connections[conf.database].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    seconds = max(1, round(conf.drain_timeout))
    parameters |= {
        "application_name": "larder drain",
        "connect_timeout": seconds,
        "tcp_user_timeout": seconds * 10_000,
    }
    connection = DrainConnection.connect(**parameters, autocommit=True, prepare_threshold=1)
    connection.deadline = time.monotonic() + seconds
    connection.execute(PLANNED_ONCE)
    return connection
