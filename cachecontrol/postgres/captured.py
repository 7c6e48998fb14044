"""What is captured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachecontrol.core.registry import TrackedTable, tracked_tables
from cachecontrol.postgres import guarded, triggers

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


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
       EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid AND tgname = '{triggers.NAMES["INSERT"]}')
  FROM cachecontrol_tracked AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t.relation))
"""


def captured_tables(connection: BaseDatabaseWrapper, digest: str) -> Captured:
    """What is captured of the tables that this session's names mean. ``digest`` names the state of the registry.

    After a deploy two releases run side by side, and the triggers follow one of them. In another schema a name may mean a
    table without triggers, which nobody remembers: they may come. Raises DatabaseError.
    """
    if digest in _captured:
        return _captured[digest]
    rows = guarded.query(connection, _CAPTURED_SQL)
    serving = {relation: (set(columns), slices) for relation, columns, slices, _, stands in rows if stands}
    found = Captured(
        frozenset(t.relation for t in tracked_tables() if _serves(serving.get(t.relation), t)),
        frozenset(relation for relation, *_, is_restricted, _ in rows if is_restricted),
    )
    if len(serving) == len(rows):
        _captured[digest] = found
    return found


def _serves(registered: tuple[set[str], list[str]] | None, tracking: TrackedTable) -> bool:
    if registered is None:
        return False
    columns, named = registered
    return (
        columns >= {*tracking.columns} and named[:1] == [tracking.pk] and {*named[1:]} >= {*tracking.slices}
    )
