"""Database functions in columns, constraints and indexes. `sql/functions.sql` and `sql/code.sql` define them."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.search import SearchVector
from django.db import models


class JsonVector(SearchVector):
    """The search vector of all texts and numbers in a JSON column, without the keys, at weight C."""

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
