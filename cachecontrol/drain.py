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
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar, cast

import psycopg
from django.db import connections, transaction

from cachecontrol import budget, history, stats, store, tags
from cachecontrol.breaker import Breaker
from cachecontrol.conf import conf
from cachecontrol.exceptions import DrainRefused, StoreDown
from cachecontrol.history import Found
from cachecontrol.position import epoch_text, position_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.abc import PQGen

    from cachecontrol.history import Moving
    from cachecontrol.store import Clock

T = TypeVar("T")

logger = logging.getLogger("cachecontrol")

ATTEMPTS = 5
FAILURES = (StoreDown, DrainRefused, psycopg.Error, TimeoutError)
"""How a drain may fail without any fault in the code."""
SILENCE = 2
"""How many times its ``statement_timeout`` a drain waits for an answer."""
PLANNED_ONCE = (
    "SET jit = off; SET plan_cache_mode = force_generic_plan;"
    " SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
)
"""Every drain looks up a few rows by index, however large the tables: planning that again would cost more than running it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drained:
    """What a drain did."""

    moved: int
    """Tags that Redis knew and that moved."""
    tags: int
    epoch: str
    renewed: str = ""
    """Why the epoch was renewed, if it was."""


class Drain:
    """Drains of one process: one runs at a time, and whoever comes meanwhile shares the next (as in group commit)."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._running = self._certifies = False
        self._started = self._finished = 0
        self._last: Drained | Exception = DrainRefused("no drain ran yet")
        self._cursor: psycopg.Cursor[Any] | None = None
        self._found: Found | None = None
        """What the last drain on this connection found, and carried."""
        self._seconds: float | None = None
        """How long the drain that runs now may take; None before the first."""
        self._timeout = 0
        """Milliseconds that a statement on this connection may take; 0 until they are set."""
        self._has_writers = False
        """Whether this process has drained for a writer."""

    def run(self, *, certify: bool = True, timeout: float | None = None) -> Drained:
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
            self._last = self._drain(certify=certify)
            if certify and self._has_writers and self._cursor is not None:
                self._limit(self._cursor, conf.wait)  # so that the next writer's drain need not do that
        except FAILURES as error:
            self._last = error
            self._disconnect()
        except BaseException as error:  # an interrupt, or the time limit of a task: of this thread alone
            self._last = DrainRefused(f"the drain was interrupted: {error!r}")
            self._disconnect()
            raise
        finally:
            with self._turn:
                self._running, self._finished = False, self._started
                self._turn.notify_all()
        return self._shared()

    def _shared(self) -> Drained:
        if isinstance(self._last, Exception):
            raise self._last
        return self._last

    def _drain(self, *, certify: bool) -> Drained:
        """Carry, or drain whole. A kept connection that the server ended meanwhile is opened again, once."""
        kept = self._cursor
        try:
            return (None if certify else self._carry()) or self._whole()
        except psycopg.OperationalError:
            if kept is None or not kept.connection.closed:
                raise
        self._disconnect()
        return self._whole()

    def _carry(self) -> Drained | None:
        """Move what was committed since this process drained last. None if only a whole drain can tell what that is."""
        self._connected()  # which forgets what a connection before found: its backend's number may come again
        if (last := self._found) is None:
            return None
        found = _fit(Found.of(self._ask(history.CARRY_SQL, last.snapshot), identity=last.identity))
        is_same = found.backend == last.backend and found.epoch == last.epoch
        is_all = len(found.moving) <= min(store.TAGS_PER_MOVE, conf.tags_per_drain)
        if not is_same or not is_all or last.rank < found.pruned_rank:
            return None
        moved = self._move(found, found.position, found.moving, since_rank=last.rank)
        if moved is None:
            return None
        self._found = found
        return Drained(moved=moved, tags=len(found.moving), epoch=found.epoch)

    def _whole(self) -> Drained:
        renewed = ""
        for _ in range(ATTEMPTS):
            clock = store.clock()
            found = self._look(clock)
            if broken := history.broken(clock, found):
                renewed = broken
                self._renew(clock, found, broken)
                continue
            drained = self._certify(clock, found)
            if drained is not None:
                self._found = found
                return Drained(moved=drained, tags=len(found.moving), epoch=found.epoch, renewed=renewed)
        raise DrainRefused(f"the epoch changed {ATTEMPTS} times during one drain")

    def _look(self, clock: Clock) -> Found:
        return _fit(self._all(clock.snapshot if history.is_readable(clock) else ""))

    def _all(self, since: str) -> Found:
        return Found.of(self._ask(history.DRAIN_SQL, since))

    def _ask(self, statement: str, since: str) -> Any:
        xmax, xip = history.seen(since)
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

    def _certify(self, clock: Clock, found: Found) -> int | None:
        position, moving = found.position, found.moving
        if altered := history.altered(clock, found):
            stats.count("drain.altered")
            moving = [*moving, *altered]
            (wal,) = self._execute("SELECT pg_logical_emit_message(false, 'larder', '') - '0/0'::pg_lsn", {})
            position = position_text(found.number, int(wal))
        certified = (clock.now, json.dumps(found.tables))
        return self._move(found, position, moving, since_rank=int(clock.rank), certified=certified)

    def _move(
        self,
        found: Found,
        position: str,
        moving: list[Moving],
        *,
        since_rank: int,
        certified: Sequence[int | str] = (),
    ) -> int | None:
        return store.move(
            found.epoch,
            position,
            moving,
            since_rank=since_rank,
            snapshot=found.snapshot,
            rank=found.rank,
            certified=certified,
        )

    def _renew(self, clock: Clock, found: Found, why: str) -> None:
        """Begin a new epoch under the lock of its row, unless another drain did meanwhile.

        Redis is told before the commit, so that whoever waited for the lock finds both in step. This transaction writes no
        changes, so its own snapshot hides none. If the commit fails they differ, and the next drain begins another epoch.
        """
        cursor = self._connected()
        with cursor.connection.transaction():
            row = cursor.execute("SELECT number, random FROM cachecontrol_epoch FOR UPDATE").fetchone()
            if row is None or epoch_text(*row) != found.epoch:
                return
            number = max(found.number + 1, history.epoch_number(clock.epoch) + 1, int(time.time()))
            cursor.execute(
                "UPDATE cachecontrol_epoch SET number = %s, random = %s, pruned_rank = 0",
                [number, secrets.token_hex(8)],
            )
            # Snapshots of a history that broke say nothing of this one, whose xids may be lower.
            cursor.execute("DELETE FROM cachecontrol_snapshot")
            fresh = self._all("")
            if not store.renew(clock.epoch, history.first_clock(fresh, clock.now)):
                raise psycopg.Rollback
        stats.count("epoch.renewed")
        logger.warning("A new cache epoch begins: %s", why)

    def _execute(self, statement: str, arguments: dict[str, Any]) -> Any:
        return self._connected().execute(statement, arguments).fetchone()

    def _connected(self) -> psycopg.Cursor[Any]:
        if self._cursor is None or self._cursor.connection.closed:
            self._found, self._cursor, self._timeout = None, _connect().cursor(), 0
        if self._seconds is not None:
            raw = cast("_Connection", self._cursor.connection)
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


def _fit(found: Found) -> Found:
    if found.is_in_transaction:
        raise DrainRefused("a drain must not run inside a transaction")
    return found


class _Connection(psycopg.Connection[Any]):
    """A connection that gives up on a server which fell silent: ``statement_timeout`` is kept by the server alone."""

    deadline: float | None = None
    """The moment, of the monotonic clock, until when an answer is waited for."""

    def wait(self, gen: PQGen[T], *_: Any, **__: Any) -> T:
        timeout = self.deadline and max(0.01, self.deadline - time.monotonic())
        return super().wait(gen, timeout=timeout)


def _connect() -> _Connection:
    parameters = connections[conf.database].get_connection_params()
    for name in ("cursor_factory", "context", "prepare_threshold"):
        parameters.pop(name, None)
    seconds = max(1, round(conf.drain_timeout))
    parameters |= {
        "application_name": "larder drain",
        "connect_timeout": seconds,
        "tcp_user_timeout": seconds * 10_000,
    }
    connection = _Connection.connect(**parameters, autocommit=True, prepare_threshold=1)
    connection.deadline = time.monotonic() + seconds
    connection.execute(PLANNED_ONCE)
    return connection


drain = Drain()
"""The drains of this process."""
breaker = Breaker(
    failed="A drain failed (%s); until one succeeds, changes wait for the drain process",
    recovered="Drains succeed again",
)
"""Whether the last drain that a writer or reader of this process asked for succeeded."""
atexit.register(drain.close)
os.register_at_fork(after_in_child=drain.forget)


def announce(moving: list[str]) -> None:
    """Write changes that no trigger saw, one a table, and carry them once they are committed."""
    rows: list[Any] = [
        [relation, [*named]]
        for relation, named in groupby(sorted(moving, key=tags.relation_of), tags.relation_of)
    ]
    with connections[conf.database].cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cachecontrol_change (operation, relation, tags) VALUES ('INVALIDATE', %s, %s)", rows
        )
    transaction.on_commit(catch_up, using=conf.database)


def catch_up(*, certify: bool = True) -> bool:
    """Drain, and return whether it went well. A drain's error is counted and logged, and never reaches a writer.

    After a failure one caller in each ``BREAKER_SECONDS`` tries again, so that not every writer waits for a stuck drain.
    """
    return breaker.lets_ask() and _drained(certify=certify)


def catch_up_in_time() -> bool:
    """Drain in another thread, wait for it while the budget lasts, and return whether it went well by then."""
    if budget.left() <= 0 or not breaker.lets_ask():
        return False
    work = _background.start()
    if work is None:
        return False
    with budget.spending() as seconds:
        work.join(seconds)
    if work.is_alive() and work.age >= conf.wait:
        breaker.failed(TimeoutError(f"it took more than {conf.wait:.2f} s"))
    return work.went_well


def _drained(*, certify: bool) -> bool:
    try:
        drain.run(certify=certify)
    except FAILURES as error:
        stats.count("drain.failed")
        logger.debug("A drain failed: %s", error)
        if not isinstance(error, StoreDown):  # Redis has a breaker of its own
            breaker.failed(error)
        return False
    breaker.answered()
    return True


class _Work(threading.Thread):
    """A whole drain that readers share. It continues after they have stopped waiting, for the benefit of later readers."""

    def __init__(self) -> None:
        super().__init__(name="cachecontrol-drain", daemon=True)
        self.went_well = False
        self._begun = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it began: what a reader could wait may be much less."""
        return time.monotonic() - self._begun

    def run(self) -> None:
        self.went_well = _drained(certify=True)


class _Background:
    """The whole drain that the readers of this process share."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: _Work | None = None

    def start(self) -> _Work | None:
        """Return the drain that runs already, or start one. None if no thread can be started."""
        with self._lock:
            if self._work is None or not self._work.is_alive():
                self._work = _Work()
                try:
                    self._work.start()
                except RuntimeError:  # too many threads, or the interpreter is shutting down
                    self._work = None
            return self._work

    def forget(self) -> None:
        """Begin anew in a forked child, in which the parent's threads do not run."""
        self.__init__()  # type: ignore[misc]


_background = _Background()
os.register_at_fork(after_in_child=_background.forget)
