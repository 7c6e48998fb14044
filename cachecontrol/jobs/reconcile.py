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

from cachecontrol import engine
from cachecontrol.conf import conf
from cachecontrol.drain import runner
from cachecontrol.exceptions import DamagedData, StoreDown
from cachecontrol.frontends import recipes
from cachecontrol.jobs import runs
from cachecontrol.reasons import Verdict
from cachecontrol.redis import entry_store
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable

    from cachecontrol.jobs.runs import RunningJob


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
    """Without a recipe, or of a policy or a release that this code does not have."""
    FAILED = "failed"
    """Could not be computed again."""


def reconcile(
    *,
    seconds: float = SECONDS,
    entries: int = ENTRIES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter[Finding] | None:
    """Look at a sample of entries; return what was found, or None where another process does it already.

    Drift is counted, noted in the run and repaired: the entry is deleted. Raises StoreDown if Redis does
    not answer.
    """
    with runs.exclusive("reconcile", seconds=seconds) as run, recording.muted():
        if run is None:
            return None
        recipes.declare_policies()
        return _reconcile(run, sample(entries), progress)


def sample(entries: int) -> list[str]:
    """Return keys of entries, chosen at random from the next part of all keys: each is chosen in time. Raises StoreDown."""
    entry_keys = entry_store.scan_entry_keys(at_least=10 * entries)
    return random.sample(entry_keys, min(entries, len(entry_keys)))


def look_at(key: str) -> Finding:
    """Judge one entry. Raises StoreDown, and the errors of the computation and of the drain."""
    lookup = engine.look_up(key)
    if lookup.verdict is not Verdict.FRESH or lookup.entry is None:
        return Finding.MOVED
    entry = lookup.entry
    try:
        recomputation = recipes.stored_recomputation(key)
    except DamagedData as error:
        logger.warning("a recipe was refused: %s", error)
        return Finding.FORGED
    if recomputation is None:
        return Finding.UNKNOWN
    try:
        value = engine.decode(key, entry)
        if _in_one_snapshot(lambda: recomputation.is_same(value)):
            return Finding.SAME
    except DamagedData:
        return Finding.DAMAGED
    runner.runner.run()
    now = engine.look_up(key)
    is_still_fresh = now.verdict is Verdict.FRESH and now.entry == entry
    return Finding.DRIFT if is_still_fresh else Finding.MOVED


def _reconcile(run: RunningJob, chosen: list[str], progress: Callable[[int, int], None]) -> Counter[Finding]:
    findings: Counter[Finding] = Counter()
    for index, key in enumerate(chosen):
        if run.is_over_budget:
            break
        finding = _judge_and_repair(run, key)
        findings[finding] += 1
        recording.count(f"reconcile.{finding}")
        run.step()
        progress(index + 1, len(chosen))
    run.note(", ".join(f"{n} {finding}" for finding, n in findings.items()) or "no entries")
    return findings


def _judge_and_repair(run: RunningJob, key: str) -> Finding:
    """Judge one entry, and delete it if it must not stay. Raises StoreDown."""
    try:
        finding = look_at(key)
    except StoreDown:
        raise  # no other entry could be read either
    except Exception as error:
        run.failed(f"{key}: {type(error).__name__}: {error}")
        return Finding.FAILED
    if finding in (Finding.DRIFT, Finding.FORGED, Finding.DAMAGED):
        logger.error("the entry %s is %s and was deleted", key, finding)
        run.failed(f"{key}: {finding}")
        entry_store.delete(key)
    return finding


def _in_one_snapshot(act: Callable[[], bool]) -> bool:
    with transaction.atomic(using=conf.database), connections[conf.database].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return act()
