"""Capture: the triggers that write a change for whatever moves in a tracked table, whoever writes and however.

After every migrate each tracked table is brought in line with the code. The functions are SECURITY DEFINER with a fixed
search_path, so that no writer is refused; the triggers are ENABLE ALWAYS, so that no session setting silences them.
"""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from psycopg import sql

from cachecontrol import position, tags
from cachecontrol.conf import conf
from cachecontrol.scope import TELL_SETTING
from cachecontrol.tags import LONGEST_VALUE
from cachecontrol.tracking import Tracking, trackings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper

TELL_CODE = "LD001"

NAMES = {
    "INSERT": "cachecontrol_insert",
    "UPDATE": "cachecontrol_update",
    "DELETE": "cachecontrol_delete",
    "TRUNCATE": "cachecontrol_truncate",
}
FUNCTION = "cachecontrol_capture_"
REPLICA_NAME = "cachecontrol_replicated"
TRIGGERS = (*NAMES.values(), REPLICA_NAME)
_TRANSITIONS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}

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


def function_name(tracking: Tracking) -> str:
    """The name of the capture function, within PostgreSQL's 63 bytes."""
    name = FUNCTION + tracking.relation
    if len(name.encode()) <= 63:
        return name
    return f"{FUNCTION}{hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()}"


def function_sql(tracking: Tracking, schema: str) -> sql.Composed:
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


def definition(tracking: Tracking, schema: str) -> str:
    """A digest of the capture function, by which a database shows whose code its triggers follow."""
    return hashlib.sha256(function_sql(tracking, schema).as_string(None).encode()).hexdigest()


def _tags(tracking: Tracking, row: str) -> sql.Composed:
    written = [_row_tag(tracking, row), *(_slice_tag(tracking, row, column) for column in tracking.slices)]
    return sql.SQL(", ").join(written)


def _row_tag(tracking: Tracking, row: str) -> sql.Composed:
    """NULL where a full join found no such row."""
    return sql.SQL("{} || {}").format(sql.Literal(f"{tracking.relation}#"), _text(tracking, row, tracking.pk))


def _slice_tag(tracking: Tracking, row: str, column: str) -> sql.Composed:
    prefix = f"{tracking.relation}.{column}"
    return sql.SQL("CASE WHEN {}.{} IS NULL THEN NULL ELSE COALESCE({} || {}, {}) END").format(
        sql.Identifier(row),
        sql.Identifier(tracking.pk),
        sql.Literal(f"{prefix}="),
        _text(tracking, row, column),
        sql.Literal(f"{prefix}~"),
    )


def _text(tracking: Tracking, row: str, column: str) -> sql.Composed:
    """See Note [One encoding for tags]."""
    value = sql.SQL("{}.{}::text").format(sql.Identifier(row), sql.Identifier(column))
    if not tracking.is_text(column):
        return value
    return sql.SQL("CASE WHEN octet_length({1}) > {2} THEN md5({1}) ELSE {0} END").format(
        value, sql.SQL("convert_to({}, 'UTF8')").format(value), sql.Literal(LONGEST_VALUE)
    )


def _columns(row: str, columns: list[str]) -> sql.Composed:
    return sql.SQL(", ").join(
        sql.SQL("{}.{}").format(sql.Identifier(row), sql.Identifier(column)) for column in columns
    )


@dataclass(frozen=True, slots=True)
class Captured:
    """What a session's names of tables mean to the cache."""

    tables: frozenset[str]
    """Those of which the triggers capture all that this code needs."""
    restricted: frozenset[str]
    """Those of which row-level security shows each role other rows."""


_captured: dict[str, Captured] = {}
_CAPTURED_SQL = f"""
SELECT t.relation, t.columns, t.slices, c.relrowsecurity,
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = '{NAMES["INSERT"]}')
  FROM cachecontrol_tracked AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation))
"""


def captured(connection: BaseDatabaseWrapper, digest: str) -> Captured:
    """What is captured of the tables that this session's names mean. ``digest`` names the state of the registry.

    After a deploy two releases run side by side, and the triggers follow one of them. In another schema a name may mean a
    table without triggers, which nobody remembers: they may come. Raises DatabaseError.
    """
    if digest in _captured:
        return _captured[digest]
    rows = position.ask(connection, _CAPTURED_SQL)
    serving = {relation: (set(columns), slices) for relation, columns, slices, _, stands in rows if stands}
    found = Captured(
        frozenset(t.relation for t in trackings() if _serves(serving.get(t.relation), t)),
        frozenset(relation for relation, *_, is_restricted, _ in rows if is_restricted),
    )
    if len(serving) == len(rows):
        _captured[digest] = found
    return found


def _serves(registered: tuple[set[str], list[str]] | None, tracking: Tracking) -> bool:
    if registered is None:
        return False
    columns, named = registered
    return (
        columns >= {*tracking.columns} and named[:1] == [tracking.pk] and {*named[1:]} >= {*tracking.slices}
    )


def synchronise(connection: BaseDatabaseWrapper) -> list[str]:
    """Bring the triggers of every tracked table that exists in line with the code. Returns the tables that were changed.

    A table that the code no longer tracks keeps its triggers: an older release may still be running.
    """
    schema = schema_of(connection)
    changed = []
    for tracking in trackings() if schema else ():
        with one_at_a_time(connection) as cursor:
            if synchronise_table(cursor, tracking, schema):
                changed.append(tracking.relation)
    return changed


@contextlib.contextmanager
def one_at_a_time(connection: BaseDatabaseWrapper) -> Iterator[CursorWrapper]:
    """Open a transaction for one table. Locking several tables in one transaction could deadlock with writers."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtext('cachecontrol_capture'))")
        yield cursor


def schema_of(connection: BaseDatabaseWrapper) -> str:
    """The schema of the cache's tables; empty if they do not exist."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relnamespace::regnamespace::text FROM pg_class WHERE oid = to_regclass('cachecontrol_change')"
        )
        row = cursor.fetchone()
    return row[0] if row else ""


def synchronise_table(cursor: CursorWrapper, tracking: Tracking, schema: str) -> bool:
    """Bring the triggers of one table in line with the code. Return whether they changed, in which case the whole table moves."""
    tables = _family(cursor, tracking.relation)
    fits, needed = _fitness(cursor, tracking), {tracking.pk, *tracking.columns, *tracking.slices}
    if not tables or not needed <= fits.keys():
        return False
    if not all(fits[name] for name in needed):
        cursor.execute("DELETE FROM cachecontrol_tracked WHERE relation = %s", [tracking.relation])
        return bool(cursor.rowcount)
    wanted = definition(tracking, schema)
    cursor.execute("SELECT definition FROM cachecontrol_tracked WHERE relation = %s", [tracking.relation])
    lacking = [table for table, is_captured in tables.items() if not is_captured]
    if cursor.fetchone() == (wanted,) and not lacking:
        return False
    # Who wrote with the function before and commits later named less than readers of this code rely on: they end first.
    cursor.execute(sql.SQL(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE"))
    cursor.execute(function_sql(tracking, schema))
    for table in lacking:
        _create_triggers(cursor, table, sql.Identifier(schema, function_name(tracking)))
    _register(cursor, tracking, wanted)
    return True


def _register(cursor: CursorWrapper, tracking: Tracking, wanted: str) -> None:
    cursor.execute(
        "INSERT INTO cachecontrol_tracked (relation, definition, columns, slices) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (relation) DO UPDATE"
        " SET definition = EXCLUDED.definition, columns = EXCLUDED.columns, slices = EXCLUDED.slices",
        [tracking.relation, wanted, list(tracking.columns), [tracking.pk, *tracking.slices]],
    )
    cursor.execute(
        "INSERT INTO cachecontrol_change (operation, relation, tags) VALUES ('TRACK', %s, %s)",
        [tracking.relation, [tags.anything(tracking.relation), tags.table(tracking.relation)]],
    )


def _family(cursor: CursorWrapper, relation: str) -> dict[str, bool]:
    """The table and its partitions that can be captured (quoted names), each with whether all of its triggers stand."""
    cursor.execute(FAMILY_SQL.format(roots="SELECT to_regclass(quote_ident(%s)) AS root"), [relation])
    return {name: is_captured for _, _, name, is_captured, _ in cursor.fetchall() if is_captured is not None}


FAMILY_SQL = """
WITH RECURSIVE family (root, oid, capture, is_part) AS (
    SELECT root, root::oid, to_regproc(quote_ident(
               CASE WHEN octet_length(convert_to(relname, 'UTF8')) > 63 - length('%(function)s')
                    THEN '%(function)s' || md5(convert_to('%(function)s' || relname, 'UTF8'))
                    ELSE '%(function)s' || relname END)), EXISTS (SELECT FROM pg_inherits WHERE inhrelid = root)
      FROM ({roots}) AS roots JOIN pg_class ON pg_class.oid = root
    UNION SELECT family.root, i.inhrelid, capture, is_part FROM family JOIN pg_inherits AS i ON i.inhparent = family.oid
)
SELECT family.root::oid, c.oid, c.oid::regclass::text,
       CASE WHEN c.relkind <> 'f' AND NOT is_part THEN
           (SELECT count(*) FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = ANY('{{%(triggers)s}}')
               AND t.tgfoid = capture AND t.tgenabled = CASE t.tgname WHEN '%(replica)s' THEN 'R' ELSE 'A' END)
           = CASE c.relkind WHEN 'p' THEN %(all)s - 1 ELSE %(all)s END END,
       concat_ws('/', c.oid, c.xmin, (
           SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0), CASE WHEN c.relrowsecurity THEN (
           SELECT string_agg(concat_ws(':', p.oid, p.xmin), ',' ORDER BY p.oid) FROM pg_policy AS p
            WHERE p.polrelid = c.oid) END, (SELECT string_agg(concat_ws(':', t.oid, t.xmin, t.tgenabled), ',' ORDER BY t.oid)
           FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = ANY('{{%(triggers)s}}')))
  FROM family JOIN pg_class AS c USING (oid) WHERE c.relkind IN ('r', 'p', 'f')
""" % {"function": FUNCTION, "triggers": ",".join(TRIGGERS), "replica": REPLICA_NAME, "all": len(TRIGGERS)}  # noqa: UP031  # braces are for format()
"""A row for each table and partition under ``roots``: root, oid, name, whether all triggers stand, fingerprint.

NULL in place of whether they stand where none could capture all: foreign tables, and tables that are a part of another,
through which they may be written.
"""


_COLUMNS_SQL = """
SELECT a.attname::text, a.attgenerated <> 'v' AND (a.attname <> ALL(%s)
       OR a.atttypid = ANY('{int2,int4,int8,uuid,bool,text,varchar}'::regtype[]) AND COALESCE(c.collisdeterministic, true))
  FROM pg_attribute AS a LEFT JOIN pg_collation AS c ON c.oid = a.attcollation
 WHERE a.attrelid = to_regclass(quote_ident(%s)) AND a.attnum > 0 AND NOT a.attisdropped
"""


def _fitness(cursor: CursorWrapper, tracking: Tracking) -> dict[str, bool]:
    """The table's columns, each with whether triggers can watch it and, if it stands in tags, write it as Python does.

    They do not see virtual columns; and text of some types and collations is equal in several written forms.
    """
    named = [column for column in (tracking.pk, *tracking.slices) if tracking.can_name(column)]
    cursor.execute(_COLUMNS_SQL, [named, tracking.relation])
    return dict(cursor.fetchall())


def _create_triggers(cursor: CursorWrapper, table: str, function: sql.Identifier) -> None:
    place = sql.SQL(table)  # quoted by regclass
    cursor.execute("SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", [table])
    (is_partitioned,) = cursor.fetchone()
    for name in TRIGGERS:
        cursor.execute(sql.SQL("DROP TRIGGER IF EXISTS {} ON {}").format(sql.Identifier(name), place))
    for operation, name in NAMES.items():
        event = sql.SQL(f"{operation} ON {{}} {_TRANSITIONS[operation]} FOR EACH STATEMENT").format(place)
        _create_trigger(cursor, name, event, place, function, "ALWAYS")
    if not is_partitioned:
        event = sql.SQL("INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW").format(place)
        _create_trigger(cursor, REPLICA_NAME, event, place, function, "REPLICA")


def _create_trigger(
    cursor: CursorWrapper,
    name: str,
    event: sql.Composed,
    place: sql.SQL,
    function: sql.Identifier,
    enable: str,
) -> None:
    trigger = sql.Identifier(name)
    cursor.execute(
        sql.SQL("CREATE TRIGGER {} AFTER {} EXECUTE FUNCTION {}()").format(trigger, event, function)
    )
    cursor.execute(sql.SQL(f"ALTER TABLE {{}} ENABLE {enable} TRIGGER {{}}").format(place, trigger))


def lacking(connection: BaseDatabaseWrapper) -> list[str]:
    """The tracked tables that exist and have not all their triggers, or those of other code."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relation, definition FROM cachecontrol_tracked")
        registered = dict(cursor.fetchall())
        found = []
        for tracking in trackings():
            family = _family(cursor, tracking.relation)
            if family and (not all(family.values()) or tracking.relation not in registered):
                found.append(tracking.relation)
    return found


_LIMITS_SQL = """
SELECT 'this role: ' || current_setting('temp_file_limit') WHERE current_setting('temp_file_limit') <> '-1'
UNION ALL
SELECT concat_ws(' in ', COALESCE(nullif(setrole, 0)::regrole::text, 'all roles'), d.datname) || ': ' || split_part(given, '=', 2)
  FROM pg_db_role_setting LEFT JOIN pg_database AS d ON d.oid = setdatabase, unnest(setconfig) AS given
 WHERE starts_with(given, 'temp_file_limit=') AND given <> 'temp_file_limit=-1'
   AND (setdatabase = 0 OR d.datname = current_database())
"""


def limits_of_temporary_files(connection: BaseDatabaseWrapper) -> list[str]:
    """The roles whose statements ``temp_file_limit`` limits, with the limit, as far as this role may see their settings.

    A statement's triggers see its rows in transition tables, which PostgreSQL writes to temporary files beyond ``work_mem``.
    """
    with connection.cursor() as cursor:
        cursor.execute(_LIMITS_SQL)
        return [limit for (limit,) in cursor.fetchall()]
