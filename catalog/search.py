"""Search: the exact SKU first, then all words by their stems, then slips mended, then any of the words."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Case, F, Q, TextField, Value, When
from django.db.models.functions import Upper

from catalog.fields import normal
from catalog.models import Product, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalog.models.product import ProductQuerySet

WORD = re.compile(r"[^\W_]+")
SHORTEST = 3
# The pattern of a word's slips grows with the square of its length, and the server's work on it faster.
LONGEST = 24
MOST_WORDS = 8
MOST_MENDED = 3
MOST_NAMES = 200
MOST_CODES = 20
LIKE_ENOUGH = 0.7
# Of description, attributes, brand, name and SKU: what a product is tells more than what is said of it.
WEIGHTS = [0.01, 0.1, 0.6, 1.0]


class Match(StrEnum):
    """How the products found match what was asked."""

    ALL = "all"
    MENDED = "mended"
    SOME = "some"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Products with the words they were found by, and `exact`, the ones whose SKU or GTIN was asked for."""

    products: ProductQuerySet
    match: Match
    words: str
    query: SearchQuery
    exact: tuple[int, ...] = ()

    def ranked(self, products: ProductQuerySet) -> ProductQuerySet:
        """Order by SKU asked for, then by rank, then by id."""
        rank = SearchRank(F("search"), self.query, weights=WEIGHTS).desc()
        first = [Case(When(pk__in=self.exact, then=Value(0)), default=Value(1))] if self.exact else []
        return products.order_by(*first, rank, "id")


def find(text: str, *, among: ProductQuerySet) -> Found:
    """Find products by a shopper's words, in the loosest way that is needed to find any."""
    text = normal(text)
    exact = _coded(text)
    query = _all(text)
    found = among.filter(Q(search=query) | Q(pk__in=exact)) if exact else among.filter(search=query)
    if found.exists():
        return Found(products=found, match=Match.ALL, words=text, query=query, exact=exact)
    known, mended = _mend(text, among)
    if mended != text and (found := among.filter(search=_all(mended))).exists():
        return Found(products=found, match=Match.MENDED, words=mended, query=_all(mended))
    if known:
        some = reduce(or_, (SearchQuery(word, config="catalog") for word in known))
        if (found := among.filter(search=some)).exists():  # “the” is in names, and finds none of them
            return Found(products=found, match=Match.SOME, words=" ".join(known), query=some)
    return Found(products=among.none(), match=Match.NONE, words=text, query=query)


def _all(text: str) -> SearchQuery:
    return SearchQuery(text, config="catalog", search_type="websearch")


def _coded(text: str) -> tuple[int, ...]:
    """Return the products that have this SKU or GTIN, or whose variants do; usually none or one."""
    code = text.strip().upper()
    if not code:
        return ()
    own = Product.objects.alias(code=Upper("sku")).filter(code=code).values_list("pk", flat=True)
    variants = Variant.objects.alias(code=Upper("sku")).filter(Q(code=code) | Q(gtin=code, gtin__gt=""))
    return tuple(own.order_by().union(variants.order_by().values_list("product_id", flat=True))[:MOST_CODES])


def _mend(text: str, among: ProductQuerySet) -> tuple[list[str], str]:
    """Return the words that some product has, after mending, and the text with the others mended."""
    words = list(dict.fromkeys(WORD.findall(text.lower())))[:MOST_WORDS]
    known = _known(words, among)
    mendable = [word for word in words if word not in known and SHORTEST <= len(word) <= LONGEST]
    mended = {word: _nearest(word, among) for word in mendable[:MOST_MENDED]}
    usable = [mended.get(word) or word for word in words if word in known or mended.get(word)]
    replaced = WORD.sub(lambda m: mended.get(m[0].lower()) or m[0], text)
    return usable, replaced


def _known(words: Iterable[str], among: ProductQuerySet) -> set[str]:
    """Return those of the words that at least one product has, in one statement."""
    asked = [
        among.filter(search=SearchQuery(word, config="catalog"))
        .order_by()
        .annotate(word=Value(word, output_field=TextField()))
        .values_list("word", flat=True)[:1]
        for word in words
    ]
    return set(asked[0].union(*asked[1:], all=True)) if asked else set()


def _nearest(word: str, among: ProductQuerySet) -> str | None:
    """Return the word of a product's name that is nearest, if one is near; the commoner of equally near ones.

    Both conditions are answered by the trigram index on names: one slip anywhere in the word, or, in long
    words, many trigrams in common.
    """
    near = Q(name__iregex=one_slip(word)) | Q(name__trigram_word_similar=word)
    names = among.filter(near).order_by().values_list("name", "brand_name")[:MOST_NAMES]
    counts = Counter(w for name in names for w in WORD.findall(" ".join(name).lower()) if len(w) >= SHORTEST)
    scored = [(SequenceMatcher(None, word, w).ratio(), n, w) for w, n in counts.items()]
    likeness, _count, best = max(scored, default=(0, 0, None))
    return best if likeness >= LIKE_ENOUGH else None


def one_slip(word: str) -> str:
    """Return a regular expression of the words one slip away: a letter more, less, wrong, or two swapped."""
    slips = [word[:i] + ".?" + word[i + 1 :] for i in range(len(word))]
    slips += [word[:i] + "." + word[i:] for i in range(1, len(word))]
    slips += [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    return rf"\m({'|'.join(dict.fromkeys(slips))})\M"
