"""What a query depends on, given its shape, the values of its filter and the rows of its result.

A lookup of primary keys depends on those rows, an equality on a slice column on that slice, everything else on the whole table:
in the columns that decide. In the columns that are only selected, the query depends on the rows in its result, as far as the
result names them. If a table is joined along a foreign key and none of its columns decides, the query depends on the joined
rows in its result alone. See Note [Why dependencies name columns] in ``core/dependency.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cachecontrol.conf import conf
from cachecontrol.core import tags
from cachecontrol.core.dependency import Dependency
from cachecontrol.dependencies.filter_tags import tags_of_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.db.models.sql.query import Query

    from cachecontrol.dependencies.query_shapes import QueryShape, TableShape
    from cachecontrol.reasons import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class RowSource:
    """A table of a query, of which each row of the result names the row that it was made of."""

    relation: str
    index: int
    """Index of the primary key in a row of the result."""
    columns: str
    """The selected columns: they matter in the rows that the result names."""
    otherwise: frozenset[Dependency]
    """What the result depends on instead if its rows are not at hand, or too many."""
    only_if_cut: bool = False
    """Whether naming rows is of use only if a limit left some out: otherwise ``otherwise`` means hardly more rows."""

    def of_rows(self, rows: Sequence[Any]) -> Iterable[Dependency]:
        """Return the dependencies on the rows of this table that these rows of the result name."""
        keys = {row[self.index] for row in rows} - {None}
        names = {tags.row(self.relation, key) for key in keys} if len(keys) <= conf.rows_per_entry else {None}
        return self.otherwise if None in names else (Dependency(str(name), self.columns) for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDependencies:
    """What the result of one compiled query depends on."""

    fixed: frozenset[Dependency] = frozenset()
    """What it depends on whatever rows it has."""
    sources: tuple[RowSource, ...] = ()
    limit: int | None = None
    """The number of rows with which the result may lack others; None if the query has no limit."""
    refusal: Refusal | None = None

    def of_rows(self, rows: Sequence[Any]) -> set[Dependency]:
        """Return what the query depends on, given the rows of its result."""
        is_cut = self.limit is not None and len(rows) >= self.limit
        found = set(self.fixed)
        for source in self.sources:
            found |= {*(source.of_rows(rows) if is_cut or not source.only_if_cut else source.otherwise)}
        return found

    def without_rows(self) -> set[Dependency]:
        """Return what the query depends on if the rows of its result are not at hand."""
        return {*self.fixed, *(dependency for source in self.sources for dependency in source.otherwise)}


def dependencies_of(query: Query, shape: QueryShape) -> QueryDependencies:
    """Return what a query depends on, given its shape."""
    fixed: set[Dependency] = set()
    sources: list[RowSource] = []
    for table in shape.tables:
        if table.is_joined_by_row:
            sources.append(_joined_rows(table))
            continue
        use = _TableUse(query, table)
        fixed |= use.dependencies(with_selected=table.key_index is None)
        if rows := use.rows():
            sources.append(rows)
    return QueryDependencies(
        fixed=frozenset(fixed), sources=tuple(sources), limit=_limit(query), refusal=shape.refusal
    )


class _TableUse:
    """How a query uses one of its tables."""

    def __init__(self, query: Query, table: TableShape) -> None:
        self.table = table
        filtered = tags_of_filter(query, table.alias, table.relation)
        self.names = filtered or {tags.table(table.relation)}
        self.has_only_needed_rows = filtered is not None or not query.where

    def dependencies(self, *, with_selected: bool) -> frozenset[Dependency]:
        """Return the dependencies on the tags of the filter, in the columns that decide, and with those that are selected."""
        return frozenset(
            Dependency(tag, self.table.written(self._columns(tag, with_selected=with_selected)))
            for tag in self.names
        )

    def rows(self) -> RowSource | None:
        """Return the table as one whose rows the result names; None if it does not, or if its tags name these rows."""
        if self.table.key_index is None or all(map(tags.is_row, self.names)):
            return None
        return RowSource(
            relation=self.table.relation,
            index=self.table.key_index,
            columns=self.table.written(self.table.selected),
            otherwise=self.dependencies(with_selected=True),
            only_if_cut=self.has_only_needed_rows,
        )

    def _columns(self, tag: str, *, with_selected: bool) -> frozenset[str]:
        """Return the columns that matter in a row, slice or table. Its own column tells which rows belong to a slice."""
        is_row = tags.is_row(tag)
        columns = self.table.deciding
        if tags.is_fine(tag) and not is_row:
            columns |= {tags.column_of(tag)}
        return columns | self.table.selected if with_selected or is_row else columns


def _joined_rows(table: TableShape) -> RowSource:
    columns = table.written(table.selected)
    whole = frozenset({Dependency(tags.table(table.relation), columns)})
    return RowSource(relation=table.relation, index=table.key_index or 0, columns=columns, otherwise=whole)


def _limit(query: Query) -> int | None:
    """Return the number of rows with which the result may lack others; None if it has all."""
    if not query.is_sliced:
        return None
    return query.high_mark - query.low_mark if query.high_mark is not None and not query.low_mark else 0
