"""Writers: how a process learns that it changed a tracked table, whatever the SQL, and drains once that is committed.

The trigger tells the connection by a notice, which only connections that ask for it get. Inside a transaction the drain is
the first thing after the commit, tied to no savepoint; outside, it follows the statement.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any
from weakref import ref

from django.db import connections
from psycopg.pq import TransactionStatus

from cachecontrol import collect, drain, position, scope
from cachecontrol.capture import TELL_CODE, TELL_SETTING
from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg
    from django.db.backends.base.base import BaseDatabaseWrapper

_TELL = f"set_config('{TELL_SETTING}', 'on', false)"
_FORGETS = frozenset({"RESET", "DISCARD ALL"})
"""After these a session may not know any more that it asked to be told."""
_pending = threading.local()
"""Whether this thread changed something that no drain of this process has carried yet."""


def listen(*, connection: BaseDatabaseWrapper, **_: Any) -> None:
    """Prepare each new connection (``connection_created``): ask for notices, cover SQL, drain after statements."""
    if connection.vendor != "postgresql":
        return
    if collect.watch not in connection.execute_wrappers:
        connection.execute_wrappers.append(collect.watch)
    if not collect.known(connection.alias):
        return
    raw: Any = connection.connection
    is_new = not hasattr(raw, "cachecontrol_wrapper")
    raw.cachecontrol_wrapper = ref(connection)  # a pool hands it to another each time
    if not is_new:
        return
    raw.add_notice_handler(_handler(ref(raw)))
    _, session = raw.execute(f"SELECT {_TELL}, {scope.SESSION_SQL}").fetchone()
    scope.begin(raw, session)
    raw.cursor_factory = _draining(raw.cursor_factory)
    if raw.info.transaction_status != TransactionStatus.IDLE:
        raw.commit()


def has_pending() -> bool:
    """Whether this thread committed something that was not drained yet."""
    return getattr(_pending, "is_set", False)


def settle() -> bool:
    """Drain what this thread committed, if anything is left, and return whether all of it is carried.

    Never raises; what failed is tried again before a read.
    """
    if not has_pending():
        return True
    _pending.is_set = False
    # A read of a replica may come before the commit of what this thread wrote on the primary.
    is_open = position.in_transaction(connections[conf.database])
    _pending.is_set = not drain.catch_up(certify=False) or is_open
    return not _pending.is_set


def _handler(listener: ref[Any]) -> Callable[[psycopg.errors.Diagnostic], None]:
    def hear(notice: psycopg.errors.Diagnostic) -> None:
        raw = listener()
        connection: BaseDatabaseWrapper | None = raw and raw.cachecontrol_wrapper()
        if notice.sqlstate != TELL_CODE or connection is None:
            return
        collect.wrote(connection)
        _pending.is_set = True
        hooks: list[object] = [hook for _, hook, *_ in connection.run_on_commit]
        if connection.in_atomic_block and settle not in hooks:
            connection.run_on_commit.insert(0, (set(), settle, True))  # type: ignore[arg-type]  # stubs lack "robust"

    return hear


@functools.cache
def _draining(factory: type[psycopg.Cursor[Any]]) -> type[psycopg.Cursor[Any]]:
    """A cursor class that drains after a statement that was its own transaction, and notes what may change its session."""
    return type(f"Draining{factory.__name__}", (_DrainingCursor, factory), {})


class _DrainingCursor:
    """Mixed into the cursor class of a connection, since psycopg knows of statements that Django does not see."""

    connection: Any
    statusmessage: str | None

    def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().execute(query, *args, **kwargs)  # type: ignore[misc]
        self._ended(query)
        return result

    def executemany(self, query: Any, *args: Any, **kwargs: Any) -> Any:
        result = super().executemany(query, *args, **kwargs)  # type: ignore[misc]
        self._ended(query)
        return result

    def callproc(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        collect.slips_by(name)
        return super().callproc(name, *args, **kwargs)  # type: ignore[misc]

    def stream(self, query: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        collect.slips_by(query)
        yield from super().stream(query, *args, **kwargs)  # type: ignore[misc]
        self._ended(query)

    def copy(self, statement: Any, *args: Any, **kwargs: Any) -> Any:
        collect.slips_by(statement)
        return _CopyThenSettle(super().copy(statement, *args, **kwargs), self._settle)  # type: ignore[misc]

    def _ended(self, query: Any) -> None:
        scope.note(self, query)
        if self.statusmessage in _FORGETS:
            self.connection.execute(f"SELECT {_TELL}")
        self._settle()

    def _settle(self) -> None:
        if has_pending() and self.connection.info.transaction_status == TransactionStatus.IDLE:
            settle()


class _CopyThenSettle:
    """The context of a COPY, with a drain after its end."""

    def __init__(self, inner: Any, then: Callable[[], None]) -> None:
        self._inner, self._then = inner, then

    def __enter__(self) -> Any:
        return self._inner.__enter__()

    def __exit__(self, *error: Any) -> Any:
        result = self._inner.__exit__(*error)
        self._then()
        return result
