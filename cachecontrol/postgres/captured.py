"""Captured tables: of which tables, as a session names them, the triggers capture everything that this code needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachecontrol.core.registry import TrackedTable, tracked_tables
from cachecontrol.postgres import family, guarded, sql_files

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True)
class CapturedTables:
    """What the names of tables in a session mean to the cache."""

    tables: frozenset[str]
    """Those of which the triggers capture all that this code needs."""
    restricted: frozenset[str]
    """Those of which row-level security shows each role other rows."""


@dataclass(frozen=True, slots=True)
class CapturedRow:
    """A row of ``captured.captured``: a tracked table."""

    relation: str
    columns: list[str]
    """The columns that the triggers watch."""
    slices: list[str]
    """The columns whose values stand in tags; the first is the primary key."""
    is_restricted: bool
    has_triggers: bool


CAPTURED_SQL = sql_files.statement("captured.captured", trigger=family.STATEMENT_TRIGGERS["INSERT"])
_captured: dict[str, CapturedTables] = {}
"""What this process has asked before, by digest."""


def captured_tables(connection: BaseDatabaseWrapper, digest: str) -> CapturedTables:
    """Return what is captured of the tables that this session's names mean. ``digest`` is the ``captured`` of a read point.

    After a deploy two releases run side by side, and the triggers follow one of them. A table without triggers, as in another
    schema, may get them without another digest, so an answer with such a table is asked for again. Raises DatabaseError.
    """
    if digest in _captured:
        return _captured[digest]
    rows = guarded.query(connection, CAPTURED_SQL, CapturedRow)
    by_relation = {row.relation: row for row in rows if row.has_triggers}
    captured = CapturedTables(
        frozenset(t.relation for t in tracked_tables() if _is_enough(by_relation.get(t.relation), t)),
        frozenset(row.relation for row in rows if row.is_restricted),
    )
    if len(by_relation) == len(rows):
        _captured[digest] = captured
    return captured


def _is_enough(row: CapturedRow | None, tracking: TrackedTable) -> bool:
    """Return whether the triggers watch all columns of a table, and write all tags, that this code needs."""
    return (
        row is not None
        and {*row.columns} >= {*tracking.columns}
        and row.slices[:1] == [tracking.pk]
        and {*row.slices[1:]} >= {*tracking.slices}
    )
