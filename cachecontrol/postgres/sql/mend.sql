-- Mending of triggers.

-- name: owner
-- Return whether this role has the rights of a table's owner, and who that is; no row if the table is not tracked, or if its
-- triggers call the function of another release.
SELECT pg_has_role(c.relowner, 'USAGE') AS may_alter, c.relowner::regrole::text AS owner
  FROM cachecontrol_tracked AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation))
 WHERE t.relation = %(relation)s AND t.definition = %(definition)s;

-- name: limit_lock
-- Wait at most {timeout} for each lock, until the transaction ends.
SET LOCAL lock_timeout = {timeout};
