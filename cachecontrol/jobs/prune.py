"""Prune: delete changes that every drain has carried, and record how far the change log was pruned.

Note [Why the age of a change does not count]. A transaction that wrote its change two hours ago may commit now: the change is
old, and no drain has seen it. So each run records a snapshot. When a recorded snapshot is ``PRUNE_AFTER`` seconds old, the
changes that it saw are deleted. The rank of that snapshot is recorded in the same transaction, so that a clock which was
drained less far is not trusted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import connections, transaction

from cachecontrol.conf import conf
from cachecontrol.postgres import sql_files
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper


BATCH = 5000
"""Changes that one transaction deletes."""

_WRITE_SNAPSHOT = sql_files.statement("prune.write_snapshot")
_NEWEST_OLD_SNAPSHOT = sql_files.statement("prune.newest_old_snapshot")
_DELETE_OLDER_SNAPSHOTS = sql_files.statement("prune.delete_older_snapshots")
_DELETE_CHANGES = sql_files.statement("prune.delete_changes")
_NOTE_RANK = sql_files.statement("prune.note_rank")
_LOCK_EPOCH = sql_files.statement("epoch.lock")


class SnapshotRow(NamedTuple):
    """The row of ``prune.newest_old_snapshot``."""

    id: int
    snapshot: str


def prune() -> int:
    """Record a snapshot, and delete the changes that a snapshot older than ``PRUNE_AFTER`` saw. Returns the number of changes.

    Call it every few minutes, outside any transaction: each batch is a transaction of its own. See Note [Why the age of a
    change does not count].
    """
    with connections[conf.database].cursor() as cursor:
        cursor.execute(_WRITE_SNAPSHOT)
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
        cursor.execute(_LOCK_EPOCH)
        snapshot = _newest_old_snapshot(cursor)
        if snapshot is None:
            return 0
        cursor.execute(_DELETE_CHANGES, {"snapshot": snapshot, "batch": BATCH})
        deleted = int(cursor.rowcount)
        if deleted:
            cursor.execute(_NOTE_RANK, {"snapshot": snapshot})
        return deleted


def _newest_old_snapshot(cursor: CursorWrapper) -> str | None:
    """Return the newest snapshot that is older than ``PRUNE_AFTER``; None if there is none. Those before it are deleted."""
    cursor.execute(_NEWEST_OLD_SNAPSHOT, {"seconds": conf.prune_after})
    row = sql_files.row(cursor, SnapshotRow)
    if row is None:
        return None
    cursor.execute(_DELETE_OLDER_SNAPSHOTS, {"id": row.id})
    return row.snapshot
