"""Databases: which of them the cache can vouch for, and which one a tracked query goes to."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cachecontrol.conf import conf
from cachecontrol.dependencies.collection import may_read_for_another_thread

if TYPE_CHECKING:
    from collections.abc import Iterator


_reads_primary: ContextVar[bool] = ContextVar("cachecontrol_reads_primary", default=False)


def is_captured(alias: str) -> bool:
    """Whether the changes of that database are drained: it is the primary or one of its replicas."""
    return alias == conf.database or alias in conf.replicas


@contextlib.contextmanager
def reading_primary() -> Iterator[None]:
    """Send tracked queries that are meant for a replica to the primary within this block."""
    token = _reads_primary.set(True)
    try:
        yield
    finally:
        _reads_primary.reset(token)


def reads_primary() -> bool:
    """Whether ``reading_primary`` is in effect. It does not redirect raw SQL, which names its database itself."""
    return _reads_primary.get()


def database_for(alias: str) -> str:
    """Return the alias of the database that a query meant for ``alias`` goes to.

    A thread that may read for a fill of another thread reads the primary: that fill cannot tell whether a replica lags.
    """
    if alias in conf.replicas and (reads_primary() or may_read_for_another_thread()):
        return conf.database
    return alias
