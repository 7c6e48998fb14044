-- Rollups of the statistics.

-- name: lock
-- Wait until no other process rolls up, and keep the others out until the transaction ends.
SELECT pg_advisory_xact_lock(%(key)s);

-- name: add_up
-- Write one row for each policy to a coarser span: the sums of the rows of a finer span whose start lies between ``start`` and
-- ``end``, without ``end`` itself. A row that was written before is replaced, so that running this again changes nothing.
INSERT INTO cachecontrol_rollup (span, start, policy, counts, sends)
SELECT %(coarse)s, %(start)s, policy, jsonb_object_agg(name, n), 0
FROM (
    SELECT policy, name, sum(value::bigint) AS n
    FROM cachecontrol_rollup, jsonb_each_text(counts) AS each(name, value)
    WHERE span = %(fine)s AND start >= %(start)s AND start < %(end)s
    GROUP BY policy, name
) AS summed
GROUP BY policy
ON CONFLICT (span, start, policy) DO UPDATE SET counts = excluded.counts;
