"""Types of expressions: their names in the database, and which of them depend on the time when text is converted to them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.postgres.fields import ArrayField, DateTimeRangeField
from django.db import connection
from django.db.models import (
    BooleanField,
    CharField,
    DateField,
    DateTimeField,
    DecimalField,
    DurationField,
    ExpressionWrapper,
    Field,
    IntegerField,
    JSONField,
    TimeField,
    UUIDField,
    Value,
)
from django.db.models.expressions import CombinedExpression

from cachecontrol.dependencies import expression_types
from tests.library.models import Author, Book


class Own(Field):  # type: ignore[type-arg]
    """A field of a type with a name that has quotes."""

    def db_type(self, connection: Any) -> str:
        return '"shop.Mood"(3)[]'


def of(field: Any) -> Any:
    return ExpressionWrapper(Value(None), output_field=field)


@pytest.mark.parametrize(
    ("field", "name", "is_timeless", "is_date_or_time", "is_number"),
    [
        (CharField(max_length=9), "varchar", True, False, False),
        (DecimalField(max_digits=5, decimal_places=2), "numeric", True, False, True),
        (IntegerField(), "integer", True, False, True),
        (BooleanField(), "boolean", True, False, True),
        (UUIDField(), "uuid", True, False, True),
        (DurationField(), "interval", True, False, True),
        (JSONField(), "jsonb", True, False, False),
        (DateField(), "date", False, True, False),
        (TimeField(), "time", False, True, False),
        (DateTimeField(), "timestamp with time zone", False, True, False),
        (DateTimeRangeField(), "tstzrange", False, True, False),
        (ArrayField(DateField()), "date", False, True, False),
        (Own(), '"shop.mood"', False, False, False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Field) else "",
)
def test_the_type_of_an_expression_is_that_of_its_field(
    field: Any, name: str, is_timeless: bool, is_date_or_time: bool, is_number: bool
) -> None:
    expression = of(field)
    assert expression_types.type_of(expression, connection) == name
    assert expression_types.is_timeless(expression, connection) is is_timeless
    assert expression_types.is_date_or_time(expression, connection) is is_date_or_time
    assert expression_types.is_number(expression, connection) is is_number


@pytest.mark.parametrize(
    "node",
    [
        CombinedExpression(Value(1), "+", Value("a")),
        Value(object()),
        Book.objects.values("id", "title").query,
        5,
    ],
    ids=["parts of two types", "unknown value", "query of two columns", "no expression"],
)
def test_an_expression_without_one_field_has_no_type(node: Any) -> None:
    assert expression_types.field_of(node) is None
    assert expression_types.type_of(node, connection) == ""
    assert not expression_types.is_timeless(node, connection)


def test_the_other_end_of_a_relation_has_the_field_that_defines_it() -> None:
    node = SimpleNamespace(output_field=Author._meta.get_field("books"))
    assert expression_types.field_of(node) is Book._meta.get_field("author")


def test_a_class_promises_immutability_for_itself_only() -> None:
    class Promising:
        is_immutable = True

    class Inheriting(Promising):
        pass

    assert expression_types.promises_immutability(Promising)
    assert not expression_types.promises_immutability(Inheriting)
