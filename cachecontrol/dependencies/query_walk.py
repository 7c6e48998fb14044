"""What a query depends on, derived from its compiled expressions and never from its SQL text.

A lookup of primary keys depends on those rows, an equality on a slice column on that slice, all else on the whole table.
A table that is joined along a foreign key and only selected from depends on the rows that came back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col, RawSQL
from django.db.models.fields.related_lookups import RelatedExact, RelatedIn, RelatedIsNull
from django.db.models.lookups import Exact, In, IntegerFieldExact, IsNull
from django.db.models.sql.datastructures import BaseTable, Join
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, OR, WhereNode

from cachecontrol.conf import conf
from cachecontrol.core import registry, tags
from cachecontrol.dependencies import trusted_sql
from cachecontrol.postgres import tracked_models
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler


_EQUALITIES = (Exact, In, IsNull, IntegerFieldExact, RelatedExact, RelatedIn, RelatedIsNull)
"""Lookups that tags can express. Any other lookup may match values that are written differently."""
DISTINCT_ON, GROUP_BY = "DISTINCT ON", "GROUP BY"
_PLAIN_COLUMN = re.compile(r'"([^"]+)"\."[^"]+"')


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryDependencies:
    """What the result of one compiled query depends on."""

    tags: frozenset[str] = frozenset()
    came_back: tuple[tuple[str, int], ...] = ()
    """Tables of which the rows that came back count: each with the index of its primary key in a result row."""
    refusal: Refusal | None = None

    def of_rows(self, rows: Iterable[Any]) -> set[str]:
        """The tags of this result: those of the query and of the joined rows that came back."""
        found = set(self.tags)
        for row in rows:
            for relation, index in self.came_back:
                if row[index] is not None:
                    found.add(tags.row(relation, row[index]) or tags.table(relation))
        return found

    def of_tables(self) -> set[str]:
        """The tags where the rows are not at hand: the joined tables as a whole."""
        return {*self.tags, *(tags.table(relation) for relation, _ in self.came_back)}


@dataclass(slots=True)
class QueryWalk:
    """Visits every part of a query while it is compiled, in all clauses.

    Note [Columns that decide and columns that are only selected]. A column decides if it affects which rows come back, their
    order or computed values: the result then depends on every row of its table. If columns of a table are only selected, the
    result depends on the rows that came back. Django compiles a column that is only selected on its own. A column that
    decides is part of another expression, is named by the query (``values()``, annotations), or is in DISTINCT ON or GROUP
    BY; of GROUP BY, the primary key of a selected row does not decide.
    """

    connection: BaseDatabaseWrapper
    sources: dict[str, Any] = field(default_factory=dict)
    """The tables and joins of the FROM clause by alias."""
    aliases: set[str] = field(default_factory=set)
    """Aliases of tables with columns that decide, including those of inner queries. A name collision only makes tags coarser."""
    refusal: Refusal | None = None
    _around: list[Any] = field(default_factory=list)
    _seen: dict[int, Any] = field(default_factory=dict)

    def compile(self, node: Any, compile_it: Callable[[Any], Any]) -> Any:
        """Visit a part of the query, and compile it."""
        match node:
            case BaseTable() | Join() if not self._around:
                self.sources[str(node.table_alias)] = node
                self._judge(node)
            case RawSQL() if not self._around:
                pass  # extra() is refused as a whole, and annotations are visited in of()
            case Col() if not self._around or (self._around[-1] == GROUP_BY and _names_rows(node)):
                self._judge(node)
            case Col() if isinstance(self._around[-1], Join):
                self._judge(node)
                self._look_at(node)
            case _:
                self.visit(node)
        return self.within(node, lambda: compile_it(node))

    def within(self, place: Any, run: Callable[[], Any]) -> Any:
        """Compile the parts of an expression, or of a clause in which every column decides, by calling ``run``."""
        self._around.append(place)
        try:
            return run()
        finally:
            self._around.pop()

    def visit(self, node: Any) -> None:
        """Visit an expression that decides, and its parts, some of which Django compiles without calling the compiler."""
        if id(node) in self._seen or node is None or isinstance(node, Query):
            return
        self._seen[id(node)] = node
        self._judge(node)
        if isinstance(node, Col):
            self.aliases.add(node.alias)
            self._look_at(node)
        for part in getattr(node, "get_source_expressions", list)():
            self.visit(part)

    def refuse(self, reason: Reason, blame: str) -> None:
        """Refuse to store the result. The first reason is kept."""
        self.refusal = self.refusal or Refusal(reason, blame)

    def add_parents(self, shown: Iterable[str]) -> None:
        """Mark the tables whose columns join a table that decides. Joins by primary key do not count: keys do not change."""
        for source in reversed(self.sources.values()):
            parent = self.sources.get(source.parent_alias)
            is_shown = source.table_alias in shown and source.table_alias not in self.aliases
            if parent is not None and not is_shown and not _is_joined_by_key(source, parent):
                self.aliases.add(source.parent_alias)

    def _judge(self, node: Any) -> None:
        if found := trusted_sql.refusal_of(node, self.connection):
            self.refuse(*found)
        if isinstance(node, Col) and not _is_captured(node):
            self.refuse(Reason.UNTRACKED, f"{node.target.model._meta.db_table}.{node.target.column}")

    def _look_at(self, column: Col) -> None:
        """Refuse a column that decides if the model ignores it."""
        relation = column.target.model._meta.db_table
        tracked = registry.find(relation)
        if tracked and column.target.column in tracked.ignored_columns:
            self.refuse(Reason.IGNORED, f"{relation}.{column.target.column}")


def dependencies_of(compiler: SQLCompiler, walk: QueryWalk) -> QueryDependencies:
    """What a query depends on, given its compiler after compilation and the walk over its parts."""
    query = compiler.query
    if found := _refusal_of_query(query, walk.connection):
        return QueryDependencies(refusal=found)
    for node in (*query.select, *query.annotation_select.values()):
        walk.visit(node)
    # DISTINCT ON decides which rows come back.
    shown = _came_back(compiler) if walk.sources and not query.distinct_fields else {}
    walk.add_parents(shown)
    names: set[str] = set()
    came_back = []
    for alias, source in walk.sources.items():
        if alias in shown and alias not in walk.aliases and source.filtered_relation is None:
            came_back.append(shown[alias])
        else:
            names |= _restricted(query, alias, source.table_name) or {tags.table(source.table_name)}
    bare = registry.untracked(source.table_name for source in walk.sources.values())
    refusal = walk.refusal or (Refusal(Reason.UNTRACKED, ", ".join(bare)) if bare else None)
    return QueryDependencies(tags=frozenset(names), came_back=tuple(came_back), refusal=refusal)


def _refusal_of_query(query: Query, connection: BaseDatabaseWrapper) -> Refusal | None:
    """Why the compiled expressions may not show everything that the query reads; None if they do."""
    if not trusted_sql.is_backend_known(connection):
        return Refusal(Reason.UNCOVERED, f"the database backend {type(connection).__module__}")
    if _has_raw_parts(query):
        return Refusal(Reason.UNCOVERED, "extra()")
    if any(not getattr(combined, "reports", False) for combined in query.combined_queries):
        return Refusal(Reason.UNTRACKED, "a combined queryset that is not tracked")
    if query.select_for_update:
        return Refusal(Reason.FOR_UPDATE, query.get_meta().db_table)
    return None


def _is_joined_by_key(source: Any, parent: Any) -> bool:
    tracked = registry.find(parent.table_name)
    return tracked is not None and all(own == tracked.pk for own, _ in source.join_cols)


def _has_raw_parts(query: Query) -> bool:
    """Whether SQL of a project's own stands in the query. A prefetch over many-to-many names columns of its own joins so."""
    joined = {source.table_name for source in query.alias_map.values()}
    prefetched = all(
        name.startswith("_prefetch_related_val_")
        and not params
        and (column := _PLAIN_COLUMN.fullmatch(sql))
        and column[1] in joined
        for name, (sql, params) in query.extra.items()
    )
    return bool(query.extra_tables or query.extra_order_by or not prefetched)


def _came_back(compiler: SQLCompiler) -> dict[str, tuple[str, int]]:
    """For each alias that ``select_related`` joined along real foreign keys: its table and where its primary key stands."""
    found: dict[str, tuple[str, int]] = {}

    def look(info: dict[str, Any]) -> None:
        for related in info.get("related_klass_infos", ()):
            join = related["field"]
            if not related["reverse"] and getattr(join, "db_constraint", False):
                for index in related["select_fields"]:
                    column = compiler.select[index][0]
                    if isinstance(column, Col) and _names_rows(column):
                        found.setdefault(column.alias, (column.target.model._meta.db_table, index))
            look(related)

    look(compiler.klass_info or {})
    return found


def _names_rows(column: Col) -> bool:
    """Whether the column is the primary key that row tags of its table contain."""
    tracked = registry.find(column.target.model._meta.db_table)
    name = column.target.column
    return tracked is not None and name == tracked.pk and tracked.can_name(name)


def _is_captured(column: Col) -> bool:
    """Whether the table's triggers know the column. Another model of the same table may have more columns."""
    tracked = registry.find(column.target.model._meta.db_table)
    return tracked is None or tracked.knows(str(column.target.column))


def _restricted(query: Query, alias: str, relation: str) -> set[str] | None:
    """The row or slice tags that all rows of this alias are within, by the filter; None if it does not restrict them so."""
    tracked = registry.find(relation)
    if tracked is None:
        return None
    is_base = alias == query.base_table
    return _best(query.where, alias, tracked, is_base)


def _best(node: Any, alias: str, tracked: registry.TrackedTable, is_base: bool) -> set[str] | None:
    if not isinstance(node, WhereNode):
        return _of_lookup(node, alias, tracked, is_base)
    if node.negated:
        return None
    branches = [_best(child, alias, tracked, is_base) for child in node.children]
    if node.connector == AND:
        return min(filter(None, branches), key=lambda found: _rank(found, tracked), default=None)
    if node.connector == OR and branches and all(branches):
        union = set().union(*(branch for branch in branches if branch))
        return union if len(union) <= conf.rows_per_entry else None
    return None


def _rank(found: set[str], tracked: registry.TrackedTable) -> tuple[int, int]:
    """Rows before slices, slices in the order in which they are declared."""
    tag = next(iter(found))
    if tag.startswith(f"{tracked.relation}#"):
        return (0, len(found))
    column = tag.removeprefix(f"{tracked.relation}.").partition("=")[0].removesuffix("~")
    return (1 + tracked.slices.index(column), len(found))


def _of_lookup(lookup: Any, alias: str, tracked: registry.TrackedTable, is_base: bool) -> set[str] | None:
    column = getattr(lookup, "lhs", None)
    if type(lookup) not in _EQUALITIES or not isinstance(column, Col) or column.alias != alias:
        return None
    name = str(column.target.column)
    if not tracked.can_name(name) or not tracked_models.is_written_alike(column.output_field):
        return None
    if isinstance(lookup, IsNull):
        # An outer join gives NULL also where no row is, which no slice of the joined table can tell.
        return {f"{tracked.relation}.{name}~"} if lookup.rhs and is_base and name in tracked.slices else None
    values = (
        list(lookup.rhs)
        if isinstance(lookup, In) and isinstance(lookup.rhs, list | tuple | set | frozenset)
        else [lookup.rhs]
    )
    if len(values) > conf.rows_per_entry or not values:
        return None
    return _tags_of(tracked, name, values)


def _tags_of(tracked: registry.TrackedTable, column: str, values: list[Any]) -> set[str] | None:
    if any(value is not None and tags.written_form(value) is None for value in values):
        return None
    if column == tracked.pk:
        return {
            tag for value in values if value is not None and (tag := tags.row(tracked.relation, value))
        } or None
    return {
        tag
        for value in values
        if value is not None and (tag := tags.slice_of(tracked.relation, column, value))
    } or None
