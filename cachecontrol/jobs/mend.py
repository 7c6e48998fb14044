"""Mend: restore triggers of tracked tables that were dropped, disabled or are no longer ``ENABLE ALWAYS``.

Bulk loads and ``pg_restore --disable-triggers`` end with ``ALTER TABLE … ENABLE TRIGGER ALL``, which enables the triggers for
ordinary sessions only. Until the triggers are restored, every whole drain moves the whole table, so that its entries do not last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from django.db import DatabaseError, OperationalError, connections

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.postgres import capture_function, sql_files, triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.utils import CursorWrapper

    from cachecontrol.core.registry import TrackedTable


LONGEST_LOCK = "500 ms"
"""The longest wait for the lock of a table. Writers of the table queue behind this request meanwhile."""

_OWNER = sql_files.statement("mend.owner")
_LIMIT_LOCK = sql_files.statement("mend.limit_lock", timeout=LONGEST_LOCK)


class OwnerRow(NamedTuple):
    """The row of ``mend.owner``."""

    may_alter: bool
    """Whether this role has the rights of the owner."""
    owner: str


def mend() -> Iterator[tuple[str, str]]:
    """Mend every tracked table that needs it. Yields the name of the table, and the error or "" if it was mended.

    Tables whose triggers another release created are left to the ``migrate`` of that release.
    """
    connection = connections[conf.database]
    schema = triggers.schema_of(connection)
    for relation in triggers.tables_without_triggers(connection) if schema else ():
        try:
            is_mended = _mend_table(relation, schema)
        except DatabaseError as error:
            yield relation, str(error)
        else:
            if is_mended:
                yield relation, ""


def _mend_table(relation: str, schema: str) -> bool:
    """Mend one table. Return whether its triggers changed. Raises DatabaseError."""
    tracked = registry.find(relation)
    with triggers.one_at_a_time(connections[conf.database]) as cursor:
        if tracked is None or not _may_mend(cursor, tracked, schema):
            return False
        cursor.execute(_LIMIT_LOCK)
        return triggers.synchronise_table(cursor, tracked, schema)


def _may_mend(cursor: CursorWrapper, tracked: TrackedTable, schema: str) -> bool:
    """Whether this release created the triggers. Raises OperationalError if the table belongs to another role."""
    definition = capture_function.definition(tracked, schema)
    cursor.execute(_OWNER, {"relation": tracked.relation, "definition": definition})
    owner = sql_files.row(cursor, OwnerRow)
    if owner and not owner.may_alter:
        raise OperationalError(f"the table belongs to {owner.owner}: run migrate as that role")
    return owner is not None
