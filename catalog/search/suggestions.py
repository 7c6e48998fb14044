"""Suggestions for the beginning of a text that a shopper is typing: categories, brands and products."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.contrib.postgres.search import TrigramSimilarity
from django.db.models.functions import Length

from catalog.fields import to_nfc
from catalog.functions import LexemeQuery
from catalog.models import Brand, Category, Lexeme
from catalog.search.lexemes import lexemes_of
from catalog.search.terms import any_query

if TYPE_CHECKING:
    from catalog.models import Product
    from catalog.models.product import ProductQuerySet

SHORTEST_TEXT = 2  # characters
LONGEST_TEXT = 80
WORDS_LIMIT = 6
ENDINGS_LIMIT = 12  # lexemes that begin with the last word, the most frequent first
ENDINGS_PRODUCTS_LIMIT = 200_000  # products that have one of these lexemes, if the first has fewer
CANDIDATES_LIMIT = 200
CATEGORIES_LIMIT = BRANDS_LIMIT = 3
PRODUCTS_LIMIT = 6
SIGNS = re.compile(r"[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Suggestions:
    """What a shopper may be about to search for."""

    categories: list[Category] = field(default_factory=list)
    brands: list[Brand] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)


def suggest(text: str, *, among: ProductQuerySet) -> Suggestions:
    """Return suggestions for the beginning of a text. A text that is too short or too long has none.

    Args:
        text: what was typed so far; its last word may be the beginning of one.
        among: the products to suggest.
    """
    words = SIGNS.sub(" ", to_nfc(text.replace("\x00", " "))).split()[:WORDS_LIMIT]
    typed = " ".join(words)
    if not SHORTEST_TEXT <= len(typed) <= LONGEST_TEXT:
        return Suggestions()
    beginning = rf"\m{re.escape(typed)}"
    return Suggestions(
        categories=list(
            Category.objects.filter(name__iregex=beginning)
            .only("name", "url_path")
            .order_by("depth", "name")[:CATEGORIES_LIMIT]
        ),
        brands=list(
            Brand.objects.filter(name__iregex=beginning).order_by(Length("name"), "name")[:BRANDS_LIMIT]
        ),
        products=_products(words, typed, among),
    )


def _products(words: list[str], typed: str, among: ProductQuerySet) -> list[Product]:
    """Return products that have the words, the last one as a beginning, those with the most similar names first."""
    found, _total = lexemes_of(words)
    *complete, last = [[other.lexeme for other in group] for group in found]
    last += _endings(words[-1].lower())
    groups = [*(group for group in complete if group), list(dict.fromkeys(last))]
    if not all(groups):
        return []
    query = " & ".join(f"({any_query(group)})" for group in groups)
    candidates = among.filter(search=LexemeQuery(query)).order_by()
    rows = candidates.annotate(similarity=TrigramSimilarity("name", typed)).values_list("similarity", "pk")
    best = sorted(rows[:CANDIDATES_LIMIT], key=lambda row: (-row[0], row[1]))[:PRODUCTS_LIMIT]
    pks = [pk for _similarity, pk in best]
    products = {
        product.pk: product for product in among.filter(pk__in=pks).only("name", "slug", "brand_name")
    }
    return [products[pk] for pk in pks if pk in products]


def _endings(beginning: str) -> list[str]:
    """Return the most frequent lexemes that begin with the text, as many as the index can join in little time."""
    rows = Lexeme.objects.filter(lexeme__startswith=beginning).order_by("-products", "lexeme")
    endings: list[str] = []
    total = 0
    for lexeme, products in rows.values_list("lexeme", "products")[:ENDINGS_LIMIT]:
        total += products
        if endings and total > ENDINGS_PRODUCTS_LIMIT:
            break
        endings.append(lexeme)
    return endings
