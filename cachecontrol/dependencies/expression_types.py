"""Types of expressions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.core.exceptions import FieldError
from django.db.models.expressions import (
    BaseExpression,
)
from django.db.models.fields.reverse_related import ForeignObjectRel

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


TYPE = re.compile(
    r'(?P<name>double precision|time(?:stamp)? with(?:out)? time zone|[\w.]+|"[\w.]+")'
    r"(?:\(\s*\w+(?:\s*,\s*\w+)*\s*\))?(?:\[\d*\])*"
)
"""The name of a type of PostgreSQL, with its modifiers and dimensions."""
_MOMENTS = re.compile(r"date|time|ts(tz)?(multi)?range")
"""The beginnings of the names of types that hold dates or times, or ranges of them."""
_TIMELESS = re.compile(
    r"bigint|boolean|bytea|char|citext|double precision|float4|hstore|inet|integer|interval|jsonb?|numeric|real|smallint"
    r"|text|tsquery|tsvector|uuid|varchar|(int4|int8|num)range"
)
"""Types to which a text is always converted in the same way, whatever the current time."""
_NUMBERS = re.compile(r"bigint|boolean|double precision|float4|integer|interval|numeric|real|smallint|uuid")
"""Types that PostgreSQL does not convert to dates or times by themselves."""


def promises_immutability(kind: type) -> bool:
    """Whether the class itself sets ``is_immutable``. Inheriting the attribute does not count."""
    return bool(vars(kind).get("is_immutable"))


def field_of(node: Any) -> Any:
    """The field of an expression or an inner query; None if it has none, or its parts have several.

    The other end of a relation stands for the field that makes it.
    """
    try:
        is_expression = isinstance(node, BaseExpression)
        found = getattr(node, "_output_field_or_none" if is_expression else "output_field")
    except (AttributeError, FieldError):
        return None
    return found.field if isinstance(found, ForeignObjectRel) else found


def type_of(node: Any, connection: BaseDatabaseWrapper) -> str:
    """The name of the type that an expression has in the database, without modifiers; empty if it has none."""
    field = field_of(node)
    named = TYPE.fullmatch((field and field.cast_db_type(connection)) or "")
    return named["name"].lower() if named else ""


def is_timeless(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _TIMELESS.fullmatch(type_of(node, connection)) is not None


def is_time(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _MOMENTS.match(type_of(node, connection)) is not None


def is_number(node: Any, connection: BaseDatabaseWrapper) -> bool:
    return _NUMBERS.fullmatch(type_of(node, connection)) is not None
