"""Where a database stands: its position in its own history, that history's identity, and the transaction that asks.

Note [How the cache asks without standing in the way]. It asks on the reader's own connection, where a statement may fail: the
role has no rights on the cache's tables, they are missing, a timeout ends it. Within a transaction such an error would end the
reader's transaction too, and the limit for its locks would hold for the rest of it. So the statement has a savepoint of its own
there, in the same round trip. In a transaction that failed, or in the middle of a pipeline, nothing is asked. Where somebody has
locked the cache's tables, the statement waits no longer than ``WAIT``, and after that only one reader of the process tries now
and then.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, OperationalError
from psycopg import errors
from psycopg.pq import TransactionStatus

from cachecontrol import budget, scope
from cachecontrol.breaker import Breaker
from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

STANDING_SQL = """
SELECT epoch.number, epoch.random,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       pg_is_in_recovery(),
       (SELECT system_identifier FROM pg_control_system()),
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()),
       CASE WHEN pg_is_in_recovery() THEN false ELSE pg_current_xact_id_if_assigned() IS NOT NULL END,
       current_setting('transaction_isolation'),
       (SELECT md5(string_agg(concat_ws(' ', t.relation, t.definition, c.oid, c.relrowsecurity), ',' ORDER BY t.relation))
          FROM cachecontrol_tracked AS t LEFT JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation))),
       -- session
  FROM cachecontrol_epoch AS epoch
""".replace("-- session", scope.SESSION_SQL)

_SAVEPOINT = "cachecontrol_asks"
_BACK = f"ROLLBACK TO SAVEPOINT {_SAVEPOINT}; RELEASE SAVEPOINT {_SAVEPOINT}"
LOCKED = errors.LockNotAvailable.sqlstate
breaker = Breaker(
    failed="The cache's tables are locked (%s); until they are not, nothing is stored",
    recovered="The cache's tables answer again",
)
"""Whether this process could read the cache's tables when it last tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What one statement tells of the server and the transaction it ran in."""

    epoch: str
    position: str
    place: str
    """System identifier and database oid: whose history answers."""
    is_replica: bool
    has_written: bool
    """Whether the transaction has an xid: what it reads may be nobody else's."""
    isolation: str
    captured: str
    """Digest of what the database's triggers capture, of which tables the session's names mean, and of row-level security."""
    failure: str = ""
    """Why the server did not tell; empty if it did."""
    is_altered: bool = False
    """Whether the session is not what connecting gave."""
    session: tuple[Any, ...] = ()
    """Differs later on if the session may have changed."""

    @property
    def unfit(self) -> str:
        """Why the cache may be neither read nor filled in this transaction; empty if it may."""
        if self.failure:
            return "position_unknown"
        if self.has_written:
            return "transaction"
        if self.isolation != "read committed":
            return "isolation"
        return "session" if self.is_altered else ""


def epoch_text(number: int, random: str) -> str:
    """The written form of an epoch: its growing number, then its random part."""
    return f"{number:010d}.{random}"


def position_text(number: int, wal: int) -> str:
    """The written form of a position, whose text order is time order across epochs too."""
    return f"{number:010d}.{wal:020d}"


def in_transaction(connection: BaseDatabaseWrapper) -> bool:
    """Whether a transaction is open, by whatever means it was begun. No round trip."""
    raw: Any = connection.connection
    return raw is not None and raw.info.transaction_status != TransactionStatus.IDLE


def standing(connection: BaseDatabaseWrapper) -> Standing:
    """Ask where the server stands that will answer the next queries of this connection: one statement, which raises no error."""
    if not breaker.lets_ask():
        return _unknown("the server did not tell in time a moment ago")
    begun = time.monotonic()
    try:
        row = next(iter(ask(connection, STANDING_SQL)), None)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") == LOCKED:
            breaker.failed(error)
            budget.charge(time.monotonic() - begun)
        return _unknown(str(error))
    breaker.answered()
    if row is None:
        return _unknown("cachecontrol_epoch has no row; run migrate")
    number, random, wal, is_replica, system, database, has_written, isolation, captured, session = row
    return Standing(
        epoch=epoch_text(number, random),
        position=position_text(number, int(wal or 0)),
        place=f"{system}/{database}",
        is_replica=is_replica,
        has_written=has_written,
        isolation=isolation,
        captured=captured or "",
        is_altered=scope.is_altered(connection, session, in_transaction=in_transaction(connection)),
        session=scope.mark(connection),
    )


def _unknown(failure: str) -> Standing:
    return Standing(
        epoch="",
        position="",
        place="",
        is_replica=False,
        has_written=True,
        isolation="",
        captured="",
        failure=failure,
    )


def ask(connection: BaseDatabaseWrapper, statement: str) -> list[tuple[Any, ...]]:
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
    return _asked_within(connection, statement)


@contextmanager
def _cursor(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """A cursor for several statements in one, which leave no doubt about the session and cannot be prepared."""
    raw: Any = connection.connection
    threshold, raw.prepare_threshold = raw.prepare_threshold, None
    try:
        with scope.trusted(connection), connection.cursor() as cursor:
            yield cursor
    finally:
        raw.prepare_threshold = threshold


def guarded(statement: str) -> str:
    """A statement that leaves the transaction as it was, its ``lock_timeout`` too."""
    return f"SAVEPOINT {_SAVEPOINT}; {_patience()}; {statement}; {_BACK}"


def _patience() -> str:
    """SQL that limits waits for locks to ``WAIT``, until the savepoint around it or the implicit transaction ends."""
    return f"SET LOCAL lock_timeout = {max(1, round(conf.wait * 1000))}"


def _asked_within(connection: BaseDatabaseWrapper, statement: str) -> list[tuple[Any, ...]]:
    with _cursor(connection) as cursor:
        try:
            cursor.execute(guarded(statement))
            cursor.nextset()
            cursor.nextset()
            return list(cursor.fetchall())
        except DatabaseError:
            cursor.execute(_BACK)
            raise
