"""Reconcile: compute a sample of entries again in one snapshot of the database, compare, repair, count.

An entry that is fresh claims to be what the database gives from its own position to the last drain. The steps for each:
1. Read the entry; it must be fresh.
2. Compute its value again, from its recipe, in a read-only REPEATABLE READ transaction begun after step 1: that snapshot is
   not older than the entry. Above READ COMMITTED the cache is neither read nor filled, so nothing of the cache gets in.
3. If the values differ, drain: whatever was committed before the snapshot moves its tags now.
4. Read the entry again. Is it still the same one and fresh, it claimed to hold at the snapshot and did not: drift.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING

from django.db import connections, transaction

from cachecontrol import codec, drain, fetch, keeper, recipes, stats, store
from cachecontrol.conf import conf
from cachecontrol.exceptions import DamagedData

if TYPE_CHECKING:
    from collections.abc import Callable

    from cachecontrol.keeper import Run
    from cachecontrol.store import Reading

logger = logging.getLogger("cachecontrol")

SECONDS = 20.0
ENTRIES = 50
"""What one run may take."""


class Finding(StrEnum):
    """What came of looking at one entry."""

    SAME = "same"
    DRIFT = "drift"
    MOVED = "moved"
    """Not fresh, or no longer: it claims nothing."""
    FORGED = "forged"
    """Its recipe is not signed for it, or asks for something else."""
    DAMAGED = "damaged"
    """Its body cannot be read."""
    UNKNOWN = "unknown"
    """Without a recipe, or of a policy that this code does not have."""
    FAILED = "failed"
    """Could not be computed again."""


def reconcile(
    *,
    seconds: float = SECONDS,
    entries: int = ENTRIES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter[Finding] | None:
    """Look at a sample of entries; return what was found, or None where another process does it already.

    Drift is counted, noted in the run and repaired: the entry is deleted. Raises RedisError or StoreDown if Redis
    does not answer.
    """
    with keeper.alone("reconcile", seconds=seconds) as run, stats.muted():
        if run is None:
            return None
        recipes.declare()
        return _reconcile(run, sample(entries), progress)


def sample(entries: int) -> list[str]:
    """Keys of entries taken at random from the next part of all keys: each comes up in time. Raises RedisError."""
    found = store.entry_keys(at_least=10 * entries)
    return random.sample(found, min(entries, len(found)))


def look_at(key: str) -> Finding:
    """Judge one entry. Raises StoreDown, and whatever computing it again or draining raises."""
    reading = fetch.peek(key)
    if reading.judgement != "hit":
        return Finding.MOVED
    try:
        compare = recipes.comparison(key, recipes.recipe_of(key))
    except DamagedData as error:
        logger.warning("a recipe was refused: %s", error)
        return Finding.FORGED
    if compare is None:
        return Finding.UNKNOWN
    try:
        kept = codec.decode(fetch.unseal(key, "body", reading.body))
        if _in_one_snapshot(lambda: compare(kept)):
            return Finding.SAME
    except DamagedData:
        return Finding.DAMAGED
    drain.drain.run()
    return Finding.DRIFT if _is_still(reading, fetch.peek(key)) else Finding.MOVED


def _reconcile(run: Run, chosen: list[str], progress: Callable[[int, int], None]) -> Counter[Finding]:
    findings: Counter[Finding] = Counter()
    for index, key in enumerate(chosen):
        if run.is_over_budget:
            break
        finding = _found(run, key)
        findings[finding] += 1
        stats.count(f"reconcile.{finding}")
        run.step()
        progress(index + 1, len(chosen))
    run.note(", ".join(f"{n} {finding}" for finding, n in findings.items()) or "no entries")
    return findings


def _found(run: Run, key: str) -> Finding:
    """Judge one entry, and delete what must not stay."""
    try:
        finding = look_at(key)
    except Exception as error:
        run.failed(f"{key}: {type(error).__name__}: {error}")
        return Finding.FAILED
    if finding in (Finding.DRIFT, Finding.FORGED, Finding.DAMAGED):
        logger.error("the entry %s is %s and was deleted", key, finding)
        run.failed(f"{key}: {finding}")
        store.forget(key)
    return finding


def _in_one_snapshot(act: Callable[[], bool]) -> bool:
    with transaction.atomic(using=conf.database), connections[conf.database].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return act()


def _is_still(before: Reading, now: Reading) -> bool:
    return now.judgement == "hit" and (now.head, now.stored, now.body) == (
        before.head,
        before.stored,
        before.body,
    )
