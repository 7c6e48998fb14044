"""The engine: reads an entry that is provably fresh, or computes the value and fills the entry.

A read goes straight down: front end → engine → ``redis.protocol`` → one script. Its steps:
1. Decide whether the cache may be asked at all; if not, bypass it.
2. Look the entry up: one round trip, which also takes the lease of an entry that is not fresh. If the clock is too old, drain
   and look up again; if another reader holds the lease, wait for its fill.
3. Serve the entry, or compute the value and store it under the lease.
A cache that cannot prove freshness does not answer; the database does.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db import connections, router

from cachecontrol import signing
from cachecontrol.conf import conf
from cachecontrol.core import codec, registry, tags
from cachecontrol.core.entry import Head
from cachecontrol.dependencies import tracker
from cachecontrol.dependencies.tracker import Collection
from cachecontrol.drain import after_commit, catch_up
from cachecontrol.exceptions import DamagedData, StoreDown, UnknownType
from cachecontrol.limits import budget
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.postgres import read_point, sessions
from cachecontrol.reasons import LeaseState, Outcome, Reason, Refusal, Verdict
from cachecontrol.redis import keys, protocol, redis_client
from cachecontrol.redis.leases import running_fills
from cachecontrol.redis.protocol import MICROSECONDS
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cachecontrol.core.entry import Entry
    from cachecontrol.core.policy import Policy
    from cachecontrol.core.recipe import Recipe
    from cachecontrol.redis.leases import RunningFill
    from cachecontrol.redis.protocol import Lookup

T = TypeVar("T")

_bypass_reason: ContextVar[Reason | None] = ContextVar("cachecontrol_bypass_reason", default=None)
_refilled_key: ContextVar[str] = ContextVar("cachecontrol_refilled_key", default="")

RELEASED_BY_FILL = frozenset({None, Reason.MOVED, Reason.NEWER, Reason.EPOCH, Reason.CLOCK_GONE, Reason.FULL})
"""Replies of the fill script, which has released the lease."""
MOMENTARY = frozenset(
    {
        Reason.TRANSACTION,
        Reason.ISOLATION,
        Reason.SESSION,
        Reason.SCOPE,
        Reason.HISTORY,
        Reason.REDIS_DOWN,
    }
)
"""Refusals that say nothing about the next reader's value. After any other, readers of this key do not wait for each other."""
UNTAINTING = frozenset({Reason.BYPASS_CALLED, Reason.DISABLED})
"""Bypasses after which the surrounding work may be stored: its own queries tell what it depends on."""
FIRST_PAUSE, LONGEST_PAUSE = 0.003, 0.05
"""Seconds between two lookups of a reader that waits for another process' fill."""
OWN_FILLS, LONGEST_FILL = 2, 5.0
"""The number of fills of its own process that a reader waits for at most, and the seconds for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest(Generic[T]):
    """One question to the cache: the key, how to compute the value, and the recipe to compute it again."""

    policy: Policy
    key: str
    compute: Callable[[], T]
    database: str
    """Alias of the database that the computation reads first."""
    recipe: Recipe | None
    """None for a value that nothing but its own code can compute."""
    is_hot: Callable[[Any], bool] = lambda value: False
    """Whether the key counts among the hot keys that the warm job fills, given the value."""
    is_sound: Callable[[Any], bool] = lambda value: True
    """Whether a stored value has the form of the results of ``compute``; any other value counts as damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult(Generic[T]):
    """The value, and how the read ended."""

    value: T
    outcome: Outcome
    reason: Reason | None = None
    age: float = 0.0
    """Seconds since the value was stored; 0 for a value that was just computed."""
    is_stored: bool = False
    refusal: Reason | None = None
    """Why a computed value was not stored."""
    tags: Iterable[str] = ()
    """The tags that the value depends on."""


def read(request: ReadRequest[T]) -> ReadResult[T]:
    """Return the value of a fresh entry, or compute the value and store it if that is allowed.

    Every read is counted once, with its outcome and reason. Raises only what ``request.compute`` raises.
    """
    begun = time.perf_counter()
    tracker.refuse_for_unknown_thread(request.policy.name)
    result = _read(request)
    recording.record_read(
        request.policy.name,
        result.outcome,
        result.reason,
        time.perf_counter() - begun,
        key=request.key,
        recipe=request.recipe if request.is_hot(result.value) else None,
        tags=result.tags,
    )
    return result


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
    return codec.decode(signing.unseal("body", key, entry.body) if conf.sign_bodies else entry.body)


def entry_key(policy: Policy, *parts: bytes | str) -> str:
    """Return the key of the entry of this policy that ``parts`` name.

    The scope and the columns that the running code reads are parts of every key.
    """
    schema = registry.schema()
    release = keys.release_mark(conf.release, schema)
    return keys.entry(policy.name, release, (sessions.scope_name(), schema, *parts))


def default_database() -> str:
    """Return the alias of the database that reads go to when nothing else is said."""
    from cachecontrol.models import Epoch

    return str(router.db_for_read(Epoch))


@contextlib.contextmanager
def bypass(reason: Reason = Reason.BYPASS_CALLED) -> Iterator[None]:
    """Neither read nor fill the cache within this block. Each read is counted, with the reason."""
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


def _read(request: ReadRequest[T]) -> ReadResult[T]:
    if reason := _reason_to_bypass(request):
        return _bypass(request, reason)
    token = secrets.token_hex(8)
    try:
        lookup = _look_up_or_wait(request, token)
    except StoreDown:
        return _bypass(request, Reason.REDIS_DOWN)
    if lookup.verdict is Verdict.UNPROVABLE:
        return _bypass(request, lookup.reason or Reason.CLOCK_GONE)
    if reason := _reason_to_fill(request, lookup):
        return _fill(request, lookup, token, reason)
    try:
        return _serve(request, lookup)
    except DamagedData:
        recording.count("codec.damaged")
        return _fill(request, lookup, token, Reason.DAMAGED)


def _reason_to_bypass(request: ReadRequest[Any]) -> Reason | None:
    """Return why the cache must not be asked now; None if it may be. Without a round trip, unless there is a doubt."""
    if not (conf.enabled and request.policy.enabled):
        return Reason.DISABLED
    if reason := _bypass_reason.get():
        return reason
    if not tracker.is_captured(request.database):
        return Reason.DATABASE
    connection = connections[request.database]
    is_doubtful = read_point.in_transaction(connection) or sessions.may_have_changed(connection)
    if is_doubtful and (reason := _refusal_of_session(request.database)):
        return reason
    if after_commit.drain_own_write():
        return None
    return Reason.REDIS_DOWN if redis_client.breaker.is_down else Reason.UNDRAINED


def _refusal_of_session(database: str) -> Reason | None:
    with tracker.outside_collection():
        return Collection(database).first_read_point.refusal


def _bypass(request: ReadRequest[T], reason: Reason) -> ReadResult[T]:
    """Compute without the cache. The surrounding work must not be stored either: nothing proves this part of it."""
    with tracker.reading_primary():
        value = request.compute()
    if (surrounding := tracker.current()) is not None and reason not in UNTAINTING:
        surrounding.refuse(reason, request.policy.name)
    return ReadResult(value=value, outcome=Outcome.BYPASS, reason=reason)


def _look_up_or_wait(request: ReadRequest[Any], token: str) -> Lookup:
    """Look the entry up, and wait while another reader holds its lease. Raises StoreDown."""
    stale_for = request.policy.stale_for if tracker.current() is None else 0.0
    lookup = look_up(request.key, stale_for=stale_for, token=token)
    return _wait_for_fill(request, token, stale_for, lookup) if _is_held(lookup) else lookup


def _is_held(lookup: Lookup) -> bool:
    return lookup.verdict is Verdict.UNUSABLE and lookup.lease is LeaseState.HELD


def _wait_for_fill(request: ReadRequest[Any], token: str, stale_for: float, lookup: Lookup) -> Lookup:
    """Look up again until the reader that holds the lease has filled, or until this reader has waited long enough.

    The answer of a fill is taken if it reached the position that the clock had when this reader arrived. A fill of this
    process is waited for until it ends, since this thread would compute no faster; two of them at most. A fill of another
    process, which may be dead, is charged to the budget. Raises StoreDown.
    """
    arrival, pause, own_fills = lookup.position, FIRST_PAUSE, 0
    while _is_held(lookup):
        if (fill := running_fills.find(request.key)) and own_fills < OWN_FILLS:
            own_fills += 1
            fill.wait(LONGEST_FILL)
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


def _serve(request: ReadRequest[T], lookup: Lookup) -> ReadResult[T]:
    """Return the value that was found. The surrounding work depends on its tags, at their positions. Raises DamagedData."""
    assert lookup.entry is not None
    head = Head.unpack(lookup.entry.head)
    value: T = decode(request.key, lookup.entry)
    if not request.is_sound(value):
        raise DamagedData(f"{request.key} holds a value that {request.policy.name} does not compute")
    if (surrounding := tracker.current()) is not None:
        ends = head.ends / MICROSECONDS if head.ends else None
        surrounding.add_positions(head.tags, ends, scope=sessions.scope_name())
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


def _fill(request: ReadRequest[T], lookup: Lookup, token: str, reason: Reason) -> ReadResult[T]:
    """Compute and store. Until the end, the lease is renewed, and other threads of this process may wait."""
    with running_fills.running(request.key, token) as fill:
        return _compute_and_store(request, lookup, fill, reason)


def _compute_and_store(
    request: ReadRequest[T], lookup: Lookup, fill: RunningFill, reason: Reason
) -> ReadResult[T]:
    """Compute, and store the value if it is proven to be as of one position. The lease is released in every case.

    The answer of a replica counts only if it was stored, since then nothing moved past it; else the primary is asked.
    """
    try:
        with tracker.collecting(Collection(request.database)) as collection:
            before = collection.first_read_point
            if before.refusal is Reason.POSITION_UNKNOWN:
                recording.record_refusal(request.policy.name, before.refusal, before.failure)
                _release(request, fill.token)
                return _bypass(request, before.refusal)
            fill.computes = True
            value = request.compute()
            refusal = (
                Refusal(before.refusal, request.database) if before.refusal else collection.final_refusal()
            )
        refusal = refusal or _store(request, lookup, fill.token, collection, value)
    except BaseException:
        _release(request, fill.token)
        raise
    if refusal and collection.used_replica and not tracker.reads_primary():
        with tracker.reading_primary():
            return _compute_and_store(replace(request, database=conf.database), lookup, fill, reason)
    if refusal:
        recording.record_refusal(request.policy.name, *refusal)
    why = refusal.reason if refusal else None
    if why not in RELEASED_BY_FILL:
        _release(request, fill.token, free_for=0.0 if why in MOMENTARY else conf.wait)
    return ReadResult(
        value=value,
        outcome=Outcome.MISS,
        reason=reason,
        is_stored=not refusal,
        refusal=why,
        tags=collection.tags,
    )


def _release(request: ReadRequest[Any], token: str, *, free_for: float = 0.0) -> None:
    failsafe(lambda: protocol.release(request.key, token, free_for=free_for))


def _store(
    request: ReadRequest[Any], lookup: Lookup, token: str, collection: Collection, value: Any
) -> Refusal | None:
    """Store the value. Return why it was refused, or None."""
    point, now = collection.first_read_point, lookup.now / MICROSECONDS
    if lookup.epoch != point.epoch:
        return Refusal(Reason.HISTORY)
    expires = now + request.policy.ttl
    if collection.ends is not None:
        expires = min(expires, collection.ends)
    if expires <= now:
        return Refusal(Reason.ENDED)
    try:
        body = codec.encode(value)
    except UnknownType:
        return Refusal(Reason.UNKNOWN_TYPE)
    if conf.sign_bodies:
        body = signing.seal("body", request.key, body)
    if len(body) > conf.max_entry_bytes:
        return Refusal(Reason.TOO_LARGE)
    head = Head(
        epoch=point.epoch,
        as_of=point.position,
        expires=int(expires * MICROSECONDS),
        ends=int((collection.ends or 0) * MICROSECONDS),
        tags=_with_whole_tables(tags.coarsen(collection.tags, conf.rows_per_entry)),
    )
    recipe = signing.seal("recipe", request.key, request.recipe.encode()) if request.recipe else b""
    try:
        reason = protocol.fill(
            request.key,
            head,
            body,
            token=token,
            place=point.database_id,
            recipe=recipe,
            ttl=expires - now,
            wait=conf.wait,
        )
    except StoreDown as error:
        return Refusal(error.reason)
    return Refusal(reason) if reason else None


def _with_whole_tables(positions: dict[str, str]) -> dict[str, str]:
    """Add ``table*`` for each table of which a row or slice tag is listed."""
    whole: dict[str, str] = {}
    for tag, position in positions.items():
        if tags.is_fine(tag):
            star = tags.anything(tags.relation_of(tag))
            whole[star] = min(position, whole.get(star, position))
    return positions | {star: min(at, positions.get(star, at)) for star, at in whole.items()}
