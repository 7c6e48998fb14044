"""Guarded statements: the cache asks on a reader's own connection and leaves the reader's transaction as it was.

Note [Why the cache asks within a savepoint]. The statement may fail on the reader's connection: the role has no rights
on the cache's tables, they are missing, a timeout ends it. Within a transaction such an error would end the reader's transaction
too, and the limit for the statement's locks would hold for the rest of it. So the statement has a savepoint of its own there, in
the same round trip. In a transaction that failed, or in the middle of a pipeline, nothing is asked. If another session has locked
the cache's tables, the statement waits no longer than ``WAIT``, and after that one reader of the process tries now and then.
"""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import DatabaseError, OperationalError
from psycopg import sql
from psycopg.pq import TransactionStatus

from cachecontrol.conf import conf
from cachecontrol.postgres import sessions, sql_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

Row = TypeVar("Row")

_ROLL_BACK = sql_files.statement("guarded.roll_back")


def query(
    connection: BaseDatabaseWrapper, statement: str, row_type: type[Row], *, limits_locks: bool = False
) -> list[Row]:
    """Return the rows of a statement of the cache itself, each as a ``row_type``.

    ``limits_locks`` tells that the statement sets ``lock_timeout`` to ``lock_timeout()`` by itself, until its transaction ends.
    Raises DatabaseError, and leaves the reader's transaction as it was. See Note [Why the cache asks within a savepoint].
    """
    connection.ensure_connection()
    raw: Any = connection.connection
    match raw.info.transaction_status:
        case TransactionStatus.INERROR | TransactionStatus.ACTIVE:
            raise OperationalError(
                "the transaction failed before, or the connection is in the middle of a statement"
            )
        case TransactionStatus.IDLE if raw.autocommit:
            return _query_alone(connection, statement, row_type, limits_locks=limits_locks)
    # Without autocommit this statement begins the reader's transaction.
    return _query_in_savepoint(connection, statement, row_type)


def _query_alone(
    connection: BaseDatabaseWrapper, statement: str, row_type: type[Row], *, limits_locks: bool
) -> list[Row]:
    with _cursor(connection) as cursor:
        if limits_locks:
            cursor.execute(statement)
        else:
            cursor.execute(_guarded("guarded.alone", statement, lock_timeout()))
            cursor.nextset()  # after SET
        return sql_files.rows(cursor, row_type)


def _query_in_savepoint(connection: BaseDatabaseWrapper, statement: str, row_type: type[Row]) -> list[Row]:
    with _cursor(connection) as cursor:
        try:
            cursor.execute(_guarded("guarded.in_savepoint", statement, lock_timeout()))
            cursor.nextset()  # after SAVEPOINT
            cursor.nextset()  # after SET
            return sql_files.rows(cursor, row_type)
        except DatabaseError:
            cursor.execute(_ROLL_BACK)
            raise


@contextmanager
def _cursor(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """Open a cursor for several statements in one, which do not count as changes of the session and cannot be prepared."""
    raw: Any = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        with sessions.uncounted(connection), connection.cursor() as cursor:
            yield cursor
    finally:
        raw.prepare_threshold = threshold


def lock_timeout() -> int:
    """Return ``WAIT`` in milliseconds; at least one, since PostgreSQL takes 0 for no limit."""
    return max(1, round(conf.wait * 1000))


@functools.lru_cache(maxsize=8)
def _guarded(name: str, statement: str, timeout: int) -> str:
    """Return a statement within another one that limits its locks. Every fill asks with the same few texts."""
    parts = {"statement": sql.SQL(statement), "roll_back": sql.SQL(_ROLL_BACK)}
    return sql_files.statement(name, timeout=timeout, **parts)
