"""Batches: many entries of one policy, read in one round trip to Redis. What no fresh entry answers is computed together.

A batch takes no leases: its readers do not wait for each other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from cachecontrol import engine, filling
from cachecontrol.conf import conf
from cachecontrol.core.reading import ReadResult
from cachecontrol.dependencies import databases, statements
from cachecontrol.dependencies.collection import Collection, collecting, current_collection
from cachecontrol.drain import catch_up
from cachecontrol.exceptions import DamagedData, StoreDown
from cachecontrol.local.tier import tier
from cachecontrol.reasons import Outcome, Reason, Refusal, Verdict
from cachecontrol.redis import protocol
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.core.reading import ReadRequest
    from cachecontrol.local.tier import Ticket
    from cachecontrol.redis.protocol import Lookup

LARGEST_CALL = 500
"""Entries that are read in one round trip."""

T = TypeVar("T")


class Item(NamedTuple):
    """One entry of a batch."""

    request: ReadRequest[Any]
    tag: str
    """The tag of the only row that its value depends on."""


Compute = Callable[[Sequence[Item]], list[Any]]
"""Computes the values of some items, in their order, by queries that read nothing but the rows of these items."""
Results = dict[str, ReadResult[Any]]
"""By the key of the request."""


def read_many(items: Sequence[Item], compute: Compute) -> list[Any]:
    """Return the value of each item: from a fresh entry, or computed, and stored if that is allowed.

    Each item is counted as a read of its own.

    Args:
        items: of one policy and one database, at least one.
        compute: is called with at most ``ROWS_PER_ENTRY`` items at once.

    Raises only what ``compute`` raises.
    """
    begun, first = time.perf_counter(), items[0].request
    statements.refuse_for_unknown_thread(first.policy.name)
    if reason := engine.reason_to_bypass(first):
        results = _compute_without_cache(items, compute, reason)
    else:
        results = _read_or_fill(items, compute)
    for item in items:
        engine.record(item.request, results[item.request.key], begun)
    return [results[item.request.key].value for item in items]


def _read_or_fill(items: Sequence[Item], compute: Compute) -> Results:
    is_local = engine.may_read_locally(items[0].request)
    results: Results = {}
    for item in items if is_local else ():
        if result := engine.find_locally(item.request):
            results[item.request.key] = result
    missing = [item for item in items if item.request.key not in results]
    for part in _parts(missing, LARGEST_CALL):
        results |= _read_part(part, compute, tier.ticket() if is_local else None)
    return results


def _read_part(items: Sequence[Item], compute: Compute, ticket: Ticket | None) -> Results:
    """Read these items in one round trip, and fill those that are not fresh."""
    try:
        replies = _look_up([item.request.key for item in items])
    except StoreDown:
        return _compute_without_cache(items, compute, Reason.REDIS_DOWN)
    if replies[0].verdict is Verdict.UNPROVABLE:
        return _compute_without_cache(items, compute, replies[0].reason or Reason.CLOCK_GONE)
    results: Results = {}
    missing: list[tuple[Item, Lookup]] = []
    for item, lookup in zip(items, replies, strict=True):
        if result := _serve(item, lookup, ticket):
            results[item.request.key] = result
        else:
            missing.append((item, lookup))
    for part in _parts(missing, conf.rows_per_entry):
        results |= _fill(part, compute)
    return results


def _look_up(keys: list[str]) -> list[Lookup]:
    """Look entries up; if the clock is gone or too old, drain and look up again. Raises StoreDown."""
    replies = protocol.read_many(keys)
    if replies[0].verdict is Verdict.UNPROVABLE and catch_up.catch_up_in_time():
        replies = protocol.read_many(keys)
    return replies


def _serve(item: Item, lookup: Lookup, ticket: Ticket | None) -> ReadResult[Any] | None:
    """Return the result of a fresh entry; None if there is none, or if it is damaged."""
    if lookup.verdict is not Verdict.FRESH:
        return None
    try:
        return engine.serve(item.request, lookup, current_collection(), ticket)
    except DamagedData:
        recording.count("codec.damaged")
        return None


def _fill(missing: Sequence[tuple[Item, Lookup]], compute: Compute) -> Results:
    """Compute the values of these items together, and store each of them.

    As in ``filling``, the answer of a replica counts only if all of it was stored; else the primary is asked.
    """
    items = [item for item, _ in missing]
    first = items[0].request
    with collecting(Collection(first.database)) as collection:
        point = collection.first_read_point
        if point.refusal is Reason.POSITION_UNKNOWN:
            recording.record_refusal(first.policy.name, point.refusal, point.failure)
            return _compute_without_cache(items, compute, point.refusal)
        values = compute(items)
        refusal = Refusal(point.refusal, first.database) if point.refusal else collection.final_refusal()
    refusal = refusal or _refusal_of_more(collection, items)
    refusals = [
        refusal or _store(item, lookup, collection, value)
        for (item, lookup), value in zip(missing, values, strict=True)
    ]
    if any(refusals) and collection.used_replica and not databases.reads_primary():
        with databases.reading_primary():
            return _fill([(_on_primary(item), lookup) for item, lookup in missing], compute)
    return {
        item.request.key: _filled(item, lookup, value, refused)
        for (item, lookup), value, refused in zip(missing, values, refusals, strict=True)
    }


def _refusal_of_more(collection: Collection, items: Sequence[Item]) -> Refusal | None:
    """Refuse values that depend on more than the rows of the items."""
    more = {dependency.tag for dependency in collection.tags} - {item.tag for item in items}
    return Refusal(Reason.UNCOVERED, ", ".join(sorted(more))) if more else None


def _store(item: Item, lookup: Lookup, collection: Collection, value: Any) -> Refusal | None:
    """Store one value of a batch with what it alone depends on."""
    own = replace(collection, tags={d: at for d, at in collection.tags.items() if d.tag == item.tag})
    return filling.store(item.request, lookup, secrets.token_hex(8), own, value)


def _filled(item: Item, lookup: Lookup, value: Any, refusal: Refusal | None) -> ReadResult[Any]:
    if refusal:
        recording.record_refusal(item.request.policy.name, *refusal)
    return ReadResult(
        value=value,
        outcome=Outcome.MISS,
        reason=lookup.reason or Reason.DAMAGED,
        is_stored=not refusal,
        refusal=refusal.reason if refusal else None,
    )


def _on_primary(item: Item) -> Item:
    return item._replace(request=replace(item.request, database=conf.database))


def _compute_without_cache(items: Sequence[Item], compute: Compute, reason: Reason) -> Results:
    def compute_all() -> list[Any]:
        return [value for part in _parts(items, conf.rows_per_entry) for value in compute(part)]

    result = filling.compute_without_cache(replace(items[0].request, compute=compute_all), reason)
    values: Any = result.value
    return {item.request.key: replace(result, value=value) for item, value in zip(items, values, strict=True)}


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
