"""The capture function."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from psycopg import sql

from cachecontrol.conf import conf
from cachecontrol.core.tags import LONGEST_VALUE
from cachecontrol.postgres.sessions import TELL_SETTING

if TYPE_CHECKING:
    from cachecontrol.core.registry import TrackedTable

TELL_CODE = "LD001"
FUNCTION = "cachecontrol_capture_"

# Note [Images, not values]
# A row moved if its watched columns differ as images (*<>), not as values: "1.0" and "1.00" are equal numbers and different
# texts, and json has no equality at all, so that IS DISTINCT FROM would refuse the writer's UPDATE.

# Note [One encoding for tags]
# Python measures and hashes the UTF-8 bytes of a text. The trigger does the same, whatever the encoding of the database. A text
# that cannot be converted to UTF-8 (other bytes in an SQL_ASCII database) raises an error there, and the whole table moves.

# Note [What the function sets for itself]
# client_min_messages: so that the notice is sent. lock_timeout: while VACUUM FULL or ALTER TABLE holds a lock on the change log,
# a writer waits and does not fail.

_FUNCTION = """
CREATE OR REPLACE FUNCTION {schema}.{function}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, {schema}, pg_temp SET client_min_messages = notice SET lock_timeout = 0
AS $body$
DECLARE
    moved text[];
    counted bigint := 1;
BEGIN
    IF TG_LEVEL = 'ROW' THEN
        -- One row stands for all that this transaction applies to the table.
        IF current_setting({applied}, true) = pg_current_xact_id()::text || {table} THEN RETURN NULL; END IF;
        PERFORM set_config({applied}, pg_current_xact_id()::text || {table}, true);
    ELSE
        BEGIN
            IF TG_OP = 'INSERT' THEN
                WITH moved_rows AS MATERIALIZED (SELECT ARRAY[{row_tags}] AS tags FROM new_rows AS row_ LIMIT {limit} + 1)
                {gather};
            ELSIF TG_OP = 'DELETE' THEN
                WITH moved_rows AS MATERIALIZED (SELECT ARRAY[{row_tags}] AS tags FROM old_rows AS row_ LIMIT {limit} + 1)
                {gather};
            ELSIF TG_OP = 'UPDATE' THEN
                WITH moved_rows AS MATERIALIZED (
                    SELECT ARRAY[{both_tags}] AS tags
                      FROM old_rows AS old_ FULL JOIN new_rows AS new_ ON old_.{pk} = new_.{pk}
                     WHERE ROW({old_image})::record *<> ROW({new_image})::record LIMIT {limit} + 1)
                {gather};
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL; -- As after a column was renamed: what moved cannot be named, the whole table did.
        END;
    END IF;
    IF counted = 0 THEN RETURN NULL; END IF;
    IF moved IS NULL OR counted > {limit} THEN moved := ARRAY[{star}]; END IF;
    INSERT INTO cachecontrol_change (operation, relation, tags) VALUES (TG_OP, {table}, moved || {table}::text);
    IF current_setting({setting}, true) = 'on' THEN
        RAISE NOTICE USING ERRCODE = {code}, MESSAGE = {table};
    END IF;
    RETURN NULL;
END $body$
"""

_GATHER = """SELECT (SELECT count(*) FROM moved_rows), (SELECT array_agg(DISTINCT tag) FROM moved_rows, unnest(tags) AS tag
            WHERE tag IS NOT NULL) INTO counted, moved"""


def function_name(tracking: TrackedTable) -> str:
    """The name of the capture function, within PostgreSQL's 63 bytes."""
    name = FUNCTION + tracking.relation
    if len(name.encode()) <= 63:
        return name
    return f"{FUNCTION}{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def function_sql(tracking: TrackedTable, schema: str) -> sql.Composed:
    """The statement that creates the capture function of one table."""
    star = sql.Literal(f"{tracking.relation}*")
    watched = [tracking.pk, *(column for column in tracking.columns if column != tracking.pk)]
    return sql.SQL(_FUNCTION).format(
        schema=sql.Identifier(schema),
        function=sql.Identifier(function_name(tracking)),
        star=star,
        gather=sql.SQL(_GATHER),
        applied=sql.Literal("cachecontrol.applied"),
        table=sql.Literal(tracking.relation),
        limit=sql.Literal(conf.rows_per_change),
        pk=sql.Identifier(tracking.pk),
        row_tags=_tags(tracking, "row_"),
        both_tags=sql.SQL(", ").join([_tags(tracking, "old_"), _tags(tracking, "new_")]),
        old_image=_columns("old_", watched),
        new_image=_columns("new_", watched),
        setting=sql.Literal(TELL_SETTING),
        code=sql.Literal(TELL_CODE),
    )


def definition(tracking: TrackedTable, schema: str) -> str:
    """A digest of the capture function, by which a database shows whose code its triggers follow."""
    return hashlib.sha256(function_sql(tracking, schema).as_string(None).encode()).hexdigest()


def _tags(tracking: TrackedTable, row: str) -> sql.Composed:
    written = [_row_tag(tracking, row), *(_slice_tag(tracking, row, column) for column in tracking.slices)]
    return sql.SQL(", ").join(written)


def _row_tag(tracking: TrackedTable, row: str) -> sql.Composed:
    """NULL where a full join found no such row."""
    return sql.SQL("{} || {}").format(sql.Literal(f"{tracking.relation}#"), _text(tracking, row, tracking.pk))


def _slice_tag(tracking: TrackedTable, row: str, column: str) -> sql.Composed:
    prefix = f"{tracking.relation}.{column}"
    return sql.SQL("CASE WHEN {}.{} IS NULL THEN NULL ELSE COALESCE({} || {}, {}) END").format(
        sql.Identifier(row),
        sql.Identifier(tracking.pk),
        sql.Literal(f"{prefix}="),
        _text(tracking, row, column),
        sql.Literal(f"{prefix}~"),
    )


def _text(tracking: TrackedTable, row: str, column: str) -> sql.Composed:
    """See Note [One encoding for tags]."""
    value = sql.SQL("{}.{}::text").format(sql.Identifier(row), sql.Identifier(column))
    if not tracking.forms.is_text(column):
        return value
    return sql.SQL("CASE WHEN octet_length({1}) > {2} THEN md5({1}) ELSE {0} END").format(
        value, sql.SQL("convert_to({}, 'UTF8')").format(value), sql.Literal(LONGEST_VALUE)
    )


def _columns(row: str, columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{}.{}").format(sql.Identifier(row), sql.Identifier(column)) for column in columns
    )
