"""Prune: delete changes that every drain has carried, and record how far the change log was pruned.

Note [Why the age of a change does not count]. A transaction that wrote its change two hours ago may commit now: the change is
old, and no drain has seen it. So each run records a snapshot. When a recorded snapshot is ``PRUNE_AFTER`` seconds old, the
changes that it saw are deleted. The rank of that snapshot is recorded in the same transaction, so that a clock which was
drained less far is not trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connections, transaction

from cachecontrol.conf import conf
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper


BATCH = 5000
"""Changes that one transaction deletes."""

_BASE_SQL = """
SELECT id, snapshot::text FROM cachecontrol_snapshot
 WHERE at < clock_timestamp() - %s * interval '1 second' ORDER BY id DESC LIMIT 1
"""
_DELETE_SQL = """
DELETE FROM cachecontrol_change WHERE id IN (
    SELECT id FROM cachecontrol_change
     WHERE xid < pg_snapshot_xmax(%(base)s::pg_snapshot) AND pg_visible_in_snapshot(xid, %(base)s::pg_snapshot)
     ORDER BY xid LIMIT %(batch)s)
"""
_NOTE_SQL = """
UPDATE cachecontrol_epoch SET pruned_rank = greatest(pruned_rank, base.rank)
  FROM (SELECT pg_snapshot_xmax(%(base)s::pg_snapshot)::text::bigint
               - (SELECT count(*) FROM pg_snapshot_xip(%(base)s::pg_snapshot)) AS rank) AS base
"""


def prune() -> int:
    """Record a snapshot, and delete the changes that a snapshot older than ``PRUNE_AFTER`` saw. Returns the number of changes.

    Call it every few minutes, outside any transaction: each batch is a transaction of its own.
    """
    with connections[conf.database].cursor() as cursor:
        cursor.execute("INSERT INTO cachecontrol_snapshot (snapshot) VALUES (pg_current_snapshot())")
    total = 0
    while deleted := _prune_batch():
        total += deleted
    recording.count("prune.deleted", total)
    return total


def _prune_batch() -> int:
    """Delete one batch. Returns the number of changes; 0 at the end.

    See Note [Why the age of a change does not count]. The row of the epoch is locked, since a drain that begins another epoch
    deletes the snapshots of the history before.
    """
    with transaction.atomic(using=conf.database), connections[conf.database].cursor() as cursor:
        cursor.execute("SELECT number FROM cachecontrol_epoch FOR UPDATE")
        base = _base_snapshot(cursor)
        if base is None:
            return 0
        cursor.execute(_DELETE_SQL, {"base": base, "batch": BATCH})
        deleted = int(cursor.rowcount)
        if deleted:
            cursor.execute(_NOTE_SQL, {"base": base})
        return deleted


def _base_snapshot(cursor: CursorWrapper) -> str | None:
    """Return the youngest recorded snapshot that is old enough; None if there is none. Those before it are deleted."""
    cursor.execute(_BASE_SQL, [conf.prune_after])
    row = cursor.fetchone()
    if row is None:
        return None
    cursor.execute("DELETE FROM cachecontrol_snapshot WHERE id < %s", [row[0]])
    return str(row[1])
