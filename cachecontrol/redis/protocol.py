"""The protocol in Redis: read, fill, move, pull, clock, renew, release, extend. Each is one script and one round trip a call.

``keys`` describes what the scripts read and write.
"""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from cachecontrol.conf import conf
from cachecontrol.core.dependency import ALL
from cachecontrol.core.entry import Entry
from cachecontrol.exceptions import StoreFull
from cachecontrol.reasons import LeaseState, Reason, Verdict
from cachecontrol.redis import keys, redis_client
from cachecontrol.redis.script import Script

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cachecontrol.core.entry import Head

MICROSECONDS = 1e6
MOST_AWAITED = 100
"""Records that a wait for moves returns at most."""
TEXT = "latin-1"
"""Turns any bytes into text and back: another program may have written the fields of the clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """The reply to a read: what Redis says of an entry and of its lease."""

    verdict: Verdict
    reason: Reason | None
    """Why the entry is not fresh; None if it is."""
    lease: LeaseState
    now: int
    """Microseconds of Redis' clock."""
    epoch: str
    """The clock's epoch; empty if the clock is gone."""
    position: str
    """The clock's position; empty if the clock is gone."""
    sequence: int
    """The last record of the log when the entry was judged."""
    entry: Entry | None
    """The entry, or the answer of a fill that could not be stored."""

    @classmethod
    def of_reply(cls, reply: list[Any]) -> Self:
        """Return the lookup that a reply of the read script describes."""
        verdict, reason, lease, now, epoch, position, sequence, *value = reply
        return cls(
            verdict=Verdict(verdict.decode()),
            reason=Reason(reason.decode()) if reason else None,  # type: ignore[call-arg]  # looks a member up
            lease=LeaseState(lease.decode()),
            now=int(now),
            epoch=epoch.decode(TEXT),
            position=position.decode(TEXT),
            sequence=int(sequence),
            entry=Entry(head=value[0], body=value[1], stored=int(value[2])) if value else None,
        )

    @property
    def age(self) -> float:
        """Seconds since the entry was stored; 0 without an entry."""
        return max(0, self.now - self.entry.stored) / MICROSECONDS if self.entry else 0.0


@dataclass(frozen=True, slots=True)
class Clock:
    """The fields of the clock, and Redis' time (microseconds) when it was read. Missing fields are empty."""

    now: int
    epoch: str
    identity: str
    snapshot: str
    rank: str
    position: str
    time: str
    tables: str
    seen: str
    """The furthest position at which any drain saw the database: it never goes back within one history."""

    @property
    def age(self) -> float | None:
        """Seconds since the start of the last whole drain; None if the clock is gone. Negative if Redis' time went back."""
        return (self.now - int(self.time)) / MICROSECONDS if self.time.isdecimal() else None


class TagMove(NamedTuple):
    """A tag that a change moves."""

    xid: str
    """The transaction of the change: the clock's snapshot tells whether an earlier drain moved it."""
    tag: str
    columns: str = ALL
    """The columns that it changed, as ``written_columns`` writes them; empty: any column."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advance:
    """How far a drain read the change log: the clock advances to this with the last tags that the drain moves."""

    since_rank: int
    """Rank of the snapshot from which the drain began."""
    since_time: int
    """The clock's time, in microseconds, when the drain read what it knows of altered tables."""
    snapshot: str
    rank: int
    begun: int | None = None
    """Microseconds of Redis' clock before which no change is missing; None if the drain does not know."""
    tables: str = ""
    """JSON of the tables' state; empty if the drain did not look at them."""


class Moved(NamedTuple):
    """The effects of a move."""

    tags: int
    """Tags that Redis knew and that moved."""
    sequence: int
    """The last record of the log: every move up to this call has one up to there."""
    now: int
    """Microseconds of Redis' clock when it moved the last of them."""
    has_advanced: bool
    """Whether the clock took what the drain read. If not, it has lost moves, which a whole drain has to read again."""


class LogRecord(NamedTuple):
    """What one call of the move script moved."""

    sequence: int
    position: str
    moves: list[tuple[str, str]]
    """Each tag with the columns that changed, as in ``TagMove``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """The reply to a pull: the clock, and the moves since the record that the process knows."""

    now: int
    """Microseconds of Redis' clock."""
    epoch: str
    """Empty if the clock is gone."""
    time: int | None
    """The clock's time in microseconds; None if the clock is gone or unreadable."""
    sequence: int
    """The last record of the log."""
    position: str
    """The position of that record; empty if there is none."""
    continues: bool
    """Whether ``records`` are all moves since the record that the process knows."""
    records: list[LogRecord]

    @classmethod
    def of_reply(cls, reply: list[Any]) -> Self:
        """Return the pull that a reply of the pull script describes."""
        now, epoch, clock_time, sequence, position, continues, records = reply
        return cls(
            now=int(now),
            epoch=epoch.decode(TEXT),
            time=int(clock_time) if clock_time.isdigit() else None,
            sequence=sequence,
            position=position.decode(TEXT),
            continues=bool(continues),
            records=[_record(*record) for record in records],
        )


def _record(number: bytes, fields: list[bytes]) -> LogRecord:
    """Return a record of the stream: its id, and its fields with their values."""
    texts = [text.decode(errors="replace") for text in fields[2:]]
    moves = [*zip(texts[::2], texts[1::2], strict=True)]
    return LogRecord(int(number.partition(b"-")[0]), fields[1].decode(TEXT), moves)


_read = Script("read")
_read_without_lease = Script("read", flags="allow-oom")
_fill = Script("fill")
_clock = Script("clock")
_move = Script("move")
_pull = Script("pull", is_background=True)
_renew = Script("renew")
_release = Script("release")
_extend = Script("extend")


def read(entry_key: str, *, stale_for: float = 0.0, token: str = "", arrival: str = "") -> Lookup:
    """Read an entry, and take the lease if it is not fresh.

    A full Redis refuses the script that may write a lease. Then, and while Redis is known to be full, the entry is read
    without a lease: the value could not be stored, so each reader computes it, and nobody waits.

    Args:
        entry_key: key of the entry.
        stale_for: seconds for which a moved entry may still be served.
        token: the reader's name for the lease; empty if it does not want to fill.
        arrival: position of the clock when a waiting reader arrived; the answer of a fill that reached it is taken too.

    Raises StoreDown.
    """
    names = [keys.CLOCK, entry_key, keys.lease(entry_key), keys.answer(entry_key)]
    times = [int(conf.max_lag * MICROSECONDS), int(stale_for * MICROSECONDS)]
    lease = int(conf.lease * 1000)
    memory = redis_client.memory_breaker
    if token and (not memory.is_down or memory.lets_ask()):
        with contextlib.suppress(StoreFull):
            lookup = Lookup.of_reply(_read(names, [*times, token, lease, arrival]))
            if memory.is_down:
                memory.answered()
            return lookup
    return Lookup.of_reply(_read_without_lease(names, [*times, "", lease, arrival]))


def read_many(entry_keys: Sequence[str]) -> list[Lookup]:
    """Read several entries in one round trip, without leases. Raises StoreDown."""
    arguments = [int(conf.max_lag * MICROSECONDS), 0, "", int(conf.lease * 1000), ""]
    names = ([keys.CLOCK, key, keys.lease(key), keys.answer(key)] for key in entry_keys)
    return [*map(Lookup.of_reply, _read_without_lease.many([(each, arguments) for each in names]))]


def fill(
    entry_key: str,
    head: Head,
    body: bytes,
    *,
    token: str,
    database_id: str,
    recipe: bytes,
    ttl: float,
    wait: float,
) -> Reason | None:
    """Store a value, and release the lease. Return why the value was refused, or None if it was stored.

    Args:
        entry_key: key of the entry.
        head: what decides whether the entry is fresh.
        body: the encoded value.
        token: the reader's name for the lease.
        database_id: system identifier and database oid of the server that answered.
        recipe: the sealed recipe.
        ttl: seconds that the entry lives.
        wait: seconds that a refused value is kept for readers that wait.

    Raises StoreDown; StoreFull, without a round trip, while Redis is known to be full.
    """
    if redis_client.memory_breaker.is_down:
        raise StoreFull("Redis was full when it was last asked")
    policy = keys.policy_of(entry_key)
    names = [keys.CLOCK, entry_key, keys.lease(entry_key), keys.answer(entry_key)]
    names += [keys.members(policy), keys.asked_once(policy)]
    names += [keys.tag(dependency.tag) for dependency in head.tags]
    value = [token, head.epoch, database_id, head.as_of, head.earliest(), head.pack(), body, recipe]
    lifetimes = [max(1, int(ttl * 1000)), max(1, int(wait * 1000))]
    read_at = [part for (_, columns), position in head.tags.items() for part in (position, columns)]
    reply = _fill(names, [*value, *lifetimes, conf.entries_per_policy, *read_at]).decode()
    return None if reply == "stored" else Reason(reply)  # type: ignore[call-arg]  # looks a member up


def release(entry_key: str, token: str, *, free_for: float = 0.0) -> None:
    """Release the lease. For ``free_for`` seconds no reader needs one to compute this entry. Raises StoreDown."""
    _release([keys.lease(entry_key)], [token, int(free_for * 1000)])


def extend(leases: Sequence[tuple[str, str]]) -> None:
    """Extend leases by ``LEASE`` seconds. Each is the key of an entry and a token. Raises StoreDown."""
    names = [keys.lease(entry_key) for entry_key, _ in leases]
    _extend(names, [int(conf.lease * 1000), *(token for _, token in leases)])


def clock() -> Clock:
    """Read the clock and Redis' time. Raises StoreDown."""
    now, *fields = _clock([keys.CLOCK], [])
    return Clock(int(now), *("" if field is None else field.decode(TEXT) for field in fields))


def pull(epoch: str, sequence: int, position: str) -> Pull:
    """Read the clock, and the moves since the record of this sequence and position. Raises StoreDown."""
    return Pull.of_reply(_pull([keys.CLOCK, keys.LOG], [epoch, sequence, position]))


def await_move(sequence: int, seconds: float) -> list[LogRecord]:
    """Wait until the log has a record after this one, at most ``seconds``, and return the first ones. Raises StoreDown.

    The wait ends well before the timeout of the connection, which would be taken for a Redis that does not answer.
    """
    with redis_client.translating_errors():
        longest = min(seconds, redis_client.timeout() / 2)
        wait = ["BLOCK", max(1, int(longest * 1000)), "STREAMS", keys.LOG, f"{sequence}-0"]
        reply = redis_client.thread_connection.send("XREAD", "COUNT", MOST_AWAITED, *wait)
    return [_record(*record) for _, records in _pairs(reply) for record in records]


def _pairs(reply: Any) -> list[Any]:
    """Return the streams with their records: RESP3 replies with a map, RESP2 with a list, and either with nothing."""
    return [*reply.items()] if isinstance(reply, dict) else (reply or [])


def move(epoch: str, position: str, moves: Sequence[TagMove], advance: Advance) -> Moved | None:
    """Move the tags that Redis knows to ``position``, except where the clock has their change, and then advance the clock.

    None if the drain has to begin again: the epoch is over, or Redis lost a part of
    the moves meanwhile. Raises StoreDown.
    """
    progress = keys.progress(secrets.token_hex(8))
    total, sequence, now, has_advanced = 0, 0, 0, False
    last = [advance.since_rank, advance.since_time, advance.snapshot, advance.rank]
    last += ["" if advance.begun is None else advance.begun, advance.tables]
    size = keys.TAGS_PER_CALL
    chunks = [moves[first : first + size] for first in range(0, len(moves), size)] or [()]
    for number, chunk in enumerate(chunks, start=1):
        names = [keys.CLOCK, progress, keys.LOG, *(keys.tag(move.tag) for move in chunk)]
        advancing = last if number == len(chunks) else [""] * len(last)
        changes = [part for move in chunk for part in (move.xid, move.columns)]
        is_valid, moved, sequence, now, has_advanced = _move(
            names, [epoch, position, number, *advancing, *changes]
        )
        if not is_valid:
            return None
        total += int(moved)
    return Moved(total, sequence, int(now), bool(has_advanced))


def renew(epoch: str, fields: Mapping[str, str]) -> bool:
    """Begin a new epoch with these fields of the clock, unless the clock's epoch is no longer ``epoch``. Raises StoreDown."""
    flat = [part for pair in fields.items() for part in pair]
    return bool(_renew([keys.CLOCK, keys.LOG], [epoch.encode(TEXT), *flat]))
