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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError
from psycopg import errors
from psycopg.pq import TransactionStatus

from cachecontrol.core import positions
from cachecontrol.limits import budget
from cachecontrol.limits.breaker import Breaker
from cachecontrol.postgres import guarded, sessions
from cachecontrol.reasons import Reason

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


READ_POINT_SQL = """
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
""".replace("-- session", sessions.SESSION_SQL)
LOCKED = errors.LockNotAvailable.sqlstate
breaker = Breaker(
    failed="The cache's tables are locked (%s); until they are not, nothing is stored",
    recovered="The cache's tables answer again",
)
"""Whether this process could read the cache's tables when it last tried."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadPoint:
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
    """Whether a transaction is open, by whatever means it was begun. No round trip."""
    raw: Any = connection.connection
    return raw is not None and raw.info.transaction_status != TransactionStatus.IDLE


def read_point(connection: BaseDatabaseWrapper) -> ReadPoint:
    """Ask where the server stands that will answer the next queries of this connection: one statement, which raises no error."""
    if not breaker.lets_ask():
        return _unknown("the server did not tell in time a moment ago")
    begun = time.monotonic()
    try:
        row = next(iter(guarded.query(connection, READ_POINT_SQL)), None)
    except DatabaseError as error:
        if getattr(error.__cause__, "sqlstate", "") == LOCKED:
            breaker.failed(error)
            budget.charge(time.monotonic() - begun)
        return _unknown(str(error))
    breaker.answered()
    if row is None:
        return _unknown("cachecontrol_epoch has no row; run migrate")
    number, random, wal, is_replica, system, database, has_written, isolation, captured, session = row
    return ReadPoint(
        epoch=positions.epoch_text(number, random),
        position=positions.position_text(number, int(wal or 0)),
        place=f"{system}/{database}",
        is_replica=is_replica,
        has_written=has_written,
        isolation=isolation,
        captured=captured or "",
        is_altered=sessions.has_changed(connection, session, in_transaction=in_transaction(connection)),
        session=sessions.fingerprint(connection),
    )


def _unknown(failure: str) -> ReadPoint:
    return ReadPoint(
        epoch="",
        position="",
        place="",
        is_replica=False,
        has_written=True,
        isolation="",
        captured="",
        failure=failure,
    )
