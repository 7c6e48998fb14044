"""Search for products by a shopper's words.

Products are searched for in these ways, and the first that finds any is taken:

1. by SKU or GTIN, together with all words by their stems;
2. by parts of words in the name;
3. by all words, with typing errors corrected;
4. by any of the words.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING

from django.contrib.postgres.search import SearchQuery, SearchRank
from django.db.models import Case, F, Q, TextField, Value, When
from django.db.models.functions import Reverse, Upper

from catalog.fields import to_nfc
from catalog.functions import Code
from catalog.models import Product, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalog.models.product import ProductQuerySet

WORD = re.compile(r"[^\W_]+")
SEPARATORS = re.compile(r"[\W_]+")
ENDING_IN_VES = re.compile(r"\b(\w*(?:i|l|ar|ea|oa))ves\b", re.IGNORECASE)
ENDING_IN_F = re.compile(r"\b(\w*(?:i(?=fe)|l|ar|ea|oa))fe?\b", re.IGNORECASE)
GERMAN_ENDING = re.compile(r"(?<=\w{4})(e[nrs]?|n|s)$")
UMLAUTS = {"ae": "ä", "oe": "ö", "ue": "ü", "ss": "ß"}
TRANSCRIBED_UMLAUT = re.compile("|".join(UMLAUTS), re.IGNORECASE)

WORDS_LIMIT = 8  # of a text that are searched for as parts, or corrected
SHORTEST_TYPO = 3  # characters of a word that is corrected
# The pattern of a word's typing errors grows with the square of its length, and the server's work with it grows faster.
LONGEST_WORD = 24
CORRECTIONS_LIMIT = 3  # words of a text
NAMES_LIMIT = 200  # names of products among which a correction is looked for
SIMILARITY_THRESHOLD = 0.7  # of a word and its correction, from 0 to 1
CODE_PRODUCTS_LIMIT = 20
SHORTEST_PARTIAL_CODE = 4
SHORTEST_ASCII_PART = 4
SHORTEST_OTHER_PART = 2  # in scripts where one character can be a word
LAST_ALPHABETIC = "\u07ff"
"""Most scripts after it are written without spaces, and the trigram index does not support regular expressions in them."""
# Of the weights D to A: description, attributes, brand, name with SKU. What a product is counts more than how it is described.
RANK_WEIGHTS = [0.01, 0.1, 0.6, 1.0]


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
        query: the query that ranks them.
        exact_ids: primary keys of products whose SKU or GTIN the shopper entered.
    """

    products: ProductQuerySet
    match: Match
    words: str
    query: SearchQuery
    exact_ids: tuple[int, ...] = ()

    def ranked(self, products: ProductQuerySet) -> ProductQuerySet:
        """Order products by relevance: first those whose SKU or GTIN was entered, then by rank, then by primary key."""
        rank = SearchRank(F("search"), self.query, weights=RANK_WEIGHTS).desc()
        exact = [Case(When(pk__in=self.exact_ids, then=Value(0)), default=Value(1))] if self.exact_ids else []
        return products.order_by(*exact, rank, "id")


def search_products(text: str, *, among: ProductQuerySet) -> SearchResult:
    """Return the products that match a shopper's text, in the strictest way that finds any."""
    text = to_nfc(text)
    return (
        _match_all(text, among)
        or _match_parts(text, among)
        or _match_corrected(text, among)
        or SearchResult(products=among.none(), match=Match.NONE, words=text, query=_all_words(text))
    )


def _match_all(text: str, among: ProductQuerySet) -> SearchResult | None:
    exact_ids = _ids_by_code(text)
    query = _all_words(text)
    condition = Q(search=query) | Q(pk__in=exact_ids) if exact_ids else Q(search=query)
    products = among.filter(condition)
    if not products.exists():
        return None
    return SearchResult(products=products, match=Match.ALL, words=text, query=query, exact_ids=exact_ids)


def _match_parts(text: str, among: ProductQuerySet) -> SearchResult | None:
    condition = _parts_condition(text)
    # Counted and not tested with exists(): for the first row alone, the planner would read the table and not the indexes.
    if not condition or not (products := among.filter(condition)).order_by().count():
        return None
    return SearchResult(products=products, match=Match.ALL, words=text, query=_with_umlauts(text))


def _match_corrected(text: str, among: ProductQuerySet) -> SearchResult | None:
    """Match all words after correction, or else any of the words that products have."""
    existing, corrected = _correct(text, among)
    if corrected != text and (products := among.filter(search=_all_words(corrected))).exists():
        return SearchResult(
            products=products, match=Match.CORRECTED, words=corrected, query=_all_words(corrected)
        )
    if not existing:
        return None
    query = reduce(or_, (SearchQuery(word, config="catalog") for word in existing))
    products = among.filter(search=query)
    if not products.exists():  # a word such as “the” is in names, but not in search vectors
        return None
    return SearchResult(products=products, match=Match.ANY, words=" ".join(existing), query=query)


def _all_words(text: str) -> SearchQuery:
    """Return the query for all words, also with the other number of words that change f to v (knives, knife)."""
    plural = ENDING_IN_F.sub(r"\1ves", text)
    singular = ENDING_IN_VES.sub(lambda m: m[1] + ("fe" if m[1][-1] in "iI" else "f"), text)
    return reduce(or_, map(_web_query, dict.fromkeys([text, plural, singular])))


def _web_query(text: str) -> SearchQuery:
    return SearchQuery(text, config="catalog", search_type="websearch")


def _parts_condition(text: str) -> Q:
    """Return the condition that the name contains each word, also inside of other words; empty if all words are too short.

    It finds parts of compound words (Schuh in Straßenschuh), words of languages that are written without spaces, and words
    that the name writes with a hyphen (T-Shirt). Words that are too short have to match as a whole.
    """
    words = text.split()[:WORDS_LIMIT]
    parts = [word for word in words if _is_part(word)]
    whole_words = " ".join(word for word in words if word not in parts)
    conditions = [
        _part_condition(word) if len(words) == 1 else Q(search=_web_query(word)) | _part_condition(word)
        for word in parts
    ]
    if parts and whole_words:
        conditions.append(Q(search=_all_words(whole_words)))
    return reduce(and_, conditions, Q())


def _is_part(word: str) -> bool:
    shortest = SHORTEST_ASCII_PART if word.isascii() else SHORTEST_OTHER_PART
    return shortest <= len(word) <= LONGEST_WORD and word[0] not in '-"' and any(map(str.isalnum, word))


def _part_condition(word: str) -> Q:
    if max(word) > LAST_ALPHABETIC:
        return Q(name__contains=word)
    if SEPARATORS.search(word):
        return Q(search=_web_query(SEPARATORS.sub("", word))) | Q(name__iregex=re.escape(word))
    query = _with_umlauts(word) | _with_hyphens(word)
    return Q(search=query) | Q(name__iregex=word_ending_pattern(word))


def word_ending_pattern(word: str) -> str:
    """Return a regular expression for words that end with this word, in any German inflection, also with umlauts."""
    stem = re.escape(GERMAN_ENDING.sub("", word))
    stem = TRANSCRIBED_UMLAUT.sub(lambda m: f"({m[0]}|{UMLAUTS[m[0].lower()]})", stem)
    return rf"[[:alpha:]]{stem}(e[nrs]?|n|s)?\M"


def _with_hyphens(word: str) -> SearchQuery:
    """Return the query for the word with a hyphen between any two of its letters."""
    return reduce(or_, (_web_query(f"{word[:i]}-{word[i:]}") for i in range(1, len(word))))


def _with_umlauts(text: str) -> SearchQuery:
    """Return the query for the words as typed, or with ae, oe and ue read as umlauts, which the index has without dots."""
    without_dots = TRANSCRIBED_UMLAUT.sub(lambda m: m[0] if m[0].lower() == "ss" else m[0][0], text)
    return _all_words(text) | _web_query(without_dots)


def _ids_by_code(text: str) -> tuple[int, ...]:
    """Return the products that have this SKU or GTIN or a variant with it, else those whose SKU begins or ends with it."""
    code = text.strip().upper()
    if not code:
        return ()
    products = Product.objects.alias(code=Upper("sku")).filter(code=code)
    variants = Variant.objects.alias(code=Upper("sku")).filter(Q(code=code) | Q(gtin=code, gtin__gt=""))
    product_ids = products.order_by().values_list("pk", flat=True)
    ids = product_ids.union(variants.order_by().values_list("product_id", flat=True))[:CODE_PRODUCTS_LIMIT]
    return tuple(ids) or _ids_by_partial_code(SEPARATORS.sub("", code))


def _ids_by_partial_code(code: str) -> tuple[int, ...]:
    """Return the products whose SKU is the code, or begins or ends with it, if separators are ignored.

    In the SKU the code must stand between two separators, so that a number does not match inside of a longer one.
    """
    if len(code) < SHORTEST_PARTIAL_CODE or not any(map(str.isdigit, code)):
        return ()
    pattern = "[^[:alnum:]]*".join(code)
    products = Product.objects.alias(code=Code("sku"), reversed=Reverse(Code("sku"))).filter(
        Q(code__startswith=code) | Q(reversed__startswith=code[::-1]),
        sku__iregex=rf"(^|[^[:alnum:]]){pattern}($|[^[:alnum:]])",
    )
    return tuple(products.order_by("sku").values_list("pk", flat=True)[:CODE_PRODUCTS_LIMIT])


def _correct(text: str, among: ProductQuerySet) -> tuple[list[str], str]:
    """Return the words that some product has, each corrected if necessary, and the text with its words corrected."""
    words = list(dict.fromkeys(WORD.findall(text.lower())))[:WORDS_LIMIT]
    existing = _existing_words(words, among)
    unknown = [word for word in words if word not in existing and SHORTEST_TYPO <= len(word) <= LONGEST_WORD]
    corrections = {word: _nearest_word(word, among) for word in unknown[:CORRECTIONS_LIMIT]}
    usable = [corrections.get(word) or word for word in words if word in existing or corrections.get(word)]
    return usable, WORD.sub(lambda m: corrections.get(m[0].lower()) or m[0], text)


def _existing_words(words: Iterable[str], among: ProductQuerySet) -> set[str]:
    """Return the words that at least one product has, in one statement."""
    queries = [
        among.filter(search=SearchQuery(word, config="catalog"))
        .order_by()
        .annotate(word=Value(word, output_field=TextField()))
        .values_list("word", flat=True)[:1]
        for word in words
    ]
    return set(queries[0].union(*queries[1:], all=True)) if queries else set()


def _nearest_word(word: str, among: ProductQuerySet) -> str | None:
    """Return the most similar word in the names of products and brands; of equally similar ones the most frequent.

    The trigram index of names supports both conditions: one typing error anywhere in the word, or, for long words, many
    trigrams in common.
    """
    is_similar = Q(name__iregex=typo_pattern(word)) | Q(name__trigram_word_similar=word)
    names = among.filter(is_similar).order_by().values_list("name", "brand_name")[:NAMES_LIMIT]
    candidates = Counter(
        candidate
        for name in names
        for candidate in WORD.findall(" ".join(name).lower())
        if len(candidate) >= SHORTEST_TYPO
    )
    scores = [
        (SequenceMatcher(None, word, candidate).ratio(), count, candidate)
        for candidate, count in candidates.items()
    ]
    similarity, _count, nearest = max(scores, default=(0, 0, None))
    return nearest if similarity >= SIMILARITY_THRESHOLD else None


def typo_pattern(word: str) -> str:
    """Return a regular expression for words with one typing error: a letter missing, added or wrong, or two swapped."""
    typos = [word[:i] + ".?" + word[i + 1 :] for i in range(len(word))]
    typos += [word[:i] + "." + word[i:] for i in range(1, len(word))]
    typos += [word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)]
    return rf"\m({'|'.join(dict.fromkeys(typos))})\M"
