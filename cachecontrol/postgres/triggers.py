"""Capture: the triggers that write a change for each row that moves in a tracked table, whatever program writes it.

After every migrate each tracked table is brought in line with the code. The functions are SECURITY DEFINER with a fixed
search_path, so that no writer is refused; the triggers are ENABLE ALWAYS, so that no session setting silences them.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from psycopg import sql

from cachecontrol.core import tags
from cachecontrol.core.registry import TrackedTable, tracked_tables
from cachecontrol.postgres import capture_function, family, sql_files
from cachecontrol.postgres.family import REPLICATION_TRIGGER, STATEMENT_TRIGGERS, TRIGGERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.backends.utils import CursorWrapper


INSERT_CHANGE = sql_files.statement("change.insert")
_TRANSITION_TABLES = {
    "INSERT": sql.SQL("REFERENCING NEW TABLE AS new_rows"),
    "UPDATE": sql.SQL("REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows"),
    "DELETE": sql.SQL("REFERENCING OLD TABLE AS old_rows"),
    "TRUNCATE": sql.SQL(""),
}
_SCHEMA = sql_files.statement("triggers.schema")
_LOCK = sql_files.statement("triggers.lock")
_USABLE_COLUMNS = sql_files.statement("triggers.usable_columns")
_IS_PARTITIONED = sql_files.statement("triggers.is_partitioned")
_TRACKED = sql_files.statement("triggers.tracked")
_TRACK = sql_files.statement("triggers.track")
_UNTRACK = sql_files.statement("triggers.untrack")


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """A row of ``triggers.usable_columns``: a column of a tracked table."""

    name: str
    is_usable: bool
    """Whether triggers see its changes and, if its values stand in tags, write them as Python does."""


@dataclass(frozen=True, slots=True)
class TrackedRow:
    """A row of ``triggers.tracked``: a tracked table."""

    relation: str
    definition: str
    """Digest of the capture function that the triggers call."""


def synchronise(connection: BaseDatabaseWrapper) -> list[str]:
    """Bring the triggers of every tracked table that exists in line with the code. Return the tables that were changed.

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
        cursor.execute(_LOCK)
        yield cursor


def schema_of(connection: BaseDatabaseWrapper) -> str:
    """Return the schema of the cache's tables; empty if they do not exist."""
    with connection.cursor() as cursor:
        cursor.execute(_SCHEMA)
        row = cursor.fetchone()
    return row[0] if row else ""


def synchronise_table(cursor: CursorWrapper, tracking: TrackedTable, schema: str) -> bool:
    """Bring the triggers of one table in line with the code. Return whether they changed, in which case the whole table moves.

    A table whose columns triggers cannot use is tracked no longer; one that lacks columns is left to a later migration.
    """
    tables = _captured_by_name(cursor, tracking.relation)
    columns = _usable_by_name(cursor, tracking)
    needed = {tracking.pk, *tracking.columns, *tracking.slices}
    if not tables or not needed <= columns.keys():
        return False
    if not all(columns[name] for name in needed):
        cursor.execute(_UNTRACK, {"relation": tracking.relation})
        return bool(cursor.rowcount)
    incomplete = [table for table, is_captured in tables.items() if not is_captured]
    definition = capture_function.definition(tracking, schema)
    if not incomplete and _tracked_definitions(cursor).get(tracking.relation) == definition:
        return False
    cursor.execute(sql_files.statement("triggers.lock_tables", tables=_listed(tables)))
    _create(cursor, tracking, schema, incomplete)
    _track(cursor, tracking, definition)
    return True


def _create(cursor: CursorWrapper, tracking: TrackedTable, schema: str, tables: list[str]) -> None:
    """Create the capture function of a tracked table, and the triggers of those tables of its family that lack any."""
    cursor.execute(capture_function.function_sql(tracking, schema))
    for table in tables:
        _create_triggers(cursor, table, capture_function.function_identifier(tracking, schema))


def _track(cursor: CursorWrapper, tracking: TrackedTable, definition: str) -> None:
    """Note what the triggers capture from now on, and let the whole table move: until now it may have been less."""
    relation = tracking.relation
    captured = {"columns": list(tracking.columns), "slices": [tracking.pk, *tracking.slices]}
    cursor.execute(_TRACK, {"relation": relation, "definition": definition, **captured})
    moved = [tags.anything(relation), tags.table(relation)]
    cursor.execute(INSERT_CHANGE, {"operation": "TRACK", "relation": relation, "tags": moved})


def _captured_by_name(cursor: CursorWrapper, relation: str) -> dict[str, bool]:
    """Return the tables of a family that can be captured, by quoted name, and whether all of their triggers are in place."""
    members = family.members_of_table(cursor, relation)
    return {member.name: member.is_captured for member in members if member.is_captured is not None}


def _usable_by_name(cursor: CursorWrapper, tracking: TrackedTable) -> dict[str, bool]:
    """Return the columns of a table by name, and whether triggers can use them."""
    in_tags = [column for column in (tracking.pk, *tracking.slices) if tracking.can_name(column)]
    cursor.execute(_USABLE_COLUMNS, {"in_tags": in_tags, "relation": tracking.relation})
    return {column.name: column.is_usable for column in sql_files.rows(cursor, ColumnRow)}


def _tracked_definitions(cursor: CursorWrapper) -> dict[str, str]:
    """Return the tables that the database tracks, and the digests of their capture functions."""
    cursor.execute(_TRACKED)
    return {tracked.relation: tracked.definition for tracked in sql_files.rows(cursor, TrackedRow)}


def _listed(tables: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.SQL, tables))  # quoted by regclass


def _create_triggers(cursor: CursorWrapper, table: str, function: sql.Identifier) -> None:
    """Create all triggers of one table anew."""
    cursor.execute(_IS_PARTITIONED, {"table": table})
    (is_partitioned,) = cursor.fetchone()
    for name in TRIGGERS:
        _execute(cursor, "drop_trigger", table, name)
    for operation, name in STATEMENT_TRIGGERS.items():
        event = {"operation": sql.SQL(operation), "transition_tables": _TRANSITION_TABLES[operation]}
        _execute(cursor, "create_statement_trigger", table, name, function=function, **event)
        _execute(cursor, "enable_trigger", table, name, when=sql.SQL("ALWAYS"))
    if not is_partitioned:
        _execute(cursor, "create_replication_trigger", table, REPLICATION_TRIGGER, function=function)
        _execute(cursor, "enable_trigger", table, REPLICATION_TRIGGER, when=sql.SQL("REPLICA"))


def _execute(cursor: CursorWrapper, name: str, table: str, trigger: str, **parts: sql.Composable) -> None:
    """Run a statement of ``sql/capture.sql`` for one trigger of a table."""
    common = {"table": _listed([table]), "trigger": sql.Identifier(trigger)}
    cursor.execute(sql_files.statement(f"capture.{name}", **common, **parts))


def tables_without_triggers(connection: BaseDatabaseWrapper) -> list[str]:
    """Return the tracked tables that exist and lack some of their triggers, or have those of other code."""
    with connection.cursor() as cursor:
        definitions = _tracked_definitions(cursor)
        families = {t.relation: _captured_by_name(cursor, t.relation) for t in tracked_tables()}
    return [
        relation
        for relation, tables in families.items()
        if tables and not (all(tables.values()) and relation in definitions)
    ]
