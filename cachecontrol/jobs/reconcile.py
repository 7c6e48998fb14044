"""Reconcile: compute a sample of entries again, each in one snapshot of the database, and compare, repair and count them.

A fresh entry claims to equal what the database gives, at all positions from its own to that of the last drain. The steps for
each entry:
1. Read the entry; it must be fresh.
2. Compute its value again, from its recipe, in a read-only REPEATABLE READ transaction that begins after step 1: that snapshot
   is not older than the entry. Above READ COMMITTED the cache is neither read nor filled, so the value comes from the database.
3. If the values differ, drain: all changes that were committed before the snapshot move their tags now.
4. Read the entry again. If it is the same one and still fresh, it claimed to equal the snapshot and did not: drift.
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

    from cachecontrol.core.entry import Entry
    from cachecontrol.jobs.runs import RunningJob


logger = logging.getLogger("cachecontrol")


SECONDS = 20.0
ENTRIES = 50
"""The budget of a run of the schedule."""


class Finding(StrEnum):
    """The result for one entry."""

    SAME = "same"
    """It equals the database."""
    DRIFT = "drift"
    """It claimed to be fresh and differs."""
    MOVED = "moved"
    """It is not fresh, or no longer, so that it claims nothing."""
    FORGED = "forged"
    """Its recipe is not signed for it, or describes another entry."""
    DAMAGED = "damaged"
    """Its body cannot be read."""
    UNKNOWN = "unknown"
    """It has no recipe, or one of a policy, scope or release that is not this process'."""
    FAILED = "failed"
    """It could not be computed again."""


def reconcile(
    *,
    seconds: float = SECONDS,
    entries: int = ENTRIES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Counter[Finding] | None:
    """Judge a sample of ``entries`` entries, for ``seconds`` at most. Entries with drift are noted in the run and deleted.

    ``progress`` is called with the entries judged so far and in all. Returns the number of entries for each finding; None if
    another process runs this job now. Raises StoreDown.
    """
    with runs.exclusive("reconcile", seconds=seconds) as run, recording.muted():
        if run is None:
            return None
        recipes.declare_policies()
        return _reconcile(run, sample(entries), progress)


def sample(entries: int) -> list[str]:
    """Return keys of entries, chosen at random from the next part of all keys: each comes up in time. Raises StoreDown."""
    entry_keys = entry_store.scan_entry_keys(at_least=10 * entries)
    return random.sample(entry_keys, min(entries, len(entry_keys)))


def judge(key: str) -> Finding:
    """Judge the entry of this key. Raises StoreDown, and the errors of the computation and of the drain."""
    entry = _fresh_entry(key)
    if entry is None:
        return Finding.MOVED
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
    return Finding.DRIFT if _fresh_entry(key) == entry else Finding.MOVED


def _fresh_entry(key: str) -> Entry | None:
    """Return the entry of this key; None unless it is fresh. Raises StoreDown."""
    lookup = engine.look_up(key)
    return lookup.entry if lookup.verdict is Verdict.FRESH else None


def _reconcile(
    run: RunningJob, entry_keys: list[str], progress: Callable[[int, int], None]
) -> Counter[Finding]:
    findings: Counter[Finding] = Counter()
    for index, key in enumerate(entry_keys):
        if run.is_over_budget:
            break
        finding = _judge_and_repair(run, key)
        findings[finding] += 1
        recording.count(f"reconcile.{finding}")
        run.step()
        progress(index + 1, len(entry_keys))
    run.note(", ".join(f"{n} {finding}" for finding, n in findings.items()) or "no entries")
    return findings


def _judge_and_repair(run: RunningJob, key: str) -> Finding:
    """Judge one entry, and delete it if it must not stay. Raises StoreDown."""
    try:
        finding = judge(key)
    except StoreDown:
        raise  # no other entry could be read either
    except Exception as error:
        run.error(f"{key}: {type(error).__name__}: {error}")
        return Finding.FAILED
    if finding in (Finding.DRIFT, Finding.FORGED, Finding.DAMAGED):
        logger.error("the entry %s is %s and was deleted", key, finding)
        run.error(f"{key}: {finding}")
        entry_store.delete(key)
    return finding


def _in_one_snapshot(function: Callable[[], bool]) -> bool:
    """Return the result of ``function``, all of whose queries see one snapshot of the database."""
    with transaction.atomic(using=conf.database), connections[conf.database].cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return function()
