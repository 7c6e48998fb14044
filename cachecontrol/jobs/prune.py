"""Pruning of the change log: deletes what every drain of the last hour has surely carried, and notes how far it went.

Note [Why not by age]. A transaction that wrote two hours ago may commit now: its change is old and nobody has seen it. So
snapshots are written down, and only what one of them saw is deleted once it is old itself. The rank of that snapshot
is noted in the same transaction, so that a clock which was drained less far is not believed.
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
    """Write down a snapshot, and delete the changes that one older than ``PRUNE_AFTER`` saw. Returns how many.

    To be called about once a minute, outside any transaction: each batch is a transaction of its own.
    """
    with connections[conf.database].cursor() as cursor:
        cursor.execute("INSERT INTO cachecontrol_snapshot (snapshot) VALUES (pg_current_snapshot())")
    total = 0
    while deleted := _prune_batch():
        total += deleted
    recording.count("prune.deleted", total)
    return total


def _prune_batch() -> int:
    """Delete one batch, under the lock of the epoch: snapshots of another history are deleted with its epoch."""
    with transaction.atomic(using=conf.database), connections[conf.database].cursor() as cursor:
        cursor.execute("SELECT number FROM cachecontrol_epoch FOR UPDATE")
        base = _base(cursor)
        if base is None:
            return 0
        cursor.execute(_DELETE_SQL, {"base": base, "batch": BATCH})
        deleted = int(cursor.rowcount)
        if deleted:
            cursor.execute(_NOTE_SQL, {"base": base})
        return deleted


def _base(cursor: CursorWrapper) -> str | None:
    """The youngest snapshot that is old enough; those before it are forgotten."""
    cursor.execute(_BASE_SQL, [conf.prune_after])
    row = cursor.fetchone()
    if row is None:
        return None
    cursor.execute("DELETE FROM cachecontrol_snapshot WHERE id < %s", [row[0]])
    return str(row[1])
