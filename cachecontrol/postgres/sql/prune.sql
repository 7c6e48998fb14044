-- Pruning of the change log. See Note [Why changes are not pruned by age] in prune.py.

-- name: write_snapshot
-- Write down which transactions are visible now.
INSERT INTO cachecontrol_snapshot (snapshot) VALUES (pg_current_snapshot());

-- name: newest_old_snapshot
-- Return the id and the text of the youngest snapshot that is older than ``seconds``; no row if none is.
SELECT id, snapshot::text AS snapshot FROM cachecontrol_snapshot
 WHERE at < clock_timestamp() - %(seconds)s * interval '1 second' ORDER BY id DESC LIMIT 1;

-- name: delete_older_snapshots
-- Delete the snapshots before the one with this id, which no pruning needs any more.
DELETE FROM cachecontrol_snapshot WHERE id < %(id)s;

-- name: delete_changes
-- Delete at most ``batch`` changes that the snapshot saw. The row count tells how many. The comparison with xmax lets
-- PostgreSQL use the index on xid.
DELETE FROM cachecontrol_change WHERE id IN (
    SELECT id FROM cachecontrol_change
     WHERE xid < pg_snapshot_xmax(%(snapshot)s::pg_snapshot) AND pg_visible_in_snapshot(xid, %(snapshot)s::pg_snapshot)
     ORDER BY xid LIMIT %(batch)s);

-- name: note_rank
-- Note the rank of the snapshot up to which changes were deleted.
UPDATE cachecontrol_epoch SET pruned_rank = greatest(pruned_rank, pruned.rank)
  FROM (SELECT pg_snapshot_xmax(%(snapshot)s::pg_snapshot)::text::bigint
               - (SELECT count(*) FROM pg_snapshot_xip(%(snapshot)s::pg_snapshot)) AS rank) AS pruned;
