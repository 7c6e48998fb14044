-- Where the server is in its history when it answers a read.

-- name: read_point
-- Return the position of the server (``ReadPointRow``): its epoch, its WAL location in bytes, whether it is a replica, its
-- database id, whether its transaction has written, what the triggers capture, and the state of the session. No row if somebody
-- deleted that of the epoch.
--
-- ``captured`` is a digest of what the triggers capture, of which tables the session's names mean, and of row-level security.
SELECT epoch.number, epoch.random,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn AS wal,
       pg_is_in_recovery() AS is_replica,
       (SELECT system_identifier FROM pg_control_system()) AS system,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database,
       CASE WHEN pg_is_in_recovery() THEN false ELSE pg_current_xact_id_if_assigned() IS NOT NULL END AS has_written,
       current_setting('transaction_isolation') AS isolation,
       (SELECT md5(string_agg(concat_ws(' ', t.relation, t.definition, c.oid, c.relrowsecurity), ',' ORDER BY t.relation))
          FROM cachecontrol_tracked AS t LEFT JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation))
       ) AS captured,
       {session} AS session
  FROM cachecontrol_epoch AS epoch;
