-- What triggers.py asks and writes when it brings the triggers in line with the code.

-- name: schema
-- Return the schema of the cache's tables; no row if migrate has not created them as this code needs them. Triggers that write a
-- column that the change log does not have would refuse every writer.
SELECT nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE c.oid = to_regclass('cachecontrol_change')
   AND EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = 'columns' AND NOT a.attisdropped);

-- name: lock
-- Wait until no other process changes triggers, and keep the others out until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('cachecontrol_capture'));

-- name: lock_tables
-- Wait for the writers of these tables, and keep new ones out until the transaction ends; readers go on. A transaction that
-- wrote by an earlier function and commits later named less than the readers of this code rely on, so it has to end first.
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;

-- name: usable_columns
-- Return each column of a table, and whether triggers can use it: they do not see virtual generated columns. Text of some types
-- and collations is equal in several written forms, so columns whose values stand in tags (``in_tags``) must have another type.
SELECT a.attname::text AS name, a.attgenerated <> 'v' AND (a.attname <> ALL(%(in_tags)s)
       OR a.atttypid = ANY(ARRAY['int2', 'int4', 'int8', 'uuid', 'bool', 'text', 'varchar']::regtype[])
          AND COALESCE(c.collisdeterministic, true)) AS is_usable
  FROM pg_attribute AS a LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
 WHERE a.attrelid = to_regclass(quote_ident(%(relation)s)) AND a.attnum > 0 AND NOT a.attisdropped;

-- name: is_partitioned
-- Return whether the table of this quoted name is partitioned.
SELECT relkind = 'p' FROM pg_class WHERE oid = %(table)s::regclass;

-- name: tracked
-- Return each tracked table and the digest of the capture function that its triggers call.
SELECT relation, definition FROM cachecontrol_tracked;

-- name: track
-- Note what the triggers of a table capture from now on: reads compare it with what their code needs.
INSERT INTO cachecontrol_tracked (relation, definition, columns, slices)
VALUES (%(relation)s, %(definition)s, %(columns)s, %(slices)s)
ON CONFLICT (relation) DO UPDATE
SET definition = EXCLUDED.definition, columns = EXCLUDED.columns, slices = EXCLUDED.slices;

-- name: untrack
-- Forget what the triggers of a table capture: reads of it are not stored any more. The row count tells whether it was tracked.
DELETE FROM cachecontrol_tracked WHERE relation = %(relation)s;
