"""Database functions in columns, constraints, indexes and searches. The files in `sql/` define them."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.search import SearchQuery, SearchVector
from django.db import models


class JsonVector(SearchVector):
    """The search vector of all texts and numbers in a JSON column, without the keys, at weight C. Old migrations use it."""

    def as_sql(self, compiler: Any, connection: Any, **_kwargs: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        column, params = compiler.compile(self.source_expressions[0])
        vector = f"""jsonb_to_tsvector('catalog'::regconfig, {column}, '["string", "numeric"]')"""
        return f"setweight({vector}, 'C')", params


class AttributesValid(models.Func):
    """True if a JSON value is an object with only texts, numbers, booleans and lists of texts."""

    function = "catalog_attributes_valid"
    output_field = models.BooleanField()


class GtinValid(models.Func):
    """True if a text is a GTIN: 8, 12, 13 or 14 digits with the right check digit."""

    function = "catalog_gtin_valid"
    output_field = models.BooleanField()


class Code(models.Func):
    """A SKU in capitals, with only its letters and digits."""

    function = "catalog_code"
    output_field = models.TextField()
    is_immutable = True


class Searchable(models.Func):
    """A text as it is searched for: compounds and codes also in parts, and inches as a word."""

    function = "catalog_searchable"
    output_field = models.TextField()
    is_immutable = True


class AttributeTexts(models.Func):
    """The values of a product's attributes as one text."""

    function = "catalog_attribute_texts"
    output_field = models.TextField()
    is_immutable = True


class Deletions(models.Func):
    """A word, and the word without each of its letters."""

    function = "catalog_deletions"
    output_field = ArrayField(models.TextField())
    is_immutable = True


class LexemeQuery(SearchQuery):
    """A query in the syntax of `tsquery`, whose words are lexemes already."""

    is_immutable = True

    def as_sql(self, compiler: Any, connection: Any, **_kwargs: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        sql, params = compiler.compile(self.source_expressions[-1])
        return f"({sql})::tsquery", list(params)


class PositionIn(models.Func):
    """The position of a number in a list."""

    function = "array_position"
    output_field = models.IntegerField()
    is_immutable = True

    def __init__(self, numbers: list[int], number: str) -> None:
        super().__init__(models.Value(numbers, output_field=ArrayField(models.BigIntegerField())), number)
