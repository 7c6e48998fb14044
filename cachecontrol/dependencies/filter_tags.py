"""The row and slice tags of a filter: if the WHERE clause of a query restricts a table to them, the query depends on no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Col
from django.db.models.fields.related_lookups import RelatedExact, RelatedIn, RelatedIsNull
from django.db.models.lookups import Exact, In, IntegerFieldExact, IsNull
from django.db.models.sql.where import AND, OR, WhereNode

from cachecontrol.conf import conf
from cachecontrol.core import registry, tags
from cachecontrol.dependencies import trusted_sql
from cachecontrol.postgres import tracked_models

if TYPE_CHECKING:
    from django.db.models.sql.query import Query

    from cachecontrol.core.registry import TrackedTable

_EQUALITIES = (Exact, In, IsNull, IntegerFieldExact, RelatedExact, RelatedIn, RelatedIsNull)
"""Lookups that tags can express. Any other lookup may match values that are written differently."""


def tags_of_filter(query: Query, alias: str, relation: str) -> set[str] | None:
    """Return row or slice tags that cover all rows of this alias of a table that the filter accepts; None if there are none."""
    table = registry.find(relation)
    if table is None:
        return None
    return _tags_of_condition(query.where, alias, table, is_base=alias == query.base_table)


def _tags_of_condition(condition: Any, alias: str, table: TrackedTable, *, is_base: bool) -> set[str] | None:
    if not isinstance(condition, WhereNode):
        return _tags_of_lookup(condition, alias, table, is_base=is_base)
    if condition.negated or not trusted_sql.is_unaltered(condition):
        return None
    branches = [_tags_of_condition(child, alias, table, is_base=is_base) for child in condition.children]
    restricting = [branch for branch in branches if branch]
    if condition.connector == AND:
        return min(restricting, key=lambda names: _breadth(names, table), default=None)
    if condition.connector == OR and len(restricting) == len(branches):
        union = set().union(*restricting)
        return union if 0 < len(union) <= conf.rows_per_entry else None
    return None


def _breadth(names: set[str], table: TrackedTable) -> tuple[int, int]:
    """Return a sort key of tags: rows before slices, slices in the order in which they are declared, few tags before many."""
    tag = next(iter(names))
    if tag.startswith(f"{table.relation}#"):
        return (0, len(names))
    column = tag.removeprefix(f"{table.relation}.").partition("=")[0].removesuffix("~")
    return (1 + table.slices.index(column), len(names))


def _tags_of_lookup(lookup: Any, alias: str, table: TrackedTable, *, is_base: bool) -> set[str] | None:
    column = getattr(lookup, "lhs", None)
    if type(lookup) not in _EQUALITIES or not isinstance(column, Col) or column.alias != alias:
        return None
    if not trusted_sql.is_unaltered(lookup):  # the query may be known, and was not walked then
        return None
    name = str(column.target.column)
    if not table.can_name(name) or not tracked_models.is_written_alike(column.output_field):
        return None
    if isinstance(lookup, IsNull):
        # An outer join also gives NULL where the joined table has no row, which no slice of that table can express.
        return {f"{table.relation}.{name}~"} if lookup.rhs and is_base and name in table.slices else None
    is_list = isinstance(lookup, In) and isinstance(lookup.rhs, list | tuple | set | frozenset)
    values = [*lookup.rhs] if is_list else [lookup.rhs]
    return _tags_of_values(table, name, values) if len(values) <= conf.rows_per_entry else None


def _tags_of_values(table: TrackedTable, column: str, values: list[Any]) -> set[str] | None:
    """Return the tag of each value of a column; None if there are no values, or if one cannot be written. No row equals NULL."""
    values = [value for value in values if value is not None]
    if any(tags.written_form(value) is None for value in values):
        return None
    if column == table.pk:
        named = (tags.row(table.relation, value) for value in values)
    else:
        named = (tags.slice_of(table.relation, column, value) for value in values)
    return {*filter(None, named)} or None
