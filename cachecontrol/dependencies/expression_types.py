"""Types of expressions in the database: which of them hold dates or times, and which text is converted to regardless of the time.

``trusted_sql`` and ``relative_times`` use them to find conversions that depend on the current time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models.expressions import BaseExpression
from django.db.models.fields.reverse_related import ForeignObjectRel

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


TYPE_NAME = re.compile(
    r'(?P<name>double precision|time(?:stamp)? with(?:out)? time zone|[\w.]+|"[\w.]+")'
    r"(?:\(\s*\w+(?:\s*,\s*\w+)*\s*\))?(?:\[\d*\])*"
)
"""The name of a type of PostgreSQL, with its modifiers and dimensions."""
_DATES_AND_TIMES = re.compile(r"date|time|ts(tz)?(multi)?range")
"""The beginnings of the names of types that hold dates or times, or ranges of them."""
_TIMELESS = re.compile(
    r"bigint|boolean|bytea|char|citext|double precision|float4|hstore|inet|integer|interval|jsonb?|numeric|real|smallint"
    r"|text|tsquery|tsvector|uuid|varchar|(int4|int8|num)range"
)
"""Types to which a text is always converted in the same way, whatever the current time."""
_NUMBERS = re.compile(r"bigint|boolean|double precision|float4|integer|interval|numeric|real|smallint|uuid")
"""Types that PostgreSQL does not convert to dates or times by themselves."""


def promises_immutability(cls: type) -> bool:
    """Whether the class itself sets ``is_immutable``. Inheriting the attribute does not count."""
    return bool(vars(cls).get("is_immutable"))


def field_of(node: Any) -> Any:
    """Return the field of an expression or an inner query; None if it has none, or its parts have several.

    For the other end of a relation, this is the field that defines the relation.
    """
    try:
        is_expression = isinstance(node, BaseExpression)
        field = getattr(node, "_output_field_or_none" if is_expression else "output_field")
    except (AttributeError, FieldError):
        return None
    return field.field if isinstance(field, ForeignObjectRel) else field


def type_of(node: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the name of an expression's type in the database, without modifiers; empty if it has none."""
    field = field_of(node)
    match = TYPE_NAME.fullmatch((field and field.cast_db_type(connection)) or "")
    return match["name"].lower() if match else ""


def is_timeless(node: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether text is converted to the type of this expression in the same way at any time."""
    return _TIMELESS.fullmatch(type_of(node, connection)) is not None


def is_date_or_time(node: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether the expression is a date or a time, or a range or an array of them."""
    return _DATES_AND_TIMES.match(type_of(node, connection)) is not None


def is_number(node: Any, connection: BaseDatabaseWrapper) -> bool:
    """Whether the expression is of a type that PostgreSQL never converts to a date or a time."""
    return _NUMBERS.fullmatch(type_of(node, connection)) is not None
