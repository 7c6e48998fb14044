"""The drain: carries changes from PostgreSQL to the tags in Redis, and renews the epoch when history broke.

Note [Why a drain is right whenever it runs]. The steps, each idempotent:
1. One call to Redis: the clock's snapshot W, and Redis' time t0.
2. One statement to the primary, on a connection of its own outside any transaction: the tags of the changes that W did not
   see and the statement's snapshot does, that snapshot, and a position taken after it.
3. One call to Redis: every tag moves to that position, unless the clock's snapshot sees its change by now; the clock takes
   the new snapshot and the time t0, which lies before the snapshot, so that "everything committed before t0 has moved" holds
   however long the drain paused in between.
A drain that dies leaves W where it was, and the next one does the same again.

Note [Why a writer's drain certifies nothing]. It only has to carry its own commit. So it leaves out step 1 and asks for the
changes since the last drain of its process: a W that is too old costs nothing, as step 3 leaves out what was moved since. It
looks neither at the catalog nor at the identity of the server, which cannot change while the backend lives that told it. And it
leaves the clock's time as it is: "nothing before this time is missing" stays the word of whole drains, the drain process' and
those of readers who find the clock old. Where anything does not fit, a whole drain follows.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psycopg

from cachecontrol.conf import conf
from cachecontrol.core.positions import epoch_text, position_text
from cachecontrol.drain import connection
from cachecontrol.exceptions import DrainRefused, StoreDown
from cachecontrol.postgres import clock_check, drain_query
from cachecontrol.postgres.drain_query import PrimaryState
from cachecontrol.redis import keys, protocol
from cachecontrol.redis.protocol import Advance
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.redis.protocol import Clock


logger = logging.getLogger("cachecontrol")


ATTEMPTS = 5
FAILURES = (StoreDown, DrainRefused, psycopg.Error, TimeoutError)
"""How a drain may fail without any fault in the code."""
SILENCE = 2
"""How many times its ``statement_timeout`` a drain waits for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """What a drain did."""

    moved: int
    """Tags that Redis knew and that moved."""
    tags: int
    epoch: str
    renewed: str = ""
    """Why the epoch was renewed, if it was."""


class DrainRunner:
    """Drains of one process: one runs at a time, and whoever comes meanwhile shares the next (as in group commit)."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._running = self._certifies = False
        self._started = self._finished = 0
        self._outcome: DrainResult | Exception = DrainRefused("no drain ran yet")
        self._cursor: psycopg.Cursor[Any] | None = None
        self._last_state: PrimaryState | None = None
        """The state of the primary at the last drain on this connection."""
        self._seconds: float | None = None
        """How long the drain that runs now may take; None before the first."""
        self._timeout = 0
        """Milliseconds that a statement on this connection may take; 0 until they are set."""
        self._has_writers = False
        """Whether this process has drained for a writer."""

    def run(self, *, certify: bool = True, timeout: float | None = None) -> DrainResult:
        """Drain everything that was committed before this call, and with ``certify`` let the clock say so.

        Raises DrainRefused, StoreDown, psycopg.Error or TimeoutError; nothing is lost then, the next drain does it.
        """
        seconds = timeout or (conf.drain_timeout if certify else conf.wait)
        self._has_writers = self._has_writers or not certify
        deadline = time.monotonic() + seconds
        with self._turn:
            ticket = self._started + 1
            self._certifies = self._certifies or certify
            while self._running and self._finished < ticket:
                if not self._turn.wait(deadline - time.monotonic()):
                    raise TimeoutError("another drain of this process did not end in time")
            if self._finished >= ticket:
                return self._shared()
            self._running, self._started, self._seconds = True, self._started + 1, seconds
            certify, self._certifies = self._certifies, False
        try:
            self._outcome = self._drain(certify=certify)
            if certify and self._has_writers and self._cursor is not None:
                self._limit(self._cursor, conf.wait)  # so that the next writer's drain need not do that
        except FAILURES as error:
            self._outcome = error
            self._disconnect()
        except BaseException as error:  # an interrupt, or the time limit of a task: of this thread alone
            self._outcome = DrainRefused(f"the drain was interrupted: {error!r}")
            self._disconnect()
            raise
        finally:
            with self._turn:
                self._running, self._finished = False, self._started
                self._turn.notify_all()
        return self._shared()

    def _shared(self) -> DrainResult:
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def _drain(self, *, certify: bool) -> DrainResult:
        """Carry, or drain whole. A connection that the server ended since the last drain is opened again, once."""
        cursor = self._cursor
        try:
            return (None if certify else self._carry()) or self._drain_whole()
        except psycopg.OperationalError:
            if cursor is None or not cursor.connection.closed:
                raise
        self._disconnect()
        return self._drain_whole()

    def _carry(self) -> DrainResult | None:
        """Move the tags of the changes since the last drain of this process. None if only a whole drain can tell which."""
        self._connected()  # forgets the state of an earlier connection: the number of its backend may come again
        if (last := self._last_state) is None:
            return None
        row = self._ask(drain_query.CARRY_SQL, last.snapshot)
        primary = _outside_transaction(PrimaryState.of(row, identity=last.identity))
        is_same = primary.backend == last.backend and primary.epoch == last.epoch
        is_all = len(primary.moves) <= min(keys.TAGS_PER_CALL, conf.tags_per_drain)
        if not is_same or not is_all or last.rank < primary.pruned_rank:
            return None
        advance = Advance(since_rank=last.rank, snapshot=primary.snapshot, rank=primary.rank)
        moved = protocol.move(primary.epoch, primary.position, primary.moves, advance)
        if moved is None:
            return None
        self._last_state = primary
        return DrainResult(moved=moved, tags=len(primary.moves), epoch=primary.epoch)

    def _drain_whole(self) -> DrainResult:
        renewed = ""
        for _ in range(ATTEMPTS):
            clock = protocol.clock()
            since = clock.snapshot if clock_check.is_readable(clock) else ""
            primary = _outside_transaction(self._primary_state(since))
            if reason := clock_check.reason_to_renew(clock, primary):
                renewed = reason
                self._renew(clock, primary, reason)
                continue
            moved = self._certify(clock, primary)
            if moved is not None:
                self._last_state = primary
                return DrainResult(moved=moved, tags=len(primary.moves), epoch=primary.epoch, renewed=renewed)
        raise DrainRefused(f"the epoch changed {ATTEMPTS} times during one drain")

    def _primary_state(self, since: str) -> PrimaryState:
        return PrimaryState.of(self._ask(drain_query.DRAIN_SQL, since))

    def _ask(self, statement: str, since: str) -> Any:
        xmax, xip = drain_query.snapshot_bounds(since)
        arguments = {"xmax": xmax, "xip": xip, "limit": conf.tags_per_drain}
        try:
            row = self._execute(statement, arguments)
        except psycopg.errors.ObjectNotInPrerequisiteState as error:
            raise DrainRefused(
                f"database {conf.database!r} is a standby; drains run on the primary"
            ) from error
        if row is None:
            raise DrainRefused("cachecontrol_epoch has no row; run migrate")
        return row

    def _certify(self, clock: Clock, primary: PrimaryState) -> int | None:
        """Move the tags, and let the clock say that no change before its ``now`` is missing."""
        position, moves = primary.position, primary.moves
        if altered := clock_check.moves_of_altered_tables(clock, primary):
            recording.count("drain.altered")
            moves = [*moves, *altered]
            (wal,) = self._execute("SELECT pg_logical_emit_message(false, 'larder', '') - '0/0'::pg_lsn", {})
            position = position_text(primary.number, int(wal))
        advance = Advance(
            since_rank=int(clock.rank),
            snapshot=primary.snapshot,
            rank=primary.rank,
            begun=clock.now,
            tables=json.dumps(primary.tables),
        )
        return protocol.move(primary.epoch, position, moves, advance)

    def _renew(self, clock: Clock, primary: PrimaryState, reason: str) -> None:
        """Begin a new epoch under the lock of its row, unless another drain did meanwhile.

        Redis is told before the commit, so that whoever waited for the lock finds both in step. This transaction writes no
        changes, so its own snapshot hides none. If the commit fails they differ, and the next drain begins another epoch.
        """
        cursor = self._connected()
        with cursor.connection.transaction():
            row = cursor.execute("SELECT number, random FROM cachecontrol_epoch FOR UPDATE").fetchone()
            if row is None or epoch_text(*row) != primary.epoch:
                return
            number = max(primary.number + 1, clock_check.epoch_number(clock.epoch) + 1, int(time.time()))
            cursor.execute(
                "UPDATE cachecontrol_epoch SET number = %s, random = %s, pruned_rank = 0",
                [number, secrets.token_hex(8)],
            )
            # Snapshots of a history that broke say nothing of this one, whose xids may be lower.
            cursor.execute("DELETE FROM cachecontrol_snapshot")
            fields = clock_check.initial_fields(self._primary_state(""), clock.now)
            if not protocol.renew(clock.epoch, fields):
                raise psycopg.Rollback
        recording.count("epoch.renewed")
        logger.warning("A new cache epoch begins: %s", reason)

    def _execute(self, statement: str, arguments: dict[str, Any]) -> Any:
        return self._connected().execute(statement, arguments).fetchone()

    def _connected(self) -> psycopg.Cursor[Any]:
        if self._cursor is None or self._cursor.connection.closed:
            self._last_state, self._cursor, self._timeout = None, connection.connect().cursor(), 0
        if self._seconds is not None:
            raw = cast("connection.DrainConnection", self._cursor.connection)
            raw.deadline = time.monotonic() + SILENCE * self._seconds
            self._limit(self._cursor, self._seconds)
        return self._cursor

    def _limit(self, cursor: psycopg.Cursor[Any], seconds: float) -> None:
        """Let each statement take so long at most."""
        timeout = max(1, round(seconds * 1000))  # PostgreSQL takes 0 for no limit
        if self._timeout != timeout:
            cursor.execute(f"SET statement_timeout = {timeout}")
            self._timeout = timeout

    def _disconnect(self) -> None:
        if self._cursor is not None:
            self._cursor.connection.close()
            self._cursor = None

    def forget(self) -> None:
        """Begin anew in a forked child, which shares neither the parent's connection nor its turn."""
        self.__init__()  # type: ignore[misc]

    def close(self) -> None:
        """Close the connection; the next drain opens another."""
        with self._turn:
            self._disconnect()


def _outside_transaction(primary: PrimaryState) -> PrimaryState:
    if primary.is_in_transaction:
        raise DrainRefused("a drain must not run inside a transaction")
    return primary


runner = DrainRunner()
"""The drains of this process."""
atexit.register(runner.close)
os.register_at_fork(after_in_child=runner.forget)
