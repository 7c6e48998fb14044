"""Capture: the triggers that write a change for whatever moves in a tracked table, whoever writes and however.

After every migrate each tracked table is brought in line with the code. The functions are SECURITY DEFINER with a fixed
search_path, so that no writer is refused; the triggers are ENABLE ALWAYS, so that no session setting silences them.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from django.db import transaction
from psycopg import sql

from cachecontrol.core import tags
from cachecontrol.core.registry import TrackedTable, tracked_tables
from cachecontrol.postgres import capture_function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper


NAMES = {
    "INSERT": "cachecontrol_insert",
    "UPDATE": "cachecontrol_update",
    "DELETE": "cachecontrol_delete",
    "TRUNCATE": "cachecontrol_truncate",
}
REPLICA_NAME = "cachecontrol_replicated"
TRIGGERS = (*NAMES.values(), REPLICA_NAME)
_TRANSITIONS = {
    "INSERT": "REFERENCING NEW TABLE AS new_rows",
    "UPDATE": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "DELETE": "REFERENCING OLD TABLE AS old_rows",
    "TRUNCATE": "",
}


def synchronise(connection: BaseDatabaseWrapper) -> list[str]:
    """Bring the triggers of every tracked table that exists in line with the code. Returns the tables that were changed.

    A table that the code no longer tracks keeps its triggers: an older release may still be running.
    """
    schema = schema_of(connection)
    changed = []
    for tracking in tracked_tables() if schema else ():
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


def synchronise_table(cursor: CursorWrapper, tracking: TrackedTable, schema: str) -> bool:
    """Bring the triggers of one table in line with the code. Return whether they changed, in which case the whole table moves."""
    tables = _family(cursor, tracking.relation)
    fits, needed = _usable_columns(cursor, tracking), {tracking.pk, *tracking.columns, *tracking.slices}
    if not tables or not needed <= fits.keys():
        return False
    if not all(fits[name] for name in needed):
        cursor.execute("DELETE FROM cachecontrol_tracked WHERE relation = %s", [tracking.relation])
        return bool(cursor.rowcount)
    wanted = capture_function.definition(tracking, schema)
    cursor.execute("SELECT definition FROM cachecontrol_tracked WHERE relation = %s", [tracking.relation])
    lacking = [table for table, is_captured in tables.items() if not is_captured]
    if cursor.fetchone() == (wanted,) and not lacking:
        return False
    # Who wrote with the function before and commits later named less than readers of this code rely on: they end first.
    cursor.execute(sql.SQL(f"LOCK TABLE {', '.join(tables)} IN SHARE ROW EXCLUSIVE MODE"))
    cursor.execute(capture_function.function_sql(tracking, schema))
    for table in lacking:
        _create_triggers(cursor, table, sql.Identifier(schema, capture_function.function_name(tracking)))
    _register(cursor, tracking, wanted)
    return True


def _register(cursor: CursorWrapper, tracking: TrackedTable, wanted: str) -> None:
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
""" % {
    "function": capture_function.FUNCTION,
    "triggers": ",".join(TRIGGERS),
    "replica": REPLICA_NAME,
    "all": len(TRIGGERS),
}  # braces are for format()
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


def _usable_columns(cursor: CursorWrapper, tracking: TrackedTable) -> dict[str, bool]:
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


def tables_without_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """The tracked tables that exist and have not all their triggers, or those of other code."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT relation, definition FROM cachecontrol_tracked")
        registered = dict(cursor.fetchall())
        found = []
        for tracking in tracked_tables():
            family = _family(cursor, tracking.relation)
            if family and (not all(family.values()) or tracking.relation not in registered):
                found.append(tracking.relation)
    return found
