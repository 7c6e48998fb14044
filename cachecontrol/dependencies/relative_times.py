"""Relative times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.db.models.expressions import (
    Case,
    Col,
    Value,
    When,
    Window,
)
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
"""Words that PostgreSQL converts to a date or time relative to now, anywhere in a text."""


def refusal_of(node: Any, connection: BaseDatabaseWrapper) -> Refusal | None:
    """Refuse text that PostgreSQL may convert to a time relative to now, such as ``today``."""
    match node:
        case Value() if _names_relative_time(node.value):
            return Refusal(Reason.VOLATILE, str(node.value))
        case Cast():
            return _refusal_of_cast(node, connection)
        case Case():
            return _refusal_of_conversion(node, node.get_source_expressions(), connection)
        case Lookup() if _names_relative_time(node.rhs):
            is_text = all(expression_types.is_timeless(leaf, connection) for leaf in _leaves(node.lhs))
            return None if is_text else Refusal(Reason.VOLATILE, str(node.rhs))
        case Lookup() if hasattr(node.rhs, "as_sql"):
            return _refusal_of_conversion(node.lhs, [node.rhs], connection)
    return None


def _refusal_of_cast(cast: Cast, connection: BaseDatabaseWrapper) -> Refusal | None:
    if expression_types.is_timeless(cast, connection) or expression_types.promises_immutability(
        type(cast.output_field)
    ):
        return None
    if not expression_types.is_time(cast, connection):
        return Refusal(Reason.UNCOVERED, f"a cast to the type {expression_types.type_of(cast, connection)}")
    return _refusal_of_conversion(cast, cast.get_source_expressions(), connection)


def _refusal_of_conversion(
    target: Any, sources: list[Any], connection: BaseDatabaseWrapper
) -> Refusal | None:
    """Refuse text of a column that is converted to the date or time type of ``target``. Values are checked separately."""
    if not expression_types.is_time(target, connection):
        return None
    for leaf in (leaf for source in sources for leaf in _leaves(source)):
        if (
            not isinstance(leaf, Value)
            and not expression_types.is_time(leaf, connection)
            and not expression_types.is_number(leaf, connection)
        ):
            return Refusal(Reason.VOLATILE, "text that is read as a date or a time")
    return None


def _leaves(node: Any) -> Iterator[Any]:
    """The values, columns and casts within an expression. Their types are known; the expression may declare another."""
    if isinstance(node, Value | Col | Cast):
        yield node
        return
    for part in _values_in(node):
        yield from _leaves(part)


def _values_in(node: Any) -> Iterable[Any]:
    """The parts of an expression that contribute to its value, without its conditions."""
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


def _names_relative_time(value: Any) -> bool:
    match value:
        case str():
            return _RELATIVE_TIME.search(value) is not None
        case list() | tuple() | set() | frozenset() | Multirange():
            return any(map(_names_relative_time, value))
        case dict():
            return any(map(_names_relative_time, [*value, *value.values()]))
        case Range():
            return _names_relative_time((value.lower, value.upper))
        case _:
            return False
