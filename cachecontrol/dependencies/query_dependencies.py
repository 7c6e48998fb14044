"""What a query depends on, derived from its compiled expressions and never from its SQL text.

A lookup of primary keys depends on those rows, an equality on a slice column on that slice, everything else on the whole table:
in the columns that decide. In the columns that are only selected, the query depends on the rows in its result, as far as the
result names them. If a table is joined along a foreign key and none of its columns decides, the query depends on the joined
rows in its result alone. See Note [Why dependencies name columns] in ``core/dependency.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col

from cachecontrol.conf import conf
from cachecontrol.core import registry, tags
from cachecontrol.core.dependency import ALL, Dependency, written_columns
from cachecontrol.dependencies import trusted_sql
from cachecontrol.dependencies.filter_tags import tags_of_filter
from cachecontrol.dependencies.query_walk import is_row_key
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler
    from django.db.models.sql.query import Query

    from cachecontrol.dependencies.query_walk import QueryWalk

_PLAIN_COLUMN = re.compile(r'"([^"]+)"\."([^"]+)"')


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


def dependencies_of(compiler: SQLCompiler, walk: QueryWalk) -> QueryDependencies:
    """Return what a query depends on, given its compiler after compilation and the walk over its parts."""
    query = compiler.query
    if refusal := _refusal_of_query(query, walk.connection):
        return QueryDependencies(refusal=refusal)
    _visit_selection(query, walk)
    # DISTINCT ON decides which rows the result has.
    by_row = _tables_joined_by_row(compiler) if walk.sources and not query.distinct_fields else {}
    by_row = {alias: joined for alias, joined in by_row.items() if not walk.sources[alias].filtered_relation}
    walk.add_joins(by_row)
    keys = {} if query.distinct or query.combinator else _keys_in_result(compiler)
    fixed: set[Dependency] = set()
    sources: list[RowSource] = []
    for alias in walk.sources:
        if alias in by_row and not walk.deciding[alias]:
            sources.append(_joined_rows(walk, alias, *by_row[alias]))
        else:
            table = _TableUse(query, walk, alias)
            fixed |= table.dependencies(with_selected=alias not in keys)
            if alias in keys and (rows := table.rows(keys[alias])):
                sources.append(rows)
    return QueryDependencies(
        fixed=frozenset(fixed),
        sources=tuple(sources),
        limit=_limit(query),
        refusal=walk.refusal or _refusal_of_tables(walk),
    )


class _TableUse:
    """How a query uses one of its tables."""

    def __init__(self, query: Query, walk: QueryWalk, alias: str) -> None:
        self.relation = str(walk.sources[alias].table_name)
        self.deciding, self.selected = walk.deciding[alias], walk.selected[alias]
        filtered = tags_of_filter(query, alias, self.relation)
        self.names = filtered or {tags.table(self.relation)}
        self.has_only_needed_rows = filtered is not None or not query.where

    def dependencies(self, *, with_selected: bool) -> frozenset[Dependency]:
        """Return the dependencies on the tags of the filter, in the columns that decide, and with those that are selected."""
        return frozenset(
            Dependency(tag, _written(self.relation, self._columns(tag, with_selected=with_selected)))
            for tag in self.names
        )

    def rows(self, index: int) -> RowSource | None:
        """Return the table as one whose rows the result names at this index; None if its tags name these rows."""
        if all(map(tags.is_row, self.names)):
            return None
        return RowSource(
            relation=self.relation,
            index=index,
            columns=_written(self.relation, self.selected),
            otherwise=self.dependencies(with_selected=True),
            only_if_cut=self.has_only_needed_rows,
        )

    def _columns(self, tag: str, *, with_selected: bool) -> set[str]:
        """Return the columns that matter in a row, slice or table. Its own column tells which rows belong to a slice."""
        is_row = tags.is_row(tag)
        own = {tags.column_of(tag)} if tags.is_fine(tag) and not is_row else set()
        return self.deciding | own | (self.selected if with_selected or is_row else set())


def _joined_rows(walk: QueryWalk, alias: str, relation: str, index: int) -> RowSource:
    columns = _written(relation, walk.selected[alias])
    whole = frozenset({Dependency(tags.table(relation), columns)})
    return RowSource(relation=relation, index=index, columns=columns, otherwise=whole)


def _written(relation: str, columns: set[str]) -> str:
    """Return the written form of columns. A primary key changes with all columns of its row, so it need not be named.

    Columns that no trigger watches, such as virtual generated ones, may change with any other.
    """
    table = registry.find(relation)
    if table is None:
        return ALL
    columns = columns - table.ignored_columns
    if not columns <= {*table.columns, table.pk}:
        return ALL
    return written_columns(columns - {table.pk} or {table.pk})


def _visit_selection(query: Query, walk: QueryWalk) -> None:
    for node in query.select:
        if isinstance(node, Col):
            walk.refuse_ignored(node)
        else:
            walk.visit(node)
    for node in query.annotation_select.values():
        walk.visit(node)
    for relation, column in _extra_columns(query):
        for alias, source in walk.sources.items():
            if source.table_name == relation:
                walk.deciding[alias].add(column)


def _extra_columns(query: Query) -> Iterator[tuple[str, str]]:
    """Yield the table and column that each SQL of ``extra()`` names, as that of a prefetch does."""
    for sql, _ in query.extra.values():
        if column := _PLAIN_COLUMN.fullmatch(sql):
            yield column[1], column[2]


def _limit(query: Query) -> int | None:
    """Return the number of rows with which the result may lack others; None if it has all."""
    if not query.is_sliced:
        return None
    return query.high_mark - query.low_mark if query.high_mark is not None and not query.low_mark else 0


def _keys_in_result(compiler: SQLCompiler) -> dict[str, int]:
    """Return the index of the primary key in a row of the result, by alias of each table whose key is selected."""
    keys: dict[str, int] = {}
    for index, (column, _, _) in enumerate(compiler.select):
        if isinstance(column, Col) and is_row_key(column):
            keys.setdefault(column.alias, index)
    return keys


def _refusal_of_tables(walk: QueryWalk) -> Refusal | None:
    untracked = registry.untracked(source.table_name for source in walk.sources.values())
    return Refusal(Reason.UNTRACKED, ", ".join(untracked)) if untracked else None


def _refusal_of_query(query: Query, connection: BaseDatabaseWrapper) -> Refusal | None:
    """Return why the compiled expressions may not show everything that the query reads; None if they do."""
    if not trusted_sql.is_backend_known(connection):
        return Refusal(Reason.UNCOVERED, f"the database backend {type(connection).__module__}")
    if _has_extra(query):
        return Refusal(Reason.UNCOVERED, "extra()")
    if any(not getattr(combined, "reports", False) for combined in query.combined_queries):
        return Refusal(Reason.UNTRACKED, "a combined queryset that is not tracked")
    if query.select_for_update:
        return Refusal(Reason.FOR_UPDATE, query.get_meta().db_table)
    return None


def _has_extra(query: Query) -> bool:
    """Whether the query contains SQL of a project from ``extra()``.

    A prefetch along a many-to-many relation uses it too, but only to name columns of its own joins.
    """
    joined = {source.table_name for source in query.alias_map.values()}
    is_prefetch = all(
        name.startswith("_prefetch_related_val_")
        and not params
        and (column := _PLAIN_COLUMN.fullmatch(sql))
        and column[1] in joined
        for name, (sql, params) in query.extra.items()
    )
    return bool(query.extra_tables or query.extra_order_by or not is_prefetch)


def _tables_joined_by_row(compiler: SQLCompiler) -> dict[str, tuple[str, int]]:
    """Return the tables that ``select_related`` joined along real foreign keys.

    By alias: the name of the table, and the index of its primary key in a result row.
    """
    tables: dict[str, tuple[str, int]] = {}

    def add_joined_to(model: dict[str, Any]) -> None:
        for joined in model.get("related_klass_infos", ()):
            if not joined["reverse"] and getattr(joined["field"], "db_constraint", False):
                for index in joined["select_fields"]:
                    column = compiler.select[index][0]
                    if isinstance(column, Col) and is_row_key(column):
                        tables.setdefault(column.alias, (column.target.model._meta.db_table, index))
            add_joined_to(joined)

    add_joined_to(compiler.klass_info or {})
    return tables
