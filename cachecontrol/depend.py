"""What a query depends on: read off the compiled query, never off its SQL text.

A lookup of primary keys depends on those rows, an equality on a slice column on that slice, all else on the whole table.
A table that is joined along a foreign key and only selected from depends on the rows that came back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.functions import RandomUUID, TransactionNow
from django.db.models import DateField, TimeField
from django.db.models.constants import LOOKUP_SEP
from django.db.models.expressions import Col, Func, RawSQL, Value
from django.db.models.functions import Cast, Now, Random
from django.db.models.lookups import Exact, In, IsNull, Lookup
from django.db.models.sql.query import Query
from django.db.models.sql.where import AND, OR, ExtraWhere, NothingNode, WhereNode

from cachecontrol import tags, tracking
from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from django.db.models.sql.compiler import SQLCompiler


_PLAIN_COLUMN = re.compile(r'"([^"]+)"\."[^"]+"')
_MOMENT = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Words by which PostgreSQL reads text as another moment each time, among any signs and names of zones and days."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependence:
    """What the result of one compiled query depends on."""

    tags: frozenset[str] = frozenset()
    came_back: tuple[tuple[str, int], ...] = ()
    """Tables of which the rows that came back count: each with the index of its primary key in a result row."""
    refusal: tuple[str, str] | None = None

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
class _Walk:
    """What is met on a walk through the expressions of a query."""

    aliases: set[str] = field(default_factory=set)
    """Tables that an expression reads, those of inner queries included: names that collide only make tags coarser."""
    refusal: tuple[str, str] | None = None
    plain: list[Query] = field(default_factory=list)
    """Inner queries that do not report for themselves."""

    def visit(self, node: Any) -> None:
        match node:
            case Col():
                self._visit_column(node)
            case Query():
                self._visit_query(node)
            case RawSQL() | ExtraWhere():
                self._refuse("uncovered", "raw SQL in an expression")
            case Now() | Random() | RandomUUID() | TransactionNow():
                self._refuse("volatile", type(node).__name__)
            case Value(value=str(text)) if _MOMENT.search(text):
                self._refuse("volatile", text)
            case Cast() if _reads_a_moment(node):
                self._refuse("volatile", "text that is cast to a moment")
            case _ if hasattr(node, "as_sql") and not _is_known(node):
                self._refuse("uncovered", f"the expression {type(node).__name__}")
        for child in _children(node):
            self.visit(child)

    def _visit_column(self, column: Col) -> None:
        self.aliases.add(column.alias)
        self._look_at(column.target.model._meta.db_table, column.target.column)

    def look_at_keys(self, query: Query) -> None:
        """Look at the columns that a query joins by and tells rows apart by, which no expression names."""
        for source in query.alias_map.values():
            for own, others in getattr(source, "join_cols", ()):
                self._look_at(query.alias_map[source.parent_alias].table_name, own)
                self._look_at(source.table_name, others)
        for name in set(query.distinct_fields) - query.annotations.keys():
            for target in query.names_to_path(name.split(LOOKUP_SEP), query.get_meta())[2]:
                self._look_at(target.model._meta.db_table, target.column)

    def _look_at(self, relation: str, column: str | None) -> None:
        tracked = tracking.find(relation)
        if tracked and column in tracked.blind:
            self._refuse("ignored", f"{relation}.{column}")

    def _visit_query(self, query: Query) -> None:
        if not getattr(query, "reports", False):
            self.plain.append(query)
            if _has_raw_parts(query) or any(not getattr(q, "reports", False) for q in query.combined_queries):
                self._refuse("uncovered", "extra() or a union in a queryset that is not tracked")
        for node in _expressions(query, ()):
            self.visit(node)
        self.look_at_keys(query)

    def of_plain(self) -> set[str]:
        """The tables of the inner queries that do not report for themselves."""
        return {
            tags.table(relation)
            for query in self.plain
            for relation in [
                query.get_meta().db_table,
                *(source.table_name for source in query.alias_map.values()),
            ]
        }

    def _refuse(self, reason: str, blame: str) -> None:
        self.refusal = self.refusal or (reason, blame)


def of(compiler: SQLCompiler, used: Mapping[str, Any], ordering: Iterable[Any]) -> Dependence:
    """What a query depends on, given its compiler after compilation, the aliases of its FROM and its ordering."""
    query = compiler.query
    walk = _Walk()
    # DISTINCT ON decides which rows come back by columns that no expression names.
    selected = _came_back(compiler) if used and not query.distinct_fields else {}
    for node in _expressions(query, ordering):
        walk.visit(node)
    walk.look_at_keys(query)
    if _has_raw_parts(query):
        return Dependence(refusal=("uncovered", "extra()"))
    if any(not getattr(combined, "reports", False) for combined in query.combined_queries):
        return Dependence(refusal=("untracked", "a combined queryset that is not tracked"))
    if query.select_for_update:
        return Dependence(refusal=("for_update", query.get_meta().db_table))
    found: set[str] = set()
    came_back = []
    for alias, source in used.items():
        if alias in selected and alias not in walk.aliases and source.filtered_relation is None:
            came_back.append(selected[alias])
        else:
            found |= _restricted(query, alias, source.table_name) or {tags.table(source.table_name)}
    found |= walk.of_plain()
    bare = tracking.untracked([*map(tags.relation_of, found), *(relation for relation, _ in came_back)])
    refusal = walk.refusal or (("untracked", ", ".join(bare)) if bare else None)
    return Dependence(tags=frozenset(found), came_back=tuple(came_back), refusal=refusal)


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


def _expressions(query: Query, ordering: Iterable[Any]) -> Iterator[Any]:
    yield query.where
    yield from query.annotations.values()
    yield from ordering
    yield from query.select
    if isinstance(query.group_by, tuple):
        yield from query.group_by
    yield from (getattr(source, "filtered_relation", None) for source in query.alias_map.values())
    yield from (inner for inner in query.combined_queries)


def _children(node: Any) -> Iterator[Any]:
    """The expressions, lookups and queries directly under a node of a query."""
    match node:
        case WhereNode():
            yield from node.children
        case Query() | ExtraWhere() | NothingNode() | None:
            return
        case Lookup():
            yield node.lhs
            yield from node.rhs if isinstance(node.rhs, list | tuple | set) else [node.rhs]
        case _:
            yield from getattr(node, "get_source_expressions", list)()
            yield getattr(node, "query", None)
            yield getattr(node, "resolved_condition", None)


def _is_known(node: Any) -> bool:
    """Whether Django wrote this expression, so that it reads only its arguments and gives the same for the same."""
    kind = type(node)
    if kind is Func or {"function", "template"} & getattr(node, "extra", {}).keys():
        return False
    return kind.__module__.startswith("django.") or bool(getattr(kind, "is_immutable", False))


def _reads_a_moment(cast: Cast) -> bool:
    """Whether text of a column is cast to a date or a time: it may say ``today``."""
    (source,) = cast.get_source_expressions()
    is_text = not isinstance(source, Value) and not _is_moment(source._output_field_or_none)
    return is_text and _is_moment(cast.output_field)


def _is_moment(field: Any) -> bool:
    """Whether a field holds dates or times, or arrays or ranges of them."""
    return isinstance(getattr(field, "base_field", field), DateField | TimeField)


def _came_back(compiler: SQLCompiler) -> dict[str, tuple[str, int]]:
    """For each alias that ``select_related`` joined along real foreign keys: its table and where its primary key stands."""
    found: dict[str, tuple[str, int]] = {}

    def look(info: dict[str, Any]) -> None:
        for related in info.get("related_klass_infos", ()):
            join = related["field"]
            if not related["reverse"] and getattr(join, "db_constraint", False):
                for index in related["select_fields"]:
                    column = compiler.select[index][0]
                    if isinstance(column, Col) and column.target.primary_key and _names_rows(column):
                        found.setdefault(column.alias, (column.target.model._meta.db_table, index))
            look(related)

    look(compiler.klass_info or {})
    return found


def _names_rows(column: Col) -> bool:
    tracked = tracking.find(column.target.model._meta.db_table)
    return tracked is not None and tracked.can_name(column.target.column)


def _restricted(query: Query, alias: str, relation: str) -> set[str] | None:
    """The row or slice tags that all rows of this alias are within, by the filter; None if it does not restrict them so."""
    tracked = tracking.find(relation)
    if tracked is None:
        return None
    is_base = alias == query.base_table
    return _best(query.where, alias, tracked, is_base)


def _best(node: Any, alias: str, tracked: tracking.Tracking, is_base: bool) -> set[str] | None:
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


def _rank(found: set[str], tracked: tracking.Tracking) -> tuple[int, int]:
    """Rows before slices, slices in the order in which they are declared."""
    tag = next(iter(found))
    if tag.startswith(f"{tracked.relation}#"):
        return (0, len(found))
    column = tag.removeprefix(f"{tracked.relation}.").partition("=")[0].removesuffix("~")
    return (1 + tracked.slices.index(column), len(found))


def _of_lookup(lookup: Any, alias: str, tracked: tracking.Tracking, is_base: bool) -> set[str] | None:
    column = getattr(lookup, "lhs", None)
    if not isinstance(column, Col) or column.alias != alias or not isinstance(lookup, Exact | In | IsNull):
        return None
    if not type(lookup).__module__.startswith("django."):  # which may match what is written otherwise
        return None
    name = str(column.target.column)
    if not tracked.can_name(name):
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
    return _named(tracked, name, values)


def _named(tracked: tracking.Tracking, column: str, values: list[Any]) -> set[str] | None:
    if any(value is not None and tags.text(value) is None for value in values):
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


def of_expressions(expressions: Iterable[Any]) -> Dependence:
    """What expressions depend on beside the columns of the query they stand in."""
    walk = _Walk()
    for expression in expressions:
        walk.visit(expression)
    return Dependence(tags=frozenset(walk.of_plain()), refusal=walk.refusal)
