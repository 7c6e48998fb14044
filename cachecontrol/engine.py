"""The engine: reads an entry that is provably fresh, or computes the value and fills the entry.

A read goes straight down: front end → engine → ``redis.protocol`` → one script. Its steps:
1. Decide whether the cache may be asked at all; if not, bypass it.
2. Ask the local tier, if this reader may be answered by it.
3. Look the entry up in Redis: one round trip, which also takes the lease of an entry that is not fresh. If the clock is too
   old, drain and look up again; if another reader holds the lease, wait for its fill.
4. Serve the entry, or compute the value and store it under the lease.
A cache that cannot prove freshness does not answer; the database does.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from django.db import connections

from cachecontrol import signing
from cachecontrol.conf import conf
from cachecontrol.core import codec
from cachecontrol.core.entry import Head
from cachecontrol.core.reading import ReadResult, never
from cachecontrol.dependencies import databases, statements
from cachecontrol.dependencies.collection import Collection, current_collection, outside_collection
from cachecontrol.drain import after_commit, catch_up
from cachecontrol.exceptions import DamagedData, StoreDown
from cachecontrol.filling import compute_without_cache, fill
from cachecontrol.limits import budget
from cachecontrol.local import puller
from cachecontrol.local.mirror import now
from cachecontrol.local.tier import is_allowed as is_local_allowed
from cachecontrol.local.tier import tier
from cachecontrol.postgres import read_point, sessions
from cachecontrol.reasons import LeaseState, Outcome, Reason, Verdict
from cachecontrol.redis import protocol, redis_client
from cachecontrol.redis.leases import running_fills
from cachecontrol.redis.protocol import MICROSECONDS
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachecontrol.core.entry import Entry
    from cachecontrol.core.reading import ReadRequest
    from cachecontrol.local.tier import Ticket
    from cachecontrol.redis.protocol import Lookup

T = TypeVar("T")

_bypass_reason: ContextVar[Reason | None] = ContextVar("cachecontrol_bypass_reason", default=None)
_refilled_key: ContextVar[str] = ContextVar("cachecontrol_refilled_key", default="")

FIRST_PAUSE, LONGEST_PAUSE = 0.003, 0.05
"""Seconds between two lookups of a reader that waits for another process' fill."""
OWN_FILLS, LONGEST_FILL = 2, 5.0
"""The number of fills of its own process that a reader waits for at most, and the seconds for each."""


def read(request: ReadRequest[T]) -> ReadResult[T]:
    """Return the value of a fresh entry, or compute the value and store it if that is allowed.

    Every read is counted once, with its outcome and reason. Raises only what ``request.compute`` raises.
    """
    begun = time.perf_counter()
    statements.refuse_for_unknown_thread(request.policy.name)
    reason = reason_to_bypass(request)
    result = compute_without_cache(request, reason) if reason else _read_or_fill(request)
    record(request, result, begun)
    return result


def find(request: ReadRequest[T], *, may_be_local: bool, asks_redis: bool = True) -> ReadResult[T] | None:
    """Return the value of a fresh entry to a visitor whose request has not reached Django yet; None if there is none.

    Nothing is computed, and no lease is taken. The read is counted if it is answered. No transaction or session of this thread
    concerns this visitor, so they are not looked at.

    Args:
        request: what is read.
        may_be_local: whether the local tier may answer.
        asks_redis: whether Redis is asked if the local tier does not answer.
    """
    begun = time.perf_counter()
    if not (conf.enabled and request.policy.enabled) or after_commit.has_undrained_write():
        return None
    keeps_local = request.policy.local and conf.local_bytes > 0
    if keeps_local:
        puller.keep_up()
    result = find_locally(request) if keeps_local and may_be_local else None
    if result is None and asks_redis:
        result = _find_in_redis(request, tier.ticket() if keeps_local else None)
    if result is not None:
        record(request, result, begun)
    return result


def record(request: ReadRequest[Any], result: ReadResult[Any], begun: float) -> None:
    """Count a read that began at ``begun`` (``perf_counter``)."""
    is_hot = request.is_hot is not never and request.is_hot(result.value)
    recording.record_read(
        request.policy.name,
        result.outcome,
        result.reason,
        time.perf_counter() - begun,
        key=request.key,
        recipe=request.recipe if is_hot else None,
        tags=result.tags,
    )


def look_up(key: str, *, stale_for: float = 0.0, token: str = "", arrival: str = "") -> Lookup:
    """Look an entry up, as ``protocol.read`` does; if the clock is gone or too old, drain and look up again.

    Raises StoreDown.
    """
    lookup = protocol.read(key, stale_for=stale_for, token=token, arrival=arrival)
    if lookup.verdict is not Verdict.UNPROVABLE or not catch_up.catch_up_in_time():
        return lookup
    return protocol.read(key, stale_for=stale_for, token=token, arrival=arrival)


def decode(key: str, entry: Entry) -> Any:
    """Return the stored value. Raises DamagedData."""
    return _decode(key, entry.body)


def _decode(key: str, body: bytes) -> Any:
    return codec.decode(signing.unseal("body", key, body) if conf.sign_bodies else body)


@contextlib.contextmanager
def bypass(reason: Reason = Reason.BYPASS_CALLED) -> Iterator[None]:
    """Let the database answer within this block: cached pages, querysets and fragments neither read nor fill the cache.

    Each of their reads is counted as a bypass, with the reason. What is computed around the block may still be stored, and
    depends on what the queries in the block read.

    Args:
        reason: the reason that is counted; ``bypass_called`` unless the cache itself calls this.

    Example::

        with bypass():
            price = Product.objects.cached().get(pk=pk).price
    """
    token = _bypass_reason.set(reason)
    try:
        yield
    finally:
        _bypass_reason.reset(token)


@contextlib.contextmanager
def refilling(key: str) -> Iterator[None]:
    """Fill the entry of this key within this block although it may be fresh, as the warm job does near its end."""
    token = _refilled_key.set(key)
    try:
        yield
    finally:
        _refilled_key.reset(token)


def _read_or_fill(request: ReadRequest[T]) -> ReadResult[T]:
    """Serve what is stored, or fill. Where Redis cannot tell what is fresh, bypass the cache."""
    surrounding = current_collection()
    stale_for = request.policy.stale_for if surrounding is None else 0.0
    if (may_be_local := may_read_locally(request)) and (result := find_locally(request)):
        return result
    token, ticket = secrets.token_hex(8), tier.ticket() if may_be_local else None
    try:
        lookup = look_up(request.key, stale_for=stale_for, token=token)
        if lookup.lease is LeaseState.HELD and lookup.verdict is Verdict.UNUSABLE:
            lookup = _wait_for_fill(request, token, stale_for, lookup)
    except StoreDown:
        return compute_without_cache(request, Reason.REDIS_DOWN)
    if lookup.verdict is Verdict.UNPROVABLE:
        return compute_without_cache(request, lookup.reason or Reason.CLOCK_GONE)
    if reason := _reason_to_fill(request, lookup):
        return fill(request, lookup, token, reason)
    try:
        return serve(request, lookup, surrounding, ticket)
    except DamagedData:
        recording.count("codec.damaged")
        return fill(request, lookup, token, Reason.DAMAGED)


def reason_to_bypass(request: ReadRequest[Any]) -> Reason | None:
    """Return why the cache must not be asked now; None if it may be. Without a round trip, unless there is a doubt."""
    if not (conf.enabled and request.policy.enabled):
        return Reason.DISABLED
    if reason := _bypass_reason.get():
        return reason
    if not databases.is_captured(request.database):
        return Reason.DATABASE
    connection = connections[request.database]
    is_doubtful = read_point.in_transaction(connection) or sessions.may_have_changed(connection)
    if is_doubtful and (reason := _refusal_of_session(request.database)):
        return reason
    if after_commit.drain_own_write():
        return None
    return Reason.REDIS_DOWN if redis_client.breaker.is_down else Reason.UNDRAINED


def _refusal_of_session(database: str) -> Reason | None:
    with outside_collection():
        return Collection(database).first_read_point.refusal


def _wait_for_fill(request: ReadRequest[Any], token: str, stale_for: float, lookup: Lookup) -> Lookup:
    """Look up again until the reader that holds the lease has filled, or until this reader has waited long enough.

    The answer of a fill is taken if it reached the position that the clock had when this reader arrived. A fill of this
    process is waited for until it ends, since this thread would compute no faster; two of them at most. A fill of another
    process, which may be dead, is charged to the budget. Raises StoreDown.
    """
    arrival, pause, own_fills = lookup.position, FIRST_PAUSE, 0
    while lookup.lease is LeaseState.HELD and lookup.verdict is Verdict.UNUSABLE:
        if (running := running_fills.find(request.key)) and own_fills < OWN_FILLS:
            own_fills += 1
            running.wait(LONGEST_FILL)
        elif budget.left() > pause:
            with budget.spending():
                time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        else:
            break
        lookup = look_up(request.key, stale_for=stale_for, token=token, arrival=arrival)
    return lookup


def _reason_to_fill(request: ReadRequest[Any], lookup: Lookup) -> Reason | None:
    """Return why this reader has to compute the value; None if it may serve what it found."""
    if lookup.verdict is Verdict.UNUSABLE:
        return lookup.reason
    if lookup.verdict is not Verdict.ANSWER and _refilled_key.get() == request.key:
        return Reason.WARM
    # Of the readers that find a stale entry, the one with the lease fills it; the others serve it.
    return lookup.reason if lookup.verdict is Verdict.STALE and lookup.lease is LeaseState.GRANTED else None


def may_read_locally(request: ReadRequest[Any]) -> bool:
    """Whether the local tier may answer this read.

    What is stored is built from what Redis says, so a fill asks Redis, and so does a reader who has to fill.
    """
    is_allowed = request.policy.local and is_local_allowed() and current_collection() is None
    is_allowed = is_allowed and _refilled_key.get() != request.key
    if is_allowed:
        puller.keep_up()
    return is_allowed


def find_locally(request: ReadRequest[T]) -> ReadResult[T] | None:
    """Return the value of an entry in this process that is provably fresh, or None."""
    if (entry := tier.find(request.key)) is None:
        return None
    return ReadResult(
        value=entry.value if request.is_shared else _decode(request.key, entry.value),
        outcome=Outcome.HIT,
        reason=Reason.LOCAL,
        age=max(0.0, now() - entry.stored),
        is_stored=True,
        tags=entry.head.tags,
        local_entry=entry,
    )


def _find_in_redis(request: ReadRequest[T], ticket: Ticket | None) -> ReadResult[T] | None:
    """Return the value of an entry in Redis that is fresh, or None."""
    with contextlib.suppress(StoreDown, DamagedData):
        lookup = look_up(request.key)
        if lookup.verdict is Verdict.FRESH:
            return serve(request, lookup, None, ticket)
    return None


def serve(
    request: ReadRequest[T], lookup: Lookup, surrounding: Collection | None, ticket: Ticket | None
) -> ReadResult[T]:
    """Return the value that was found, and offer it to the local tier if there is a ticket.

    The surrounding work depends on its tags, at their positions. Raises DamagedData.
    """
    assert lookup.entry is not None
    head = Head.unpack(lookup.entry.head)
    value: T = decode(request.key, lookup.entry)
    if not request.is_sound(value):
        raise DamagedData(f"{request.key} holds a value that {request.policy.name} does not compute")
    if surrounding is not None:
        ends = head.ends / MICROSECONDS if head.ends else None
        surrounding.add_positions(head.tags, ends, scope=sessions.scope_name())
    if ticket is not None and lookup.verdict is Verdict.FRESH:
        tier.offer(request.key, head, lookup, value if request.is_shared else lookup.entry.body, ticket)
    is_answer = lookup.verdict is Verdict.ANSWER
    return ReadResult(
        value=value,
        outcome=_OUTCOMES[lookup.verdict],
        reason=Reason.LEASE if is_answer else lookup.reason,
        age=lookup.age,
        is_stored=not is_answer,
        tags=head.tags,
    )


_OUTCOMES = {
    Verdict.FRESH: Outcome.HIT,
    Verdict.STALE: Outcome.STALE,
    Verdict.ANSWER: Outcome.MISS,
}
