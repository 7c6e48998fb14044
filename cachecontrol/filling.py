"""Filling: compute a value and store it, if it is proven to be as of one position and nothing moved past it meanwhile.

The steps of a fill:
1. Take the read point before the first query, on the connection of the queries: the position, and whose history answers.
2. Compute, while the collection gathers the tags that the queries depend on, each at its position.
3. Store value and tags with one script, which refuses a value that a tag moved past. Release the lease in every case.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from cachecontrol import signing
from cachecontrol.conf import conf
from cachecontrol.core import codec, tags
from cachecontrol.core.dependency import Dependency, coarsen
from cachecontrol.core.entry import Head
from cachecontrol.core.reading import ReadResult
from cachecontrol.dependencies import databases
from cachecontrol.dependencies.collection import Collection, collecting, current_collection
from cachecontrol.exceptions import StoreDown, UnknownType
from cachecontrol.limits.failsafe import failsafe
from cachecontrol.reasons import Outcome, Reason, Refusal
from cachecontrol.redis import protocol
from cachecontrol.redis.leases import running_fills
from cachecontrol.redis.protocol import MICROSECONDS
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.core.reading import ReadRequest
    from cachecontrol.redis.leases import RunningFill
    from cachecontrol.redis.protocol import Lookup

T = TypeVar("T")

RELEASED_BY_FILL = frozenset({Reason.MOVED, Reason.NEWER, Reason.EPOCH, Reason.CLOCK_GONE, Reason.FULL})
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


def fill(request: ReadRequest[T], lookup: Lookup, token: str, reason: Reason) -> ReadResult[T]:
    """Compute and store. Until the end, the lease is renewed, and other threads of this process may wait."""
    with running_fills.running(request.key, token) as running:
        return _compute_and_store(request, lookup, running, reason)


def _compute_and_store(
    request: ReadRequest[T], lookup: Lookup, running: RunningFill, reason: Reason
) -> ReadResult[T]:
    """Compute, and store the value if it is proven to be as of one position. The lease is released in every case.

    The answer of a replica counts only if it was stored, since then nothing moved past it; else the primary is asked.
    """
    try:
        with collecting(Collection(request.database)) as collection:
            before = collection.first_read_point
            if before.refusal is Reason.POSITION_UNKNOWN:
                recording.record_refusal(request.policy.name, before.refusal, before.failure)
                _release(request, running.token)
                return compute_without_cache(request, before.refusal)
            running.computes = True
            value = request.compute()
            refusal = (
                Refusal(before.refusal, request.database) if before.refusal else collection.final_refusal()
            )
        refusal = refusal or store(request, lookup, running.token, collection, value)
    except BaseException:
        _release(request, running.token)
        raise
    if refusal and collection.used_replica and not databases.reads_primary():
        with databases.reading_primary():
            return _compute_and_store(replace(request, database=conf.database), lookup, running, reason)
    _conclude(request, running, refusal)
    return ReadResult(
        value=value,
        outcome=Outcome.MISS,
        reason=reason,
        is_stored=not refusal,
        refusal=refusal.reason if refusal else None,
        tags=collection.tags,
    )


def _conclude(request: ReadRequest[Any], running: RunningFill, refusal: Refusal | None) -> None:
    """Count a refusal, and release the lease unless the fill script did."""
    if refusal is None:
        return
    recording.record_refusal(request.policy.name, *refusal)
    if refusal.reason not in RELEASED_BY_FILL:
        is_momentary = refusal.reason in MOMENTARY
        _release(request, running.token, free_for=0.0 if is_momentary else conf.wait)


def _release(request: ReadRequest[Any], token: str, *, free_for: float = 0.0) -> None:
    failsafe(lambda: protocol.release(request.key, token, free_for=free_for))


def store(
    request: ReadRequest[Any], lookup: Lookup, token: str, collection: Collection, value: Any
) -> Refusal | None:
    """Store the value. Return why it was refused, or None."""
    now = lookup.now / MICROSECONDS
    expires = now + request.policy.ttl
    if collection.ends is not None:
        expires = min(expires, collection.ends)
    if lookup.epoch != collection.first_read_point.epoch:
        return Refusal(Reason.HISTORY)
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
    reason = _send(request, token, _head(collection, expires), body, collection, ttl=expires - now)
    return Refusal(reason) if reason else None


def _head(collection: Collection, expires: float) -> Head:
    point = collection.first_read_point
    return Head(
        epoch=point.epoch,
        as_of=point.position,
        expires=int(expires * MICROSECONDS),
        ends=int((collection.ends or 0) * MICROSECONDS),
        tags=_with_whole_tables(coarsen(collection.tags, conf.rows_per_entry)),
    )


def _send(
    request: ReadRequest[Any], token: str, head: Head, body: bytes, collection: Collection, *, ttl: float
) -> Reason | None:
    recipe = signing.seal("recipe", request.key, request.recipe.encode()) if request.recipe else b""
    try:
        return protocol.fill(
            request.key,
            head,
            body,
            token=token,
            database_id=collection.first_read_point.database_id,
            recipe=recipe,
            ttl=ttl,
            wait=conf.wait,
        )
    except StoreDown as error:
        return error.reason


def _with_whole_tables(positions: dict[Dependency, str]) -> dict[Dependency, str]:
    """Add ``table*`` for each table of which a row or slice tag is listed."""
    whole: dict[Dependency, str] = {}
    for (tag, _), position in positions.items():
        if group := tags.group_of(tag):
            star = Dependency(tags.anything(group[:-1]))
            whole[star] = min(position, whole.get(star, position))
    return positions | {star: min(at, positions.get(star, at)) for star, at in whole.items()}


def compute_without_cache(request: ReadRequest[T], reason: Reason) -> ReadResult[T]:
    """Compute a value that is neither read from the cache nor stored.

    The surrounding work must not be stored either: nothing proves this part of it.
    """
    with databases.reading_primary():
        value = request.compute()
    if (surrounding := current_collection()) is not None and reason not in UNTAINTING:
        surrounding.refuse(reason, request.policy.name)
    return ReadResult(value=value, outcome=Outcome.BYPASS, reason=reason)
