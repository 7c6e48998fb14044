"""The products that match a shopper's text, in the order of relevance."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from django.contrib.postgres.search import TrigramSimilarity
from django.db.models import Count, TextField, Value
from django.db.models.functions import Cast

from catalog.fields import to_nfc
from catalog.functions import LexemeQuery, PositionIn
from catalog.search.codes import ids_by_code
from catalog.search.ranking import Candidate, ranked
from catalog.search.terms import any_query, read_terms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalog.models.product import ProductQuerySet
    from catalog.search.terms import Terms

WORD = re.compile(r"[^\W_]+")
PRODUCTS_LIMIT = 1000  # of a result
ENOUGH_PRODUCTS = 8  # with all words, so that none with only some of them are shown
CANDIDATES_LIMIT = 200  # products that have some of the words, the rarest words first
LEAST_SCORE = 0.3  # of a product with only some of the words, as a part of the best score


class Match(StrEnum):
    """How the products of a result match the shopper's words."""

    ALL = "all"
    CORRECTED = "corrected"
    ANY = "any"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """The products of a search.

    Args:
        products: in no order; `ranked` orders them.
        match: how they match the shopper's words.
        words: the words that they match, which differ from the shopper's after a correction.
        missing: the shopper's words that no product has, and for which none is similar.
        ids: the primary keys of the products in the order of relevance.
        full_ids: those of the products that match all words; if there are few, `ids` has others too.
        exact_ids: primary keys of products whose SKU or GTIN the shopper entered.
        is_cut: there are more products than a search returns.
    """

    products: ProductQuerySet
    match: Match
    words: str
    missing: list[str]
    ids: list[int]
    full_ids: list[int]
    exact_ids: tuple[int, ...] = ()
    is_cut: bool = False

    def ranked(self, products: ProductQuerySet) -> ProductQuerySet:
        """Order products by relevance: first those whose SKU or GTIN was entered, then by score, then by primary key."""
        return products.order_by(PositionIn(self.ids, "pk"))

    @property
    def full_products(self) -> ProductQuerySet:
        """The products that match all words. Without any, those that match some: what other orders than relevance order."""
        return self.products.filter(pk__in=self.full_ids) if self.full_ids else self.products

    @property
    def partial_count(self) -> int:
        """The number of products that match only some of the words."""
        return len(self.ids) - len(self.full_ids)


def search_products(text: str, *, among: ProductQuerySet) -> SearchResult:
    """Return the products that match a shopper's text: those with all of its words and, if they are few, those with some.

    Args:
        text: in any form; signs and words beyond the limits are ignored.
        among: the products to search in.
    """
    text = to_nfc(text.replace("\x00", " "))
    exact_ids = (
        tuple(among.filter(pk__in=ids).order_by().values_list("pk", flat=True))
        if (ids := ids_by_code(text))
        else ()
    )
    terms = read_terms(text, existing=lambda lexemes: _existing(lexemes, among), correct=not exact_ids)
    full = _candidates(terms.query_for_all(), text, among, limit=PRODUCTS_LIMIT)
    full_pks = {row.pk for row in full}
    is_enough = exact_ids or len(full) >= ENOUGH_PRODUCTS
    others = [] if is_enough else _candidates(_rarest(terms), text, among, limit=CANDIDATES_LIMIT)
    scored = ranked([*full, *(row for row in others if row.pk not in full_pks)], terms.all, total=terms.total)
    least = LEAST_SCORE * scored[0][0] if scored else 0.0
    order = [row.pk for score, row in scored if row.pk in full_pks or score >= least]
    pks = list(dict.fromkeys([*exact_ids, *order]))
    return SearchResult(
        products=among.filter(pk__in=pks) if pks else among.none(),
        match=_match(terms, pks, full_pks or exact_ids),
        words=_corrected_text(text, terms, scored[0][1], among) if scored else text,
        missing=[word.text for word in terms.words if not word.is_known],
        ids=pks,
        full_ids=[pk for pk in pks if pk in full_pks or pk in exact_ids],
        exact_ids=exact_ids,
        is_cut=len(full) == PRODUCTS_LIMIT,
    )


def _match(terms: Terms, pks: list[int], full: Iterable[int]) -> Match:
    if not pks:
        return Match.NONE
    if not full:
        return Match.ANY
    return Match.CORRECTED if terms.corrections else Match.ALL


def _rarest(terms: Terms) -> str:
    """Return the `tsquery` for products with one of the rarest words: as many words as give a limited number of candidates."""
    alternatives = {other.lexeme: other.products for term in terms.all for other in term}
    lexemes: list[str] = []
    products = 0
    for lexeme in sorted(alternatives, key=lambda lexeme: (alternatives[lexeme], lexeme)):
        products += alternatives[lexeme]
        if lexemes and products > CANDIDATES_LIMIT:
            break
        lexemes.append(lexeme)
    return any_query(lexemes)


def _candidates(query: str, text: str, among: ProductQuerySet, *, limit: int) -> list[Candidate]:
    if not query:
        return []
    rows = among.filter(search=LexemeQuery(query)).order_by()
    values = rows.annotate(
        vector=Cast("search", TextField()), similarity=TrigramSimilarity("name", text)
    ).values_list("pk", "vector", "similarity")
    return [Candidate(*row) for row in values[:limit]]


def _existing(lexemes: list[str], among: ProductQuerySet) -> set[str]:
    """Return the lexemes that at least one product has, in one statement.

    The products are counted: for the first one alone, the planner would read the table and not the index.
    """
    queries = [
        among.filter(search=LexemeQuery(any_query([lexeme])))
        .order_by()
        .annotate(lexeme=Value(lexeme, output_field=TextField()))
        .values("lexeme")
        .annotate(products=Count("pk"))
        .values_list("lexeme", "products")
        for lexeme in dict.fromkeys(lexemes)
    ]
    return {lexeme for lexeme, products in queries[0].union(*queries[1:], all=True) if products}


def _corrected_text(text: str, terms: Terms, best: Candidate, among: ProductQuerySet) -> str:
    """Return the text with its corrected words, as the best product has them and its name writes them."""
    if not terms.corrections:
        return text
    names = " ".join(among.filter(pk=best.pk).values_list("name", "brand_name").first() or ())
    written = WORD.findall(names.lower())
    corrected = []
    for word in terms.words:
        lexemes = [_meant(terms.corrections.get(part, []), best) for part in word.lexemes]
        meant = [_written(lexeme, written) for lexeme in lexemes if lexeme]
        corrected.append(" ".join(meant) or word.text)
    return " ".join(corrected)


def _meant(lexemes: list[str], best: Candidate) -> str:
    """Return the first lexeme that the best product has, or else the first one; empty if there are none."""
    return next((lexeme for lexeme in lexemes if best.has(lexeme)), lexemes[0] if lexemes else "")


def _written(lexeme: str, words: list[str]) -> str:
    """Return the word of a lexeme: of those that begin with it, but perhaps for its last letter, the shortest one."""
    matching = [word for word in words if word.startswith(lexeme[:-1])]
    return min(matching, key=len, default=lexeme)
