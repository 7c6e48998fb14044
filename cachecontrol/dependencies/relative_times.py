"""Relative times: text such as ``today``, which PostgreSQL converts to a date or a time of the moment when it runs the query.

A result with such a conversion changes although no row does. ``trusted_sql`` asks for each part of a query whether it may contain
one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import Case, Col, Value, When, Window
from django.db.models.functions import Cast
from django.db.models.lookups import Lookup
from django.db.models.sql.query import Query
from django.db.models.sql.where import WhereNode
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range

from cachecontrol.dependencies import expression_types
from cachecontrol.reasons import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from django.db.backends.base.base import BaseDatabaseWrapper


_RELATIVE_TIME = re.compile(r"(?<![a-z])(now|today|tomorrow|yesterday)(?![a-z])", re.IGNORECASE)
"""Words that PostgreSQL converts to a date or a time relative to the present, anywhere in a text."""


def refusal_of(node: Any, connection: BaseDatabaseWrapper) -> Refusal | None:
    """Return a refusal if PostgreSQL may convert text in this part of a query to a relative time; None if it does not."""
    match node:
        case Value() if names_relative_time(node.value):
            return Refusal(Reason.VOLATILE, str(node.value))
        case Cast():
            return _refusal_of_cast(node, connection)
        case Case():
            return _refusal_of_conversion(node, node.get_source_expressions(), connection)
        case Lookup() if names_relative_time(node.rhs):
            is_text = all(expression_types.is_timeless(leaf, connection) for leaf in _leaves(node.lhs))
            return None if is_text else Refusal(Reason.VOLATILE, str(node.rhs))
        case Lookup() if hasattr(node.rhs, "as_sql"):
            return _refusal_of_conversion(node.lhs, [node.rhs], connection)
    return None


def _refusal_of_cast(cast: Cast, connection: BaseDatabaseWrapper) -> Refusal | None:
    is_promised = expression_types.promises_immutability(type(cast.output_field))
    if is_promised or expression_types.is_timeless(cast, connection):
        return None
    if not expression_types.is_date_or_time(cast, connection):
        return Refusal(Reason.UNCOVERED, f"a cast to the type {expression_types.type_of(cast, connection)}")
    return _refusal_of_conversion(cast, cast.get_source_expressions(), connection)


def _refusal_of_conversion(
    target: Any, sources: list[Any], connection: BaseDatabaseWrapper
) -> Refusal | None:
    """Refuse text of a column that is converted to the date or time type of ``target``. Values are checked separately."""
    if not expression_types.is_date_or_time(target, connection):
        return None
    leaves = (leaf for source in sources for leaf in _leaves(source))
    if any(_may_be_text(leaf, connection) for leaf in leaves):
        return Refusal(Reason.VOLATILE, "text that is read as a date or a time")
    return None


def _may_be_text(leaf: Any, connection: BaseDatabaseWrapper) -> bool:
    return not (
        isinstance(leaf, Value)
        or expression_types.is_date_or_time(leaf, connection)
        or expression_types.is_number(leaf, connection)
    )


def _leaves(node: Any) -> Iterator[Any]:
    """Yield the values, columns and casts in an expression. Their types are known; the expression may declare another one."""
    if isinstance(node, Value | Col | Cast):
        yield node
        return
    for part in _value_parts(node):
        yield from _leaves(part)


def _value_parts(node: Any) -> Iterable[Any]:
    """Return the parts of an expression that contribute to its value, without its conditions."""
    match node:
        case Query():
            return (*node.select, *node.annotation_select.values())
        case When():
            return (node.result,)
        case Window():
            return node.get_source_expressions()[:1]
        case Lookup() | WhereNode():
            return ()
    parts: Iterable[Any] = getattr(node, "get_source_expressions", tuple)()
    return parts


def names_relative_time(value: Any) -> bool:
    """Whether a parameter of a query contains text with the name of a relative time."""
    match value:
        case str():
            return _RELATIVE_TIME.search(value) is not None
        case list() | tuple() | set() | frozenset() | Multirange():
            return any(map(names_relative_time, value))
        case dict():
            return any(map(names_relative_time, [*value, *value.values()]))
        case Range():
            return names_relative_time((value.lower, value.upper))
        case _:
            return False
