-- The capture functions and their triggers. capture_function.py and triggers.py fill the placeholders.

-- name: create_function
-- Create the function that writes the changes of one table to the change log, or replace it.
--
-- It returns nothing. As a trigger for each statement it compares the transition tables and writes one change, with the tags of
-- the rows and slices that moved, or with the tag of the whole table for more than {limit} rows. Of an UPDATE it also writes
-- which columns differ in these rows; NULL says that any column may. As a trigger for each row, which fires only while a
-- subscription applies changes, it writes the tag of the whole table, once in a transaction. If {setting} is on, it sends the
-- writer a notice.
--
-- SECURITY DEFINER and the fixed search_path: so that no writer is refused for lack of rights or takes another table for the
-- change log. client_min_messages: so that the notice is sent. lock_timeout: while VACUUM FULL or ALTER TABLE holds a lock on
-- the change log, a writer waits and does not fail. The rows are compared as images: see Note [Why rows are compared as images]
-- in capture_function.py. LIMIT keeps the tags of a large statement out of memory.
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp SET client_min_messages = notice SET lock_timeout = 0
AS $body$
DECLARE
    moved text[];
    changed bigint; -- the bits of the columns that differ; bit 0 stands for all
    row_count bigint := 1;
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        -- One row stands for all that this transaction applies to the table.
        IF current_setting({applied}, true) = pg_current_xact_id()::text || {table} THEN RETURN NULL; END IF;
        PERFORM set_config({applied}, pg_current_xact_id()::text || {table}, true);
    ELSE
        BEGIN
            IF TG_OP = 'INSERT' THEN
                WITH moved_rows AS MATERIALIZED (
                    SELECT ARRAY[{new_tags}] AS tags, 1::bigint AS mask FROM new_rows AS new_ LIMIT {limit} + 1)
                {gather};
            ELSIF TG_OP = 'DELETE' THEN
                WITH moved_rows AS MATERIALIZED (
                    SELECT ARRAY[{old_tags}] AS tags, 1::bigint AS mask FROM old_rows AS old_ LIMIT {limit} + 1)
                {gather};
            ELSIF TG_OP = 'UPDATE' THEN
                WITH moved_rows AS MATERIALIZED (
                    SELECT ARRAY[{both_tags}] AS tags, mask
                      FROM (SELECT {pairs}, {mask} AS mask
                              FROM old_rows AS old_ FULL JOIN new_rows AS new_ ON old_.{pk} = new_.{pk} OFFSET 0) AS pairs
                     WHERE mask <> 0 LIMIT {limit} + 1)
                {gather};
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- As after a column was renamed: the rows cannot be named, so the whole table moves.
        END;
    END IF;
    IF row_count = 0 THEN RETURN NULL; END IF;
    IF moved IS NULL OR row_count > {limit} THEN
        moved := ARRAY[{whole_table}];
        changed := NULL;
    END IF;
    INSERT INTO cachecontrol_change (operation, relation, tags, columns) VALUES (TG_OP, {table}, moved || {table}::text,
        CASE WHEN changed & 1 = 0 THEN array_remove(ARRAY[{names}]::text[], NULL) END);
    IF current_setting({setting}, true) = 'on' THEN
        RAISE NOTICE USING ERRCODE = {code}, MESSAGE = {table};
    END IF;
    RETURN NULL;
END $body$;

-- name: gather
-- Fragment: set the variables of the function to the number of rows that moved, the union of their masks, and their distinct tags.
SELECT count(*), bit_or(moved_rows.mask), (SELECT array_agg(DISTINCT tag) FROM moved_rows, unnest(tags) AS tag
            WHERE tag IS NOT NULL) FROM moved_rows INTO row_count, changed, moved

-- name: row_tag
-- Fragment: the tag of a row; NULL where the full join found no such row.
{prefix} || {key}

-- name: slice_tag
-- Fragment: the tag of the slice that a row belongs to; NULL where the full join found no such row.
CASE WHEN {pk} IS NULL THEN NULL ELSE COALESCE({prefix} || {key}, {tag_of_null}) END

-- name: value
-- Fragment: the value of a column, as PostgreSQL writes it.
{column}::text

-- name: text_value
-- Fragment: the value of a text column, or its MD5 if it is longer than {longest} bytes of UTF-8, as tags.py writes it. See
-- Note [Why tags have one encoding] in capture_function.py.
CASE WHEN octet_length(convert_to({value}, 'UTF8')) > {longest} THEN md5(convert_to({value}, 'UTF8')) ELSE {value} END

-- name: bit
-- Fragment: a bit of the mask if a column differs between the old and the new row.
CASE WHEN {differs} THEN {bit}::bigint ELSE 0 END

-- name: is_another_row
-- Fragment: the full join found only the old or only the new row, or keys that are equal and written differently: a primary key
-- has changed, and with it all columns of its row.
old_.{pk} IS NULL OR new_.{pk} IS NULL OR {differs}

-- name: text_differs
-- Fragment: two texts differ. The collation "C" compares bytes.
old_.{column}::text COLLATE "C" IS DISTINCT FROM new_.{column}::text COLLATE "C"

-- name: value_differs
-- Fragment: two values differ whose type has one written form for equal values. {differs_function} takes this type alone.
(old_.{column} IS NULL) <> (new_.{column} IS NULL) OR {differs_function}(old_.{column}, new_.{column})

-- name: number_differs
-- Fragment: two numerics differ in their value or in the digits with which they are written.
(old_.{column} IS NULL) <> (new_.{column} IS NULL) OR numeric_ne(old_.{column}, new_.{column})
    OR scale(old_.{column}) <> scale(new_.{column})

-- name: image_differs
-- Fragment: two values of any type differ as images.
ROW(old_.{column})::record *<> ROW(new_.{column})::record

-- name: changed_column
-- Fragment: the name of a column whose bit is set; otherwise NULL.
CASE WHEN changed & {bit}::bigint <> 0 THEN {column} END

-- name: create_statement_trigger
-- Create a trigger that calls the capture function once for each statement, after it. {transition_tables} names the old and the
-- new rows for the function.
CREATE TRIGGER {trigger} AFTER {operation} ON {table} {transition_tables} FOR EACH STATEMENT EXECUTE FUNCTION {function}();

-- name: create_replication_trigger
-- Create the trigger that calls the capture function for each row that a subscription applies: logical replication fires no
-- triggers for INSERT, UPDATE and DELETE statements, since it runs none.
CREATE TRIGGER {trigger} AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}();

-- name: enable_trigger
-- Let a trigger fire in every session (ALWAYS), or only in those that apply replicated changes (REPLICA).
ALTER TABLE {table} ENABLE {when} TRIGGER {trigger};

-- name: drop_trigger
-- Drop a trigger that is not as the code wants it.
DROP TRIGGER IF EXISTS {trigger} ON {table};
