-- Limits of temporary files.

-- name: limits
-- Return a text for each temp_file_limit: that of this role, and those that are set for roles or for this database, as far as
-- this role may see them.
SELECT 'this role: ' || current_setting('temp_file_limit') WHERE current_setting('temp_file_limit') <> '-1'
UNION ALL
SELECT concat_ws(' in ', COALESCE(nullif(setrole, 0)::regrole::text, 'all roles'), d.datname) || ': '
       || split_part(assignment, '=', 2)
  FROM pg_db_role_setting LEFT JOIN pg_database AS d ON d.oid = setdatabase, unnest(setconfig) AS assignment
 WHERE starts_with(assignment, 'temp_file_limit=') AND assignment <> 'temp_file_limit=-1'
   AND (setdatabase = 0 OR d.datname = current_database());
