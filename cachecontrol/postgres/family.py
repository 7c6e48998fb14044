"""Families of tables: a table, its partitions and the tables that inherit from it, each with the state of its triggers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cachecontrol.postgres import sql_files
from cachecontrol.postgres.capture_function import FUNCTION_PREFIX, LONGEST_NAME

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper
    from psycopg import sql


STATEMENT_TRIGGERS = {
    "INSERT": "cachecontrol_insert",
    "UPDATE": "cachecontrol_update",
    "DELETE": "cachecontrol_delete",
    "TRUNCATE": "cachecontrol_truncate",
}
"""The names of the triggers that fire for each statement, by its operation."""
REPLICATION_TRIGGER = "cachecontrol_replicated"
"""The name of the trigger that fires for each row that a subscription applies."""
TRIGGERS = (*STATEMENT_TRIGGERS.values(), REPLICATION_TRIGGER)


@dataclass(frozen=True, slots=True)
class FamilyMember:
    """A table of a family."""

    name: str
    """Quoted, and with its schema where the search_path does not lead to it."""
    is_captured: bool | None
    """Whether all of its triggers are in place; None if triggers cannot capture all of its changes."""


def _members(roots: sql.Composed) -> sql.Composed:
    """Return the query for the members of the families whose root tables ``roots`` selects."""
    return sql_files.fragment(
        "family.members",
        roots=roots,
        function_prefix=FUNCTION_PREFIX,
        longest_name=LONGEST_NAME,
        triggers=[*TRIGGERS],
        trigger_count=len(TRIGGERS),
        replication_trigger=REPLICATION_TRIGGER,
    )


MEMBERS_OF_TRACKED = _members(sql_files.fragment("family.roots_of_tracked"))
"""The query for the members of the families of all tables that the database tracks, to be a part of another query."""
_OF_TABLE = sql_files.statement(
    "family.triggers", members=_members(sql_files.fragment("family.root_of_table"))
)


def members_of_table(cursor: CursorWrapper, relation: str) -> list[FamilyMember]:
    """Return the members of one table's family; none if there is no such table."""
    cursor.execute(_OF_TABLE, {"relation": relation})
    return sql_files.rows(cursor, FamilyMember)
