"""Guarded statements."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, OperationalError
from psycopg.pq import TransactionStatus

from cachecontrol.conf import conf
from cachecontrol.postgres import sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper


_SAVEPOINT = "cachecontrol_asks"
_BACK = f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}"


def query(connection: BaseDatabaseWrapper, statement: str) -> list[tuple[Any, ...]]:
    """The rows of a statement of the cache's own. Raises DatabaseError, and leaves the reader's transaction as it was.

    See Note [How the cache asks without standing in the way].
    """
    connection.ensure_connection()
    raw: Any = connection.connection
    match raw.info.transaction_status:
        case TransactionStatus.INERROR | TransactionStatus.ACTIVE:
            raise OperationalError(
                "the transaction failed before, or the connection is in the middle of a statement"
            )
        case TransactionStatus.IDLE if raw.autocommit:
            with _cursor(connection) as cursor:
                cursor.execute(f"{_patience()}; {statement}")
                cursor.nextset()
                return list(cursor.fetchall())
    # Without autocommit this statement begins the reader's transaction.
    return _query_in_transaction(connection, statement)


@contextmanager
def _cursor(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor for several statements in one, which leave no doubt about the session and cannot be prepared."""
    raw: Any = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        with sessions.trusting(connection), connection.cursor() as cursor:
            yield cursor
    finally:
        raw.prepare_threshold = threshold


def in_savepoint(statement: str) -> str:
    """A statement that leaves the transaction as it was, its ``lock_timeout`` too."""
    return f"SAVEPOINT {_SAVEPOINT}; {_patience()}; {statement}; {_BACK}"


def _patience() -> str:
    """SQL that limits waits for locks to ``WAIT``, until the savepoint around it or the implicit transaction ends."""
    return f"SET LOCAL lock_timeout = {max(1, round(conf.wait * 1000))}"


def _query_in_transaction(connection: BaseDatabaseWrapper, statement: str) -> list[tuple[Any, ...]]:
    with _cursor(connection) as cursor:
        try:
            cursor.execute(in_savepoint(statement))
            cursor.nextset()
            cursor.nextset()
            return list(cursor.fetchall())
        except DatabaseError:
            cursor.execute(_BACK)
            raise
