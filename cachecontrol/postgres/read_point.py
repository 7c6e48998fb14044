"""Read points: the position of a database in its history, whose history that is, and the state of the transaction that asks."""

from __future__ import annotations

import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from psycopg import errors
from psycopg.pq import TransactionStatus

from cachecontrol.core import positions
from cachecontrol.limits import budget
from cachecontrol.limits.breaker import Breaker
from cachecontrol.postgres import guarded, sessions, sql_files
from cachecontrol.reasons import Reason

if TYPE_CHECKING:
    from decimal import Decimal

    from django.db.backends.base.base import BaseDatabaseWrapper


LOCKED = errors.LockNotAvailable.sqlstate
breaker = Breaker(
    failed="The cache's tables are locked (%s); until they are not, nothing is stored",
    recovered="The cache's tables answer again",
)
"""Whether this process could read the cache's tables when it last tried."""


@dataclass(frozen=True, slots=True)
class ReadPointRow:
    """The row of ``read_point.read_point``."""

    number: int
    random: str
    wal: Decimal | None
    """WAL location in bytes; None on a replica that has replayed nothing yet."""
    is_replica: bool
    system: int
    database: int
    has_written: bool
    isolation: str
    captured: str | None
    session: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPoint:
    """The state of the server and of the transaction in which one statement ran."""

    epoch: str
    position: str
    database_id: str
    """System identifier and database oid: whose history answers."""
    is_replica: bool
    has_written: bool
    """Whether the transaction has an xid: other transactions may not see the rows that it reads."""
    isolation: str
    captured: str
    """Digest of what the database's triggers capture, of which tables the session's names mean, and of row-level security."""
    failure: str = ""
    """Why the server did not answer; empty if it did."""
    is_altered: bool = False
    """Whether the session differs from its start."""
    session: tuple[Any, ...] = ()
    """A later fingerprint of the session differs from this one if the session may have changed."""

    @property
    def refusal(self) -> Reason | None:
        """Why the cache may be neither read nor filled in this transaction; None if it may."""
        if self.failure:
            return Reason.POSITION_UNKNOWN
        if self.has_written:
            return Reason.TRANSACTION
        if self.isolation != "read committed":
            return Reason.ISOLATION
        return Reason.SESSION if self.is_altered else None


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Return whether a transaction is open, by whatever means it was begun. No round trip."""
    raw: Any = connection.connection
    return raw is not None and raw.info.transaction_status != TransactionStatus.IDLE


def read_point(connection: BaseDatabaseWrapper) -> ReadPoint:
    """Return the read point of the server that answers this connection's next queries: one statement, which raises no error."""
    if not breaker.lets_ask():
        return _unknown("the server did not answer in time a moment ago")
    begun = time.monotonic()
    try:
        statement = read_point_sql(guarded.lock_timeout())
        rows = guarded.query(connection, statement, ReadPointRow, limits_locks=True)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") == LOCKED:
            breaker.failed(error)
            budget.charge(time.monotonic() - begun)
        return _unknown(str(error))
    breaker.answered()
    return _known(connection, rows[0]) if rows else _unknown("cachecontrol_epoch has no row; run migrate")


def _known(connection: BaseDatabaseWrapper, row: ReadPointRow) -> ReadPoint:
    return ReadPoint(
        epoch=positions.epoch_text(row.number, row.random),
        position=positions.position_text(row.number, int(row.wal or 0)),
        database_id=f"{row.system}/{row.database}",
        is_replica=row.is_replica,
        has_written=row.has_written,
        isolation=row.isolation,
        captured=row.captured or "",
        is_altered=sessions.has_changed(connection, row.session, in_transaction=in_transaction(connection)),
        session=sessions.fingerprint(connection),
    )


@functools.lru_cache(maxsize=8)
def read_point_sql(lock_timeout: int) -> str:
    """Return the statement that asks for the read point, and waits for locks at most so many milliseconds."""
    return sql_files.statement("read_point.read_point", lock_timeout=str(lock_timeout))


def _unknown(failure: str) -> ReadPoint:
    return ReadPoint(
        epoch="",
        position="",
        database_id="",
        is_replica=False,
        has_written=True,
        isolation="",
        captured="",
        failure=failure,
    )
