"""What search knows of the words in the texts of products."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex, OpClass
from django.db import models
from django.db.models.functions import Reverse

from cachecontrol.api import TrackedManager, track
from catalog.functions import Deletions


@track()
class Lexeme(models.Model):
    """A stem in the search vectors of products, and the number of products that have it.

    `catalog.search.statistics` writes the rows now and then, so both may be behind the products. The products that a search finds
    do not depend on it, only their order and which words are corrected.
    """

    lexeme = models.TextField(primary_key=True)
    products = models.PositiveIntegerField()
    deletions = models.GeneratedField(
        expression=Deletions("lexeme"), output_field=ArrayField(models.TextField()), db_persist=True
    )

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"
        indexes = [
            GinIndex("deletions", name="lexeme_deletions"),
            GinIndex(OpClass("lexeme", name="gin_trgm_ops"), name="lexeme_trigrams"),
            models.Index(OpClass(Reverse("lexeme"), name="text_pattern_ops"), name="lexeme_reversed"),
        ]

    def __str__(self) -> str:
        return self.lexeme


@track()
class SearchStatistics(models.Model):
    """The one row that says of what state of the products the lexemes were counted.

    `products` is their number, and `changes` the number of rows that were written to their table since the server began to count.
    """

    products = models.PositiveIntegerField()
    changes = models.BigIntegerField()
    counted_at = models.DateTimeField()

    objects = TrackedManager()

    class Meta:
        base_manager_name = "objects"

    def __str__(self) -> str:
        return f"{self.products} products"
