"""Query shapes: which columns of which tables a query reads, derived from its compiled expressions, never from its SQL text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col

from cachecontrol.core import registry
from cachecontrol.core.dependency import ALL, written_columns
from cachecontrol.dependencies import trusted_sql
from cachecontrol.dependencies.query_walk import is_row_key
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler
    from django.db.models.sql.query import Query

    from cachecontrol.core.registry import TrackedTable
    from cachecontrol.dependencies.query_walk import QueryWalk

_PLAIN_COLUMN = re.compile(r'"([^"]+)"\."([^"]+)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class TableShape:
    """How a query reads one of its tables."""

    alias: str
    relation: str
    tracked: TrackedTable | None
    deciding: frozenset[str]
    selected: frozenset[str]
    """Columns that are only selected."""
    key_index: int | None = None
    """Index of the primary key in a row of the result; None if the result does not name the rows of this table."""
    is_joined_by_row: bool = False
    """Whether the table is joined along a foreign key to rows that the result names, and none of its columns decides."""
    _written: dict[frozenset[str], str] = field(default_factory=dict, compare=False, repr=False)

    def written(self, columns: frozenset[str]) -> str:
        """Return the written form of columns. A primary key changes with all columns of its row, so it need not be named.

        Columns that no trigger watches, such as virtual generated ones, may change with any other.
        """
        if columns not in self._written:
            self._written[columns] = _written(self.tracked, columns)
        return self._written[columns]


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryShape:
    """What the walk over a query tells about its tables, whatever the values of its parameters."""

    tables: tuple[TableShape, ...] = ()
    refusal: Refusal | None = None
    """Why the result must not be stored."""


def shape_of(compiler: SQLCompiler, walk: QueryWalk) -> QueryShape:
    """Return the shape of a query, given its compiler after compilation and the walk over its parts."""
    query = compiler.query
    if refusal := _refusal_of_query(query, walk.connection):
        return QueryShape(refusal=refusal)
    _visit_selection(query, walk)
    # DISTINCT ON decides which rows the result has.
    by_row = _tables_joined_by_row(compiler) if walk.sources and not query.distinct_fields else {}
    by_row = {alias: index for alias, index in by_row.items() if not walk.sources[alias].filtered_relation}
    walk.add_joins(by_row)
    keys = {} if query.distinct or query.combinator else _keys_in_result(compiler)
    joined = {alias: index for alias, index in by_row.items() if not walk.deciding[alias]}
    return QueryShape(
        tables=tuple(_table_shape(walk, alias, keys, joined) for alias in walk.sources),
        refusal=walk.refusal or _refusal_of_tables(walk),
    )


def _written(table: TrackedTable | None, columns: frozenset[str]) -> str:
    if table is None:
        return ALL
    columns = columns - table.ignored_columns
    if not columns <= {*table.columns, table.pk}:
        return ALL
    return written_columns(columns - {table.pk} or {table.pk})


def _table_shape(walk: QueryWalk, alias: str, keys: dict[str, int], joined: dict[str, int]) -> TableShape:
    relation = str(walk.sources[alias].table_name)
    return TableShape(
        alias=alias,
        relation=relation,
        tracked=registry.find(relation),
        deciding=frozenset(walk.deciding[alias]),
        selected=frozenset(walk.selected[alias]),
        key_index=joined.get(alias, keys.get(alias)),
        is_joined_by_row=alias in joined,
    )


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


def _tables_joined_by_row(compiler: SQLCompiler) -> dict[str, int]:
    """Return the tables that ``select_related`` joined along real foreign keys.

    By alias: the index of the table's primary key in a row of the result.
    """
    tables: dict[str, int] = {}

    def add_joined_to(model: dict[str, Any]) -> None:
        for joined in model.get("related_klass_infos", ()):
            if not joined["reverse"] and getattr(joined["field"], "db_constraint", False):
                for index in joined["select_fields"]:
                    column = compiler.select[index][0]
                    if isinstance(column, Col) and is_row_key(column):
                        tables.setdefault(column.alias, index)
            add_joined_to(joined)

    add_joined_to(compiler.klass_info or {})
    return tables
