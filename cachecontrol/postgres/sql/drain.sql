-- The statements of a drain. Each is prepared once and planned generically, so its text is the same in every call.

-- name: pending
-- Fragment: the changes that the snapshot W (its ``xmax`` and its running transactions ``xip``) does not see and this
-- statement's snapshot does. Two index scans: as one condition with OR they take twice as long.
SELECT relation, tags, {source} AS source FROM cachecontrol_change
 WHERE xid >= %(xmax)s::xid8 AND xid < pg_snapshot_xmax(pg_current_snapshot())
UNION ALL
SELECT relation, tags, {source} AS source FROM cachecontrol_change
 WHERE xid = ANY(%(xip)s::xid8[]) AND xid < pg_snapshot_xmax(pg_current_snapshot())

-- name: source
-- Fragment: what all moves of a change have in common: its xid and the columns that it names (none: any column).
xid::text || ' ' || COALESCE(array_to_string(columns, ','), '') || ' '

-- name: move
-- Fragment: a move of a tag as one text (``TagMove``): what its change says, and the tag.
source || unnest(tags)

-- name: state
-- Fragment: the epoch, the snapshot of this statement, whether it runs in a transaction that has written, and which server
-- process answers.
epoch.number, epoch.random, epoch.pruned_rank, pg_current_snapshot()::text AS snapshot,
       pg_current_xact_id_if_assigned() IS NOT NULL AS is_in_transaction, pg_backend_pid() AS backend

-- name: position
-- Fragment: write an empty message to the WAL, and return the location after it in bytes. A commit becomes visible only after
-- its WAL record is written, so a read may be given the location after that record and still not see the commit. The message
-- makes this location later than the position of every such read.
pg_logical_emit_message(false, 'larder', '') - '0/0'::pg_lsn

-- name: carry
-- Return the state of the primary (``CarryRow``) with the moves of the pending changes: what a short drain asks. One more than
-- ``limit`` moves tell that there are too many for it. The position is a new one only if a tag moves, so that a drain that finds
-- nothing writes nothing.
WITH pending AS MATERIALIZED (SELECT ARRAY(SELECT {move} FROM ({pending}) AS pending LIMIT %(limit)s + 1) AS moves)
SELECT {state}, pending.moves AS pending,
       CASE WHEN cardinality(pending.moves) > 0 THEN {position} ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END AS wal
  FROM cachecontrol_epoch AS epoch, pending;

-- name: tables
-- Fragment: a JSON object with the state of each tracked table: ``true`` if all triggers of its family are in place, else
-- ``false``, and a digest of its catalog rows; ``gone`` if there is no such table.
WITH family AS MATERIALIZED ({members})
SELECT COALESCE(json_object_agg(t.relation, COALESCE((
           SELECT bool_and(f.is_captured IS TRUE)::text || md5(string_agg(f.fingerprint, ';' ORDER BY f.oid))
             FROM family AS f
            WHERE f.root = to_regclass(quote_ident(t.relation))), 'gone')), json_build_object())
  FROM cachecontrol_tracked AS t

-- name: whole
-- Return the state of the primary (``WholeRow``) with the pending changes, the identity of the server and the state of the
-- tracked tables: what a whole drain asks.
--
-- For more than ``limit`` changes or tags it returns the tags of the whole tables instead, with an xid that no snapshot has
-- seen (``no_xid``), so that the number of tags is bounded. The position is a new one only where a tag moves.
WITH pending AS MATERIALIZED ({pending} LIMIT %(limit)s + 1),
crowd AS MATERIALIZED (SELECT count(*) > %(limit)s OR sum(cardinality(tags)) > %(limit)s AS crowded FROM pending),
moved AS MATERIALIZED (
    SELECT DISTINCT {move} AS move FROM pending WHERE NOT (SELECT crowded FROM crowd)
    UNION ALL
    SELECT {no_xid} || '  ' || unnest(ARRAY[relation, relation || '*'])
      FROM (SELECT DISTINCT relation FROM ({pending}) AS every WHERE (SELECT crowded FROM crowd)) AS crowded
)
SELECT {state},
       ARRAY(SELECT move FROM moved) AS pending,
       CASE WHEN EXISTS (SELECT FROM moved) THEN {position}
            ELSE pg_current_wal_insert_lsn() - '0/0'::pg_lsn END AS wal,
       (SELECT system_identifier FROM pg_control_system()) AS system,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database,
       left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) AS timeline,
       concat_ws('/', extract(epoch FROM pg_postmaster_start_time()),
                 (SELECT extract(epoch FROM stats_reset) FROM pg_stat_wal)) AS incarnation,
       ({tables}) AS tables
  FROM cachecontrol_epoch AS epoch;

-- name: new_position
-- Return a position after everything that this connection has asked so far.
SELECT {position} AS wal;

-- name: plan_generically
-- Prepare the session of a drain. Every drain looks up a few rows by index, however large the tables: planning that again would
-- cost more than running it.
SET jit = off; SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;

-- name: limit
-- Let each later statement of this session take at most ``timeout`` (milliseconds).
SELECT set_config('statement_timeout', %(timeout)s, false);
