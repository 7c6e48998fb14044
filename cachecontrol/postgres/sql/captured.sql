-- What the triggers of the database capture.

-- name: captured
-- Return a row for each tracked table that a name of this session means: which columns its triggers watch, which columns stand
-- in tags (the primary key first), whether row-level security restricts its rows, and whether it has triggers: in another
-- schema the same name may mean a table without them.
SELECT t.relation, t.columns, t.slices, c.relrowsecurity AS is_restricted,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = {trigger}) AS has_triggers
  FROM cachecontrol_tracked AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation));
