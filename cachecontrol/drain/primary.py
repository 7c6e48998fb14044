"""The primary, as drains ask it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg

from cachecontrol.conf import conf
from cachecontrol.core.positions import epoch_text, position_text
from cachecontrol.drain import connection
from cachecontrol.exceptions import DrainRefused
from cachecontrol.postgres import drain_query, sql_files
from cachecontrol.postgres.drain_query import CarryRow, PrimaryState, WholeRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachecontrol.drain.connection import DrainConnection

Row = TypeVar("Row", bound=CarryRow)

_LOCK_EPOCH = sql_files.statement("epoch.lock")
_RENEW_EPOCH = sql_files.statement("epoch.renew")
_FORGET_SNAPSHOTS = sql_files.statement("epoch.forget_snapshots")


class Primary:
    """The primary database, over one connection that is opened when it is needed and stays open.

    Its methods raise psycopg.Error, and DrainRefused where drains must not run.
    """

    def __init__(self) -> None:
        self.timeout: float | None = None
        """Seconds that a statement of the drain that runs now may take; None before the first drain."""
        self._connection: DrainConnection | None = None

    def connection(self) -> DrainConnection:
        """Return the connection, with the limits of the drain that runs now. Open it if there is none."""
        if self._connection is None or self._connection.closed:
            self._connection = connection.connect()
        if self.timeout is not None:
            self._connection.limit(self.timeout)
        return self._connection

    def limit(self, seconds: float) -> None:
        """Let each statement of the next drain take this long at most, if the connection is open."""
        if self._connection is not None:
            self._connection.limit(seconds)

    @property
    def is_connected(self) -> bool:
        """Whether a connection is open, as far as this process knows."""
        return self._connection is not None and not self._connection.closed

    def changes_since(self, last: PrimaryState) -> PrimaryState:
        """Return the state of the primary, with the changes since the last drain of this connection."""
        row = self._ask(drain_query.CARRY_SQL, last.snapshot, CarryRow)
        return PrimaryState.of_carry(row, last.identity)

    def state(self, snapshot: str) -> PrimaryState:
        """Return the state of the primary, with the changes that ``snapshot`` does not see; with none if it is empty."""
        return PrimaryState.of_whole(self._ask(drain_query.WHOLE_SQL, snapshot, WholeRow))

    def new_position(self, number: int) -> str:
        """Return a position in the epoch of this number, after everything that was asked so far."""
        row: Any = self._execute(drain_query.NEW_POSITION_SQL).fetchone()
        return position_text(number, int(row[0]))

    @contextlib.contextmanager
    def locked_epoch(self) -> Iterator[str]:
        """Lock the epoch within a transaction, and give it. The transaction is committed unless the block raises an error."""
        with self.connection().transaction():
            row = self._execute(_LOCK_EPOCH).fetchone()
            yield epoch_text(*row) if row else ""

    def begin_epoch(self, number: int, random: str) -> None:
        """Begin an epoch, within the transaction of ``locked_epoch``."""
        self._execute(_RENEW_EPOCH, {"number": number, "random": random})
        self._execute(_FORGET_SNAPSHOTS)

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, query: str, snapshot: str, row_type: type[Row]) -> Row:
        """Return the only row of a query for the changes since ``snapshot``."""
        xmax, xip = drain_query.snapshot_bounds(snapshot)
        arguments = {"xmax": xmax, "xip": xip, "limit": conf.tags_per_drain}
        try:
            row = sql_files.row(self._execute(query, arguments), row_type)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise DrainRefused(
                f"database {conf.database!r} is a standby; drains run on the primary"
            ) from error
        if row is None:
            raise DrainRefused("cachecontrol_epoch has no row; run migrate")
        return row

    def _execute(self, query: str, arguments: dict[str, Any] | None = None) -> psycopg.Cursor[Any]:
        return self.connection().execute(query, arguments)
