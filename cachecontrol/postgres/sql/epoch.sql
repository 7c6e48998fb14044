-- The epoch of the database, in the only row of its table.

-- name: lock
-- Return the epoch, and keep other processes from changing it until the transaction ends. A new epoch deletes all snapshots, so
-- pruning takes this lock too.
SELECT number, random FROM cachecontrol_epoch FOR UPDATE;

-- name: renew
-- Begin an epoch. The change log of the new history has not been pruned.
UPDATE cachecontrol_epoch SET number = %(number)s, random = %(random)s, pruned_rank = 0;

-- name: forget_snapshots
-- Delete the snapshots of the ended history: they say nothing of the new one, whose xids may be lower.
DELETE FROM cachecontrol_snapshot;
