"""The registry of tracked tables: whose changes are captured, and by which columns they are watched and sliced."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class ColumnForms(Protocol):
    """How the values of a table's columns are written."""

    def database_type(self, column: str) -> str:
        """Return the type of the column in the database, as the model names it (``numeric(8, 2)``)."""

    def is_text(self, column: str) -> bool:
        """Whether the values are text."""

    def is_written_alike(self, column: str) -> bool:
        """Whether Python and the trigger write each value in the same way, so that tags may contain it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedTable:
    """What is captured of one table. Columns are names in the database."""

    relation: str
    label: str
    """The model's label."""
    pk: str
    columns: tuple[str, ...]
    """Watched columns: a row moved if one of them differs."""
    slices: tuple[str, ...]
    ignored_fields: tuple[str, ...]
    """Names of the fields that cached reads defer."""
    ignored_columns: frozenset[str]
    """Columns of those fields: their changes move nothing."""
    known_columns: frozenset[str]
    """All columns of the tracked model."""
    forms: ColumnForms

    def can_name(self, column: str) -> bool:
        """Whether tags may contain the values of this column."""
        return (column == self.pk or column in self.slices) and self.forms.is_written_alike(column)

    def knows(self, column: str) -> bool:
        """Whether the column belongs to the tracked model. Another model of the same table may have more."""
        return column in self.known_columns


_tables: dict[str, TrackedTable] = {}


def add(table: TrackedTable) -> None:
    """Track a table, in place of what was registered for it before."""
    _tables[table.relation] = table
    schema.cache_clear()


@functools.cache
def schema() -> str:
    """Return a digest of the columns that this code reads.

    It is a part of every key, so that entries of code with other columns are not seen.
    """
    columns = repr([(t.relation, t.pk, t.columns, t.slices) for t in tracked_tables()])
    return hashlib.blake2b(columns.encode(), digest_size=16).hexdigest()


def find(relation: str) -> TrackedTable | None:
    """Return the tracked table of that name, or None."""
    return _tables.get(relation)


def tracked_tables() -> list[TrackedTable]:
    """Return every tracked table, by name."""
    return sorted(_tables.values(), key=lambda table: table.relation)


def untracked(relations: Iterable[str]) -> list[str]:
    """Return which of these tables are not tracked."""
    return sorted({relation for relation in relations if relation not in _tables})
