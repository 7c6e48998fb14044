"""The tier: it finds entries that are provably fresh without asking Redis, and admits those that Redis judged to be fresh.

Note [Why the validity is taken before the entry]. The puller drops the entries that moves have ended, and publishes how long the
others are valid after that. So an entry that is found after a validity was taken is one of the others. In the other order, an
entry that was found before it was dropped would be judged by a validity that no longer counts for it. In the same way, what this
process has moved itself is taken before both.

Note [Why only some readers ask the local tier]. The mirror may be some milliseconds behind Redis. This is within ``MAX_LAG``,
but a reader who has just written could miss the change. So the tier answers only where code has said that the reader has not
written: for visitors without a session, and within ``local_reads``. What this process wrote itself, it waits for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cachecontrol.conf import conf
from cachecontrol.core.entry import Head, LocalEntry
from cachecontrol.local.mirror import Mirror, now
from cachecontrol.local.store import ENTRY_BYTES, TAG_BYTES, Store
from cachecontrol.redis.protocol import MICROSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cachecontrol.redis.protocol import LogRecord, Lookup, Pull

LARGEST_SHARE = 8
"""An entry may take one part in so many of the memory."""

_is_allowed: ContextVar[bool] = ContextVar("cachecontrol_local_reads", default=False)


class Ticket(NamedTuple):
    """What the tier knew before a read was sent to Redis."""

    sent: float
    generation: int


@dataclass(slots=True)
class Tier:
    """The store, and the mirror that tells for how long its entries are valid."""

    store: Store = field(default_factory=Store)
    mirror: Mirror = field(default_factory=Mirror)
    required: int = 0
    """The record of this process' own last move since the mirror began: the tier does not answer before the mirror has it.

    A tier that is emptied requires nothing: all that it admits afterwards is read from Redis after that move.
    """
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Held by those who change the store or the mirror."""

    def find(self, key: str) -> LocalEntry | None:
        """Return a provably fresh entry, or None. See Note [Why the validity is taken before the entry]."""
        required, (until, sequence) = self.required, self.mirror.validity
        entry = self.store.find(key)
        if entry is None or sequence < required or now() >= min(until, entry.deadline):
            return None
        self.store.touch(key)
        return entry

    def ticket(self) -> Ticket:
        """Return what the tier knows before a read is sent to Redis; ``offer`` needs it."""
        return Ticket(now(), self.mirror.generation)

    def offer(self, key: str, head: Head, lookup: Lookup, value: Any, ticket: Ticket) -> None:
        """Admit an entry that Redis judged to be fresh, if its key was asked for before and nothing has ended it since.

        Args:
            key: key of the entry.
            head: what ``lookup`` has of the entry, unpacked.
            lookup: the reply of Redis.
            value: what the local entry holds.
            ticket: of the time before the read was sent.
        """
        assert lookup.entry is not None
        existing = self.store.find(key)
        if existing is not None and existing.version == lookup.entry.stored:
            return
        size = ENTRY_BYTES + TAG_BYTES * len(head.tags) + len(lookup.entry.head) + len(lookup.entry.body)
        with self.lock:
            if not self.store.was_asked(key) or size > conf.local_bytes // LARGEST_SHARE:
                return
            if not self._is_current(head, lookup, ticket):
                return
            entry = LocalEntry(
                key=key,
                head=head,
                value=value,
                version=lookup.entry.stored,
                stored=ticket.sent - lookup.age,
                deadline=ticket.sent + (head.expires - lookup.now) / MICROSECONDS,
                size=size,
            )
            self.store.add(entry, conf.local_bytes)

    def keep(self, entry: LocalEntry, ready: Any, size: int) -> None:
        """Keep what a front end prepared from an entry, which takes ``size`` bytes."""
        with self.lock:
            entry.ready = ready
            self.store.grow(entry, size, conf.local_bytes)

    def require(self, epoch: str, sequence: int) -> None:
        """Do not answer before the mirror has this record of this epoch's log: this process itself has moved up to there."""
        with self.lock:
            if epoch == self.mirror.epoch:
                self.required = max(self.required, sequence)
            else:  # one of the two epochs is over
                self._forget()

    def take(self, pull: Pull, sent: float) -> None:
        """Take in a pull that was sent at ``sent``: drop what its moves have ended, then publish what it proves."""
        with self.lock:
            if pull.continues and pull.epoch == self.mirror.epoch:
                for record in pull.records:
                    self.store.move(record.moves, record.position)
                self.mirror.advance(pull)
            else:
                self._forget()
                self.mirror.restart(pull)
            self.mirror.publish(pull, sent)

    def drop(self, records: Iterable[LogRecord]) -> None:
        """Drop what these moves have ended, without waiting for the pull that proves when they were."""
        with self.lock:
            for record in records:
                self.store.move(record.moves, record.position)

    def lose_track(self) -> None:
        """Drop all entries: the process cannot know any more what has moved."""
        with self.lock:
            self._forget()

    def _forget(self) -> None:
        self.mirror.lose_track()
        self.store.clear()
        self.required = 0

    def _is_current(self, head: Head, lookup: Lookup, ticket: Ticket) -> bool:
        """Whether the mirror has followed the log since before the read, and no tag of the entry moved meanwhile."""
        mirror = self.mirror
        is_same_history = ticket.generation == mirror.generation and head.epoch == mirror.epoch
        return is_same_history and mirror.shows_fresh(head.tags, lookup.sequence)


tier = Tier()
"""The tier of this process."""


def _renew_after_fork() -> None:
    """Begin empty in a forked child: no thread pulls there, and none releases a lock that a thread of the parent held."""
    tier.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_renew_after_fork)


def is_allowed() -> bool:
    """Whether the reader of this context may be answered by the local tier."""
    return _is_allowed.get() and conf.local_bytes > 0


@contextlib.contextmanager
def local_reads(is_allowed: bool = True) -> Iterator[None]:
    """Let the local tier answer cached reads within this block, for a reader who has not written just before.

    See Note [Why only some readers ask the local tier]. An answer may then be some milliseconds behind what another process has
    committed, and never more than ``MAX_LAG``. Requests of visitors without a session read like this by themselves. Without
    effect if ``LOCAL_BYTES`` is 0.

    Args:
        is_allowed: False for a block whose reads ask Redis.

    Example::

        with local_reads():
            brands = list(Brand.objects.cached())
    """
    token = _is_allowed.set(is_allowed)
    try:
        yield
    finally:
        _is_allowed.reset(token)
