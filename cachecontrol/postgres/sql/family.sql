-- The family of a table: the table itself, its partitions and the tables that inherit from it.

-- name: members
-- Fragment: a row for each table under {roots}: its root, its oid, its quoted name, whether all of its triggers are in place,
-- and a fingerprint of its catalog rows, which differs after every ALTER TABLE, change of a trigger or of a row-level policy.
--
-- is_captured is NULL where triggers cannot capture all changes: foreign tables, and families whose root is itself a part of
-- another table, through which its rows may be written. A partitioned table has one trigger less, that of replication: the rows
-- that a subscription applies fire the triggers of the partitions. The name of the function is that of function_name() in
-- capture_function.py. xmin is the transaction that wrote the catalog row, so it differs after each change of the row.
WITH RECURSIVE tree (root, oid, function, is_part) AS (
    SELECT root, root::oid, to_regproc(quote_ident(
               CASE WHEN octet_length(convert_to(relname, 'UTF8')) > {longest_name} - length({function_prefix})
                    THEN {function_prefix} || md5(convert_to({function_prefix} || relname, 'UTF8'))
                    ELSE {function_prefix} || relname END)), EXISTS (SELECT FROM pg_inherits WHERE inhrelid = root)
      FROM ({roots}) AS roots JOIN pg_class ON pg_class.oid = root
    UNION SELECT tree.root, i.inhrelid, function, is_part FROM tree JOIN pg_inherits AS i ON i.inhparent = tree.oid
)
SELECT tree.root::oid AS root, c.oid AS oid, c.oid::regclass::text AS name,
       CASE WHEN c.relkind <> 'f' AND NOT is_part THEN
           (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = ANY({triggers})
               AND t.tgfoid = tree.function AND t.tgenabled = CASE t.tgname WHEN {replication_trigger} THEN 'R' ELSE 'A' END)
           = CASE c.relkind WHEN 'p' THEN {trigger_count} - 1 ELSE {trigger_count} END END AS is_captured,
       concat_ws('/', c.oid, c.xmin, (
           SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0), CASE WHEN c.relrowsecurity THEN (
           SELECT string_agg(concat_ws(':', p.oid, p.xmin), ',' ORDER BY p.oid) FROM pg_policy AS p
            WHERE p.polrelid = c.oid) END, (SELECT string_agg(concat_ws(':', t.oid, t.xmin, t.tgenabled), ',' ORDER BY t.oid)
           FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = ANY({triggers}))) AS fingerprint
  FROM tree JOIN pg_class AS c USING (oid) WHERE c.relkind IN ('r', 'p', 'f')

-- name: triggers
-- Return the quoted name of each member (``FamilyMember``), and whether all of its triggers are in place.
SELECT name, is_captured FROM ({members}) AS family;

-- name: root_of_table
-- Fragment: one table as the root; no row if there is no table of this name.
SELECT to_regclass(quote_ident(%(relation)s)) AS root

-- name: roots_of_tracked
-- Fragment: every tracked table as a root.
SELECT to_regclass(quote_ident(relation)) AS root FROM cachecontrol_tracked
