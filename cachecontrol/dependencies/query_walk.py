"""What a query depends on, derived from its compiled expressions and never from its SQL text.

A lookup of primary keys depends on those rows, an equality on a slice column on that slice, everything else on the whole
table. If a table is joined along a foreign key and its columns are only selected, the query depends on the joined rows in its
result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col, RawSQL
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query

from cachecontrol.core import registry, tags
from cachecontrol.dependencies import trusted_sql
from cachecontrol.dependencies.filter_tags import tags_of_filter
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


DISTINCT_ON, GROUP_BY = "DISTINCT ON", "GROUP BY"
_PLAIN_COLUMN = re.compile(r'"([^"]+)"\."[^"]+"')


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDependencies:
    """What the result of one compiled query depends on."""

    tags: frozenset[str] = frozenset()
    joined_rows: tuple[tuple[str, int], ...] = ()
    """Joined tables whose rows in the result count, each with the index of its primary key in a result row."""
    refusal: Refusal | None = None

    def tags_of_rows(self, rows: Iterable[Any]) -> set[str]:
        """Return the tags of the query and of the joined rows in its result."""
        names = set(self.tags)
        for row in rows:
            for relation, index in self.joined_rows:
                if row[index] is not None:
                    names.add(tags.row(relation, row[index]) or tags.table(relation))
        return names

    def tags_of_tables(self) -> set[str]:
        """Return the tags of the query if its result is not at hand: those of the joined tables as a whole."""
        return {*self.tags, *(tags.table(relation) for relation, _ in self.joined_rows)}


@dataclass(slots=True)
class QueryWalk:
    """Visits every part of a query while it is compiled, in all clauses.

    Note [Why columns that are only selected count by row]. A column decides if it affects which rows the result has, their
    order or computed values: the result then depends on every row of its table. If columns of a table are only selected, the
    result depends on the rows that it contains. Django compiles a column that is only selected on its own. A column that
    decides is part of another expression, is named by the query (``values()``, annotations), or is in DISTINCT ON or GROUP
    BY; of GROUP BY, the primary key of a selected row does not decide.
    """

    connection: BaseDatabaseWrapper
    sources: dict[str, Any] = field(default_factory=dict)
    """The tables and joins of the FROM clause by alias."""
    aliases: set[str] = field(default_factory=set)
    """Aliases of tables with columns that decide, including those of inner queries. A name collision only makes tags coarser."""
    refusal: Refusal | None = None
    _enclosing: list[Any] = field(default_factory=list)
    """The expressions and clauses around the part that is compiled now, the outermost first."""
    _visited: dict[int, Any] = field(default_factory=dict)
    """By identity. It keeps the expressions alive, so that no other one gets their identity."""

    def compile(self, node: Any, compile_node: Callable[[Any], Any]) -> Any:
        """Visit a part of the query, and compile it."""
        match node:
            case BaseTable() | Join() if not self._enclosing:
                self.sources[str(node.table_alias)] = node
                self._check(node)
            case RawSQL() if not self._enclosing:
                pass  # extra() is refused as a whole, and annotations are visited in dependencies_of()
            case Col() if not self._enclosing or (self._enclosing[-1] == GROUP_BY and _is_row_key(node)):
                self._check(node)
            case Col() if isinstance(self._enclosing[-1], Join):
                self._check(node)
                self._refuse_ignored(node)
            case _:
                self.visit(node)
        return self.within(node, lambda: compile_node(node))

    def within(self, part: Any, run: Callable[[], Any]) -> Any:
        """Compile what is inside of an expression, or of a clause in which every column decides, by calling ``run``."""
        self._enclosing.append(part)
        try:
            return run()
        finally:
            self._enclosing.pop()

    def visit(self, node: Any) -> None:
        """Visit an expression that decides, and its parts, some of which Django compiles without calling the compiler.

        See Note [Why columns that are only selected count by row].
        """
        if id(node) in self._visited or node is None or isinstance(node, Query):
            return
        self._visited[id(node)] = node
        self._check(node)
        if isinstance(node, Col):
            self.aliases.add(node.alias)
            self._refuse_ignored(node)
        for part in getattr(node, "get_source_expressions", list)():
            self.visit(part)

    def refuse(self, reason: Reason, cause: str) -> None:
        """Refuse to store the result. The first refusal remains."""
        self.refusal = self.refusal or Refusal(reason, cause)

    def add_parents(self, by_row: Iterable[str]) -> None:
        """Mark the tables whose columns join a table that decides. Joins by primary key do not count: keys do not change.

        ``by_row`` are the aliases whose rows in the result count, unless they decide.
        """
        for source in reversed(self.sources.values()):
            parent = self.sources.get(source.parent_alias)
            counts_by_row = source.table_alias in by_row and source.table_alias not in self.aliases
            if parent is not None and not counts_by_row and not _is_joined_by_key(source, parent):
                self.aliases.add(source.parent_alias)

    def _check(self, node: Any) -> None:
        if refusal := trusted_sql.refusal_of(node, self.connection):
            self.refuse(*refusal)
        if isinstance(node, Col) and not _is_captured(node):
            self.refuse(Reason.UNTRACKED, f"{node.target.model._meta.db_table}.{node.target.column}")

    def _refuse_ignored(self, column: Col) -> None:
        """Refuse a column that decides and whose changes move no tag."""
        relation = column.target.model._meta.db_table
        tracked = registry.find(relation)
        if tracked and column.target.column in tracked.ignored_columns:
            self.refuse(Reason.IGNORED, f"{relation}.{column.target.column}")


def dependencies_of(compiler: SQLCompiler, walk: QueryWalk) -> QueryDependencies:
    """Return what a query depends on, given its compiler after compilation and the walk over its parts."""
    query = compiler.query
    if refusal := _refusal_of_query(query, walk.connection):
        return QueryDependencies(refusal=refusal)
    for node in (*query.select, *query.annotation_select.values()):
        walk.visit(node)
    # DISTINCT ON decides which rows the result has.
    by_row = _tables_joined_by_row(compiler) if walk.sources and not query.distinct_fields else {}
    walk.add_parents(by_row)
    names: set[str] = set()
    joined_rows = []
    for alias, source in walk.sources.items():
        if alias in by_row and alias not in walk.aliases and source.filtered_relation is None:
            joined_rows.append(by_row[alias])
        else:
            names |= tags_of_filter(query, alias, source.table_name) or {tags.table(source.table_name)}
    refusal = walk.refusal or _refusal_of_tables(walk)
    return QueryDependencies(tags=frozenset(names), joined_rows=tuple(joined_rows), refusal=refusal)


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


def _is_joined_by_key(source: Any, parent: Any) -> bool:
    """Whether all columns of the parent in this join are its primary key."""
    tracked = registry.find(parent.table_name)
    return tracked is not None and all(column == tracked.pk for column, _ in source.join_cols)


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
                    if isinstance(column, Col) and _is_row_key(column):
                        tables.setdefault(column.alias, (column.target.model._meta.db_table, index))
            add_joined_to(joined)

    add_joined_to(compiler.klass_info or {})
    return tables


def _is_row_key(column: Col) -> bool:
    """Whether the column is the primary key that row tags of its table contain."""
    tracked = registry.find(column.target.model._meta.db_table)
    name = column.target.column
    return tracked is not None and name == tracked.pk and tracked.can_name(name)


def _is_captured(column: Col) -> bool:
    """Whether the table's triggers know the column. Another model of the same table may have more columns."""
    tracked = registry.find(column.target.model._meta.db_table)
    return tracked is None or tracked.knows(str(column.target.column))
