"""Pruning of the change log: deletes what every drain of the last hour has surely carried, and notes how far it went.

Note [Why not by age]. A transaction that wrote two hours ago may commit now: its change is old and nobody has seen it. So
snapshots are written down, and only what one of them saw is deleted once it is old itself. The rank of that snapshot
is noted in the same transaction, so that a clock which was drained less far is not believed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import connections, transaction

from cachecontrol.conf import conf
from cachecontrol.postgres import sql_files
from cachecontrol.postgres.sql_files import statement
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper


BATCH = 5000
"""Changes that one transaction deletes."""

_WRITE_SNAPSHOT = statement("prune.write_snapshot")
_NEWEST_OLD_SNAPSHOT = statement("prune.newest_old_snapshot")
_DELETE_OLDER_SNAPSHOTS = statement("prune.delete_older_snapshots")
_DELETE_CHANGES = statement("prune.delete_changes")
_NOTE_RANK = statement("prune.note_rank")
_LOCK_EPOCH = statement("epoch.lock")


class OldSnapshot(NamedTuple):
    """The row of ``prune.newest_old_snapshot``."""

    id: int
    snapshot: str


def prune() -> int:
    """Write down a snapshot, and delete the changes that one older than ``PRUNE_AFTER`` saw. Returns how many.

    To be called about once a minute, outside any transaction: each batch is a transaction of its own.
    """
    with connections[conf.database].cursor() as cursor:
        cursor.execute(_WRITE_SNAPSHOT)
    total = 0
    while deleted := _prune_batch():
        total += deleted
    recording.count("prune.deleted", total)
    return total


def _prune_batch() -> int:
    """Delete one batch, under the lock of the epoch: snapshots of another history are deleted with its epoch."""
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
    """Return the newest snapshot that is older than ``PRUNE_AFTER``, and delete those before it. None if there is none."""
    cursor.execute(_NEWEST_OLD_SNAPSHOT, {"seconds": conf.prune_after})
    row = sql_files.row(cursor, OldSnapshot)
    if row is None:
        return None
    cursor.execute(_DELETE_OLDER_SNAPSHOTS, {"id": row.id})
    return row.snapshot
