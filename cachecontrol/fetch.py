"""The read path: read, judge, lease, fill. A cache that cannot prove freshness does not answer; the database does."""

from __future__ import annotations

import contextlib
import secrets
import time
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.conf import settings
from django.db import connections, router

from cachecontrol import (
    budget,
    codec,
    collect,
    drain,
    entry,
    keys,
    position,
    scope,
    stats,
    store,
    tags,
    tracking,
    writers,
)
from cachecontrol.collect import Collection
from cachecontrol.conf import conf
from cachecontrol.entry import Head
from cachecontrol.exceptions import DamagedData, StoreDown, UnknownType
from cachecontrol.leases import leases
from cachecontrol.policy import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cachecontrol.leases import Fill
    from cachecontrol.policy import Policy
    from cachecontrol.store import Reading

T = TypeVar("T")

_bypassed: ContextVar[str] = ContextVar("cachecontrol_bypassed", default="")
_refilled: ContextVar[str] = ContextVar("cachecontrol_refilled", default="")

AFTER_FILL = frozenset({"", "moved", "newer", "epoch", "clock_gone", "full"})
"""What the fill script says; it has given the lease back."""
OF_THE_MOMENT = frozenset({"transaction", "isolation", "session", "scope", "history", "redis_down"})
"""Refusals that say nothing of the next reader's value. After any other, readers of the same do not wait for each other."""
FIRST_PAUSE, LONGEST_PAUSE = 0.003, 0.05
"""Seconds between two looks of a reader that waits for another's fill."""
OWN_FILLS, LONGEST_FILL = 2, 5.0
"""How many fills of its own process a reader waits for at most, and for how many seconds each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched(Generic[T]):
    """A value and how it came."""

    value: T
    outcome: Outcome
    reason: str = ""
    age: float = 0.0
    """Seconds since the value was stored; 0 for one just computed."""
    stored: bool = False
    refusal: str = ""
    """Why a computed value was not stored."""
    tags: Iterable[str] = ()
    """What it depends on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Generic[T]):
    """What is asked for: the key, how to compute the value, and what it takes to compute it again."""

    policy: Policy
    key: str
    compute: Callable[[], T]
    alias: str
    """The database that the computation reads first."""
    recipe: dict[str, Any]
    is_hot: Callable[[Any], bool] = lambda value: False
    """Whether the key competes for the hot keys that the warm keeper fills, by the value that was answered."""
    is_sound: Callable[[Any], bool] = lambda value: True
    """Whether a stored value has the form of what ``compute`` gives; another one counts as damaged."""


def get(request: Request[T]) -> Fetched[T]:
    """Answer from a fresh entry, or compute and store. Every read is counted once, with its outcome and reason."""
    begun = time.perf_counter()
    collect.note_stranger(request.policy.name)
    fetched = _get(request)
    recipe = request.recipe if request.is_hot(fetched.value) else None
    seconds = time.perf_counter() - begun
    stats.record(
        request.policy.name,
        fetched.outcome,
        fetched.reason,
        seconds,
        key=request.key,
        recipe=recipe,
        tags=fetched.tags,
    )
    return fetched


@contextlib.contextmanager
def bypass(reason: str = "bypass_called") -> Iterator[None]:
    """Do not ask the cache within this block, nor fill it. Counted, with the reason."""
    token = _bypassed.set(reason)
    try:
        yield
    finally:
        _bypassed.reset(token)


@contextlib.contextmanager
def refilling(key: str) -> Iterator[None]:
    """Fill the entry of this key within this block although it may be fresh, as the warm keeper does near its end."""
    token = _refilled.set(key)
    try:
        yield
    finally:
        _refilled.reset(token)


def peek(key: str) -> Reading:
    """Read an entry without wanting to fill it; where the clock is old or gone, drain and read again. Raises StoreDown."""
    reading = store.peek(key)
    return store.peek(key) if reading.judgement == "clock" and drain.catch_up_in_time() else reading


def _get(request: Request[T]) -> Fetched[T]:
    if reason := _why_not(request):
        return _computed(request, reason)
    token = secrets.token_hex(8)
    try:
        reading = _read_young(request, token)
        if reading.judgement == "held":
            reading = _wait(request, token, reading)
    except StoreDown:
        return _computed(request, "redis_down")
    if reading.judgement == "clock":
        return _computed(request, reading.reason)
    if reading.judgement in ("hit", "stale") and _refilled.get() == request.key:
        return _filled(request, reading, token, was="warm")
    if reading.judgement in ("hit", "answer", "stale"):
        with contextlib.suppress(DamagedData):
            return _answered(request, reading, token)
        stats.count("codec.damaged")
    return _filled(request, reading, token)


def _why_not(request: Request[Any]) -> str:
    if not (conf.enabled and request.policy.enabled):
        return "disabled"
    if reason := _bypassed.get():
        return reason
    if not collect.known(request.alias):
        return "database"
    connection = connections[request.alias]
    is_doubtful = position.in_transaction(connection) or scope.is_doubtful(connection)
    if is_doubtful and (unfit := _standing_now(request.alias)):
        return unfit
    if writers.settle():
        return ""
    return "redis_down" if store.breaker.is_down else "undrained"


def _standing_now(alias: str) -> str:
    with collect.apart():
        return Collection(alias).own.unfit


def _computed(request: Request[T], reason: str) -> Fetched[T]:
    """Compute without the cache. The work around it must not be stored either: nothing proves this part of it."""
    with collect.on_primary():
        value = request.compute()
    if (around := collect.current()) is not None and reason not in ("bypass_called", "disabled"):
        around.refuse(reason, request.policy.name)
    return Fetched(value=value, outcome=Outcome.BYPASS, reason=reason)


def _read_young(request: Request[Any], token: str, arrival: str = "") -> Reading:
    """Read; where the clock is old or gone, drain and read again."""
    stale_for = request.policy.stale_for if collect.current() is None else 0.0
    reading = store.read(request.key, stale_for=stale_for, token=token, arrival=arrival)
    if reading.judgement != "clock" or not drain.catch_up_in_time():
        return reading
    return store.read(request.key, stale_for=stale_for, token=token, arrival=arrival)


def _wait(request: Request[Any], token: str, reading: Reading) -> Reading:
    """Wait for the fill of the process that holds the lease; take any answer that reaches the clock's position of our arrival.

    A fill of this process is waited for until it ends, since this thread would compute no faster; two of them at most. A
    fill of another process, which may be dead, is paid from the budget.
    """
    arrival, pause = reading.position, FIRST_PAUSE
    own_fills = 0
    while reading.judgement == "held":
        if (fill := leases.find(request.key)) and own_fills < OWN_FILLS:
            own_fills += 1
            fill.wait(LONGEST_FILL)
        elif budget.left() > pause:
            with budget.spending():
                time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)
        else:
            break
        reading = _read_young(request, token, arrival)
    return reading


def _answered(request: Request[T], reading: Reading, token: str) -> Fetched[T]:
    """Decode an entry. Raises DamagedData. Whoever got the lease with a stale answer fills."""
    if reading.judgement == "stale" and reading.reason == "granted":
        return _filled(request, reading, token, was="moved")
    head = Head.unpack(reading.head)
    value: T = codec.decode(unseal(request.key, "body", reading.body))
    if not request.is_sound(value):
        raise DamagedData(f"{request.key} holds what {request.policy.name} does not give")
    if (around := collect.current()) is not None:
        around.take(head.tags, head.ends / 1e6 if head.ends else None, whose=scope.current())
    if reading.judgement == "hit":
        return Fetched(value=value, outcome=Outcome.HIT, age=reading.age, stored=True, tags=head.tags)
    if reading.judgement == "stale":
        return Fetched(
            value=value,
            outcome=Outcome.STALE,
            reason="moved",
            age=reading.age,
            stored=True,
            tags=head.tags,
        )
    return Fetched(value=value, outcome=Outcome.MISS, reason="lease", age=reading.age, tags=head.tags)


def _filled(request: Request[T], reading: Reading, token: str, was: str = "") -> Fetched[T]:
    """Compute and store; other threads of this process may wait for the end, and the lease is kept alive until then."""
    with leases.held(request.key, token) as fill:
        return _computed_and_stored(request, reading, fill, was)


def _computed_and_stored(request: Request[T], reading: Reading, fill: Fill, was: str) -> Fetched[T]:
    """Compute, and store what is proven to be as of one position. The lease is given back whatever happens.

    What a replica answered counts only if it was stored, since then nothing moved past it; else the primary is asked.
    """
    token = fill.token
    reason = was or (reading.reason if reading.judgement in ("granted", "held", "free") else "damaged")
    try:
        with collect.collecting(Collection(request.alias)) as collection:
            unfit = collection.own.unfit
            if unfit == "position_unknown":
                stats.refused(request.policy.name, unfit, collection.own.failure)
                _release(request, token)
                return _computed(request, unfit)
            fill.computes = True
            value = request.compute()
            blame = (unfit, request.alias) if unfit else collection.verdict()
        refusal = blame[0] if blame else _store(request, reading, token, collection, value)
    except BaseException:
        _release(request, token)
        raise
    if refusal and collection.used_replica and not collect.is_on_primary():
        with collect.on_primary():
            return _computed_and_stored(replace(request, alias=conf.database), reading, fill, was)
    if refusal:
        stats.refused(request.policy.name, refusal, blame[1] if blame else "")
    if refusal not in AFTER_FILL:
        _release(request, token, free_for=0.0 if refusal in OF_THE_MOMENT else conf.wait)
    return Fetched(
        value=value,
        outcome=Outcome.MISS,
        reason=reason,
        stored=not refusal,
        refusal=refusal,
        tags=collection.tags,
    )


def _release(request: Request[Any], token: str, *, free_for: float = 0.0) -> None:
    with contextlib.suppress(StoreDown):
        store.release(request.key, token, free_for=free_for)


def _store(request: Request[Any], reading: Reading, token: str, collection: Collection, value: Any) -> str:
    """Store the value. Returns why it was refused, or nothing."""
    if reading.epoch != collection.own.epoch:
        return "history"
    now = reading.now / 1e6
    expires = now + request.policy.ttl
    if collection.ends is not None:
        expires = min(expires, collection.ends)
    if expires <= now:
        return "ended"
    try:
        body = seal(request.key, "body", codec.encode(value), always=False)
    except UnknownType:
        return "unknown_type"
    if len(body) > conf.max_entry_bytes:
        return "too_large"
    head = Head(
        epoch=collection.own.epoch,
        as_of=collection.own.position,
        expires=int(expires * 1e6),
        ends=int((collection.ends or 0) * 1e6),
        tags=_with_coarse(tags.coarsen(collection.tags, conf.rows_per_entry)),
    )
    recipe = seal(request.key, "recipe", codec.encode(request.recipe))
    place, ttl = collection.own.place, expires - now
    try:
        said = store.fill(
            request.key, head, body, token=token, place=place, recipe=recipe, ttl=ttl, wait=conf.wait
        )
    except StoreDown as error:
        return error.reason
    return "" if said == "stored" else said


def _with_coarse(positions: dict[str, str]) -> dict[str, str]:
    """Every entry with a row or slice tag lists ``table*`` too."""
    coarse: dict[str, str] = {}
    for tag, at in positions.items():
        if tags.is_fine(tag):
            star = tags.anything(tags.relation_of(tag))
            coarse[star] = min(at, coarse.get(star, at))
    return positions | {star: min(at, positions.get(star, at)) for star, at in coarse.items()}


def seal(key: str, purpose: str, data: bytes, *, always: bool = True) -> bytes:
    """Sign bytes for this key and purpose. Bodies are signed where the setting says so, recipes always."""
    if not (always or conf.sign_bodies):
        return data
    return entry.sign(settings.SECRET_KEY.encode(), key, purpose, data)


def unseal(key: str, purpose: str, data: bytes, *, always: bool = False) -> bytes:
    """The bytes behind their signature. Raises DamagedData if it does not hold."""
    if not (always or conf.sign_bodies):
        return data
    return entry.verify(settings.SECRET_KEY.encode(), key, purpose, data)


def default_alias() -> str:
    """The database that reads go to when nothing says otherwise."""
    from cachecontrol.models import Epoch

    return str(router.db_for_read(Epoch))


def key_of(policy: Policy, *parts: bytes | str) -> str:
    """Return the key of the entry that ``parts`` name under this policy.

    The scope and the columns that the running code reads are parts of every key.
    """
    schema = tracking.schema()
    return keys.entry(policy.name, keys.release_mark(conf.release, schema), (scope.current(), schema, *parts))
