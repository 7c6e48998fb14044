"""The mirror: what this process knows of the moves and the clock in Redis, and for how long that proves freshness.

Note [Why what a pull proves is as old as the clock was]. A pull proves that the moves which it returned are all that happened
before the time of the clock. Redis tells how old that time was when it replied. The process cannot know when that was, only that
it was after the pull was sent. So it counts from the time before the pull was sent, on its own monotonic clock: a process that
was stopped, a full socket or a slow Redis can only end the validity of the entries earlier.

Note [Why the machine's sleep counts]. CLOCK_MONOTONIC stands still while a machine is suspended, and its data ages meanwhile.
CLOCK_BOOTTIME does not, so it is used where the system has it.
"""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cachecontrol.conf import conf
from cachecontrol.redis.protocol import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cachecontrol.core.dependency import Dependency
    from cachecontrol.redis.protocol import Pull

now = functools.partial(time.clock_gettime, getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
"""Return the seconds of this machine's monotonic clock. See Note [Why the machine's sleep counts]."""
REMEMBERED_MOVES = 50_000
"""Tags whose last move is remembered, for entries that were read before it and are admitted after it."""
NEVER = float("-inf")


class Validity(NamedTuple):
    """What the mirror proves: no entry that it left in the store is staler than ``MAX_LAG``, until a moment."""

    until: float
    """Seconds of ``now``."""
    sequence: int
    """The last record of the log that the mirror has."""


class LastMove(NamedTuple):
    """The moves of a tag."""

    position: str
    """The furthest one."""
    sequence: int
    """The record of the last one."""


NOT_VALID = Validity(NEVER, 0)


@dataclass(slots=True)
class Mirror:
    """The moves since this process began to pull, or since it last lost track of them."""

    epoch: str = ""
    validity: Validity = NOT_VALID
    position: str = ""
    """The position of the last record: together with its sequence it identifies the record."""
    generation: int = 0
    """How often the process lost track."""
    floor: int = 0
    """``moves`` are complete since this record."""
    moves: OrderedDict[str, LastMove] = field(default_factory=OrderedDict)

    def advance(self, pull: Pull) -> None:
        """Take in the moves of a pull that continues the log. ``publish`` follows once the entries that they end are dropped."""
        self.position = pull.position
        for record in pull.records:
            for tag, _ in record.moves:
                before = self.moves.get(tag)
                # Drains may come in another order than that of their positions.
                position = max(record.position, before.position) if before else record.position
                self.moves[tag] = LastMove(position, record.sequence)
                self.moves.move_to_end(tag)
        while len(self.moves) > REMEMBERED_MOVES:
            _, move = self.moves.popitem(last=False)
            self.floor = move.sequence

    def restart(self, pull: Pull) -> None:
        """Begin anew at a pull, after the process lost track of the moves."""
        self.epoch, self.position, self.floor = pull.epoch, pull.position, pull.sequence

    def lose_track(self) -> None:
        """Forget all moves. Nothing is proven any more."""
        self.validity = NOT_VALID
        self.epoch, self.position = "", ""
        self.generation += 1
        self.moves.clear()

    def publish(self, pull: Pull, sent: float) -> None:
        """Publish what a pull proves that was sent at ``sent``, in seconds of ``now``.

        See Note [Why what a pull proves is as old as the clock was].
        """
        age = None if pull.time is None else (pull.now - pull.time) / MICROSECONDS
        is_young = age is not None and 0 <= age <= conf.max_lag
        self.validity = Validity(
            sent - age + conf.max_lag if age is not None and is_young else NEVER, pull.sequence
        )

    def shows_fresh(self, positions: Mapping[Dependency, str], sequence: int) -> bool:
        """Whether none of these tags moved past its position since ``sequence``, when Redis judged them to be fresh.

        Moves before ``sequence`` do not count: they were of columns that do not matter. Later ones count whatever their columns,
        since there are few. False if the mirror does not remember all moves since then.
        """
        if sequence < self.floor:
            return False
        found = ((self.moves.get(tag), position) for (tag, _), position in positions.items())
        return not any(
            move and move.sequence > sequence and move.position > position for move, position in found
        )
