"""Drains, one after the other: each carries changes from PostgreSQL to the tags in Redis, or renews the epoch when history broke.

Note [Why a drain is right whenever it runs]. The steps, each idempotent:
1. One call to Redis: the clock's snapshot W, and Redis' time t0.
2. One statement to the primary, on a connection of its own outside any transaction: the tags of the changes that W did not
   see and the statement's snapshot does, that snapshot, and a position taken after it.
3. One call to Redis: every tag moves to that position, unless the clock's snapshot sees its change by now; the clock takes
   the new snapshot and the time t0, which lies before the snapshot, so that "everything committed before t0 has moved" holds
   however long the drain paused in between.
A drain that dies leaves W where it was, and the next one does the same again.

Note [Why a short drain suffices]. A writer's drain only has to carry its own commit, and the drain process drains so often that
almost every drain finds little. So a short drain leaves out step 1 and asks for the changes since the last drain of its
connection: a W that is too old costs nothing, as step 3 leaves out what was moved since. It asks neither for the identity of the
server, which cannot change while the same server process answers, nor for the state of the tables, which takes longer the more
tables there are. If anything does not fit, a whole drain follows.

Note [Why a short drain may certify]. Only triggers write to the change log, so a drain may certify a time only if it knows that
all triggers were in place until then. A short drain knows it if its snapshot equals the one with which its connection last looked
at the tables: no transaction has ended since, so no row of the catalog has changed. (VACUUM writes some columns without a
transaction, none of which the fingerprint of a table contains.) Redis must not have lost the moves of that look either, which it
would have lost together with the time that the look certified, so a clock behind that time does not advance.

The time that a short drain certifies is Redis' time at the end of the drain before, which lies before its own statement. If
it may not certify, it moves the tags and leaves the clock's time as it is. A whole drain looks at the tables again when
``Drainer.is_look_due`` says so, and so do readers who find the clock old. While a table lacks triggers, only whole drains
certify, which move that table each time: it may have a foreign table as a partition, and a write on another server ends no
transaction here.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg

from cachecontrol.conf import conf
from cachecontrol.drain.connection import LastDrain
from cachecontrol.drain.primary import Primary
from cachecontrol.exceptions import DrainRefused
from cachecontrol.local.tier import tier
from cachecontrol.postgres import clock_check
from cachecontrol.redis import keys, protocol
from cachecontrol.redis.protocol import Advance
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.postgres.drain_query import PrimaryState
    from cachecontrol.redis.protocol import Clock, Moved


logger = logging.getLogger("cachecontrol")


LONGEST_WITHOUT_LOOK = 1.0
"""Seconds after which a process that drains all the time looks at the tables in any case."""
LOOK_SHARE = 20
"""A look at the tables is followed by so many times its own duration without one, while transactions end all the time."""
ATTEMPTS = 5
"""How many times a whole drain begins again if the epoch changes meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainResult:
    """The effects of a drain."""

    moved: int
    """Tags that Redis knew and that moved."""
    tags: int
    """Tags of the changes that the drain read."""
    epoch: str
    renewed: str = ""
    """Why the epoch was renewed, if it was."""
    has_certified: bool = False
    """Whether the clock tells by now that no change before this drain, or the drain before it, is missing."""


class Drainer:
    """Drains one after the other, over one connection to the primary. For one thread at a time."""

    def __init__(self) -> None:
        self.primary = Primary()
        self._has_certified = False
        """Whether the last drain has certified."""
        self._looked, self._look_seconds = -math.inf, 0.0
        """When the last look at the tables ended (monotonic seconds), and how long that drain took."""

    def drain(self, *, certify: bool, seconds: float) -> DrainResult:
        """Drain, with ``certify`` as a whole drain. Each statement may take ``seconds``.

        A connection that the server ended since the last drain is opened again, once. Raises DrainRefused, StoreDown and
        psycopg.Error.
        """
        self.primary.timeout, was_connected = seconds, self.primary.is_connected
        self._has_certified = False
        try:
            result = (None if certify else self._drain_shortly()) or self._drain_whole()
        except psycopg.OperationalError:
            if not was_connected or self.primary.is_connected:
                raise
            self.primary.close()
            result = self._drain_whole()
        self._has_certified = result.has_certified
        return result

    def is_look_due(self) -> bool:
        """Return whether the next drain of a process that drains all the time should be a whole one.

        If short drains certify, a look at the tables is due after ``LONGEST_WITHOUT_LOOK``: whole drains also repair what other
        programs did to the clock. If they do not, looks take one part in ``LOOK_SHARE`` of the time, but the clock must
        not become old.
        """
        age = time.monotonic() - self._looked
        pause = min(max(conf.drain_interval, LOOK_SHARE * self._look_seconds), conf.max_lag / 4)
        return age >= LONGEST_WITHOUT_LOOK or (age >= pause and not self._has_certified)

    def _drain_shortly(self) -> DrainResult | None:
        """Move the tags of the changes since the last drain of this connection. None if only a whole drain can tell which.

        See Note [Why a short drain suffices] and Note [Why a short drain may certify].
        """
        connection = self.primary.connection()
        if (last := connection.last_drain) is None:
            return None
        state = _outside_transaction(self.primary.changes_since(last.state))
        if not _continues(state, last.state):
            return None
        advance = Advance(
            since_rank=last.state.rank,
            since_time=last.certified,
            snapshot=state.snapshot,
            rank=state.rank,
            begun=last.now if state.snapshot == last.looked_at else None,
        )
        moved = protocol.move(state.epoch, state.position, state.moves, advance)
        if moved is None:
            return None
        tier.require(state.epoch, moved.sequence)
        connection.last_drain = replace(last, state=state, now=moved.now)
        return DrainResult(
            moved=moved.tags,
            tags=len(state.moves),
            epoch=state.epoch,
            has_certified=advance.begun is not None and moved.has_advanced,
        )

    def _drain_whole(self) -> DrainResult:
        """Carry all changes that the clock has not seen, and certify; begin a new epoch before if history broke.

        See Note [Why a drain is right whenever it runs].
        """
        renewed, begun = "", time.monotonic()
        for _ in range(ATTEMPTS):
            clock = protocol.clock()
            since = clock.snapshot if clock_check.is_readable(clock) else ""
            state = _outside_transaction(self.primary.state(since))
            if reason := clock_check.reason_to_renew(clock, state):
                renewed = reason
                self._renew(clock, state, reason)
                continue
            moved = self.certify(clock, state)
            if moved is not None:
                looked_at = state.snapshot if state.is_captured else ""
                self.primary.connection().last_drain = LastDrain(state, looked_at, clock.now, moved.now)
                self._looked = time.monotonic()
                self._look_seconds = self._looked - begun
                return DrainResult(
                    moved=moved.tags,
                    tags=len(state.moves),
                    epoch=state.epoch,
                    renewed=renewed,
                    has_certified=True,
                )
        raise DrainRefused(f"the epoch changed {ATTEMPTS} times during one drain")

    def certify(self, clock: Clock, state: PrimaryState) -> Moved | None:
        """Move the tags, and let the clock say that no change before its ``now`` is missing.

        Return what moved; None if the drain has to begin again.
        """
        position, moves = state.position, state.moves
        if altered := clock_check.moves_of_altered_tables(clock, state):
            recording.count("drain.altered")
            moves = [*moves, *altered]
            position = self.primary.new_position(state.number)
        advance = Advance(
            since_rank=int(clock.rank),
            since_time=int(clock.time),
            snapshot=state.snapshot,
            rank=state.rank,
            begun=clock.now,
            tables=json.dumps(state.tables),
        )
        moved = protocol.move(state.epoch, position, moves, advance)
        if moved is not None:
            tier.require(state.epoch, moved.sequence)
        return moved

    def _renew(self, clock: Clock, state: PrimaryState, reason: str) -> None:
        """Begin a new epoch under the lock of its row, unless another drain has done so meanwhile.

        Redis is told before the commit, so that a drain which waited for the lock finds both in step. This transaction writes no
        changes, so its own snapshot hides none. If the commit fails they differ, and the next drain begins another epoch.
        """
        with self.primary.locked_epoch() as epoch:
            if epoch != state.epoch:
                return
            number = max(state.number + 1, clock_check.epoch_number(clock.epoch) + 1, int(time.time()))
            self.primary.begin_epoch(number, secrets.token_hex(8))
            fields = clock_check.initial_fields(self.primary.state(""), clock.now)
            has_begun = protocol.renew(clock.epoch, fields)
            if not has_begun:
                raise psycopg.Rollback
        if has_begun:
            recording.count("epoch.renewed")
            logger.warning("A new cache epoch begins: %s", reason)


def _continues(state: PrimaryState, last: PrimaryState) -> bool:
    """Return whether a state shows all changes since the last drain, of the same history, and one call can move them."""
    is_same = state.backend == last.backend and state.epoch == last.epoch
    has_all = len(state.moves) <= min(keys.TAGS_PER_CALL, conf.tags_per_drain)
    return is_same and has_all and last.rank >= state.pruned_rank


def _outside_transaction(state: PrimaryState) -> PrimaryState:
    """Return the state. Raises DrainRefused if it was read in a transaction that has written."""
    if state.is_in_transaction:
        raise DrainRefused("a drain must not run inside a transaction")
    return state
