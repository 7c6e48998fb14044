"""Search: the SKU first, then all words by their stems, then parts of words, then slips mended, then any of the words."""

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
ENDING = re.compile(r"(?<=\w{4})(e[nrs]?|n|s)$")
UMLAUTS = {"ae": "ä", "oe": "ö", "ue": "ü", "ss": "ß"}
UMLAUT = re.compile("|".join(UMLAUTS), re.IGNORECASE)
SHORTEST = 3
# The pattern of a word's slips grows with the square of its length, and the server's work on it faster.
LONGEST = 24
MOST_WORDS = 8
MOST_MENDED = 3
MOST_NAMES = 200
MOST_CODES = 20
SHORTEST_CODE = 4
SHORTEST_PART = 4
SHORTEST_OTHER_PART = 2  # where a sign may be a word
LAST_OF_ALPHABETS = "\u07ff"
"""Most scripts beyond it are written without spaces, and the trigram index does not answer regular expressions in them."""
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
    text = to_nfc(text)
    exact = _coded(text)
    query = _all(text)
    found = among.filter(Q(search=query) | Q(pk__in=exact)) if exact else among.filter(search=query)
    if found.exists():
        return Found(products=found, match=Match.ALL, words=text, query=query, exact=exact)
    # Counted, since for the first row alone the planner would read the table and not the indexes.
    if (parts := _parts(text)) and (found := among.filter(parts)).order_by().count():
        return Found(products=found, match=Match.ALL, words=text, query=_with_umlauts(text))
    known, mended = _mend(text, among)
    if mended != text and (found := among.filter(search=_all(mended))).exists():
        return Found(products=found, match=Match.MENDED, words=mended, query=_all(mended))
    if known:
        some = reduce(or_, (SearchQuery(word, config="catalog") for word in known))
        if (found := among.filter(search=some)).exists():  # “the” is in names, and finds none of them
            return Found(products=found, match=Match.SOME, words=" ".join(known), query=some)
    return Found(products=among.none(), match=Match.NONE, words=text, query=query)


def _all(text: str) -> SearchQuery:
    """Ask for all words, also with the other number of those that change an f to a v (knives, knife)."""
    plural = ENDING_IN_F.sub(r"\1ves", text)
    singular = ENDING_IN_VES.sub(lambda m: m[1] + ("fe" if m[1][-1] in "iI" else "f"), text)
    return reduce(or_, map(_words, dict.fromkeys([text, plural, singular])))


def _words(text: str) -> SearchQuery:
    return SearchQuery(text, config="catalog", search_type="websearch")


def _parts(text: str) -> Q:
    """Return a condition that matches each word also within the words of the name; an empty one if no word is long enough.

    It finds parts of compound words (Schuh in Straßenschuh), words of languages that are written without spaces, and words
    that the name writes with a hyphen (T-Shirt).
    """
    words = text.split()[:MOST_WORDS]
    parts = [word for word in words if _is_part(word)]
    rest = " ".join(word for word in words if word not in parts)
    asked = [_part(word) if len(words) == 1 else Q(search=_words(word)) | _part(word) for word in parts]
    asked += [Q(search=_all(rest))] if parts and rest else []
    return reduce(and_, asked, Q())


def _is_part(word: str) -> bool:
    shortest = SHORTEST_PART if word.isascii() else SHORTEST_OTHER_PART
    return shortest <= len(word) <= LONGEST and word[0] not in '-"' and any(map(str.isalnum, word))


def _part(word: str) -> Q:
    if max(word) > LAST_OF_ALPHABETS:
        return Q(name__contains=word)
    if SEPARATORS.search(word):
        return Q(search=_words(SEPARATORS.sub("", word))) | Q(name__iregex=re.escape(word))
    return Q(search=_with_umlauts(word) | _with_a_hyphen(word)) | Q(name__iregex=end_of_word(word))


def end_of_word(word: str) -> str:
    """Return a regular expression for words that end with this word, in any inflection, also written with umlauts."""
    stem = UMLAUT.sub(lambda m: f"({m[0]}|{UMLAUTS[m[0].lower()]})", re.escape(ENDING.sub("", word)))
    return rf"[[:alpha:]]{stem}(e[nrs]?|n|s)?\M"


def _with_a_hyphen(word: str) -> SearchQuery:
    """Search for the word with a hyphen at each possible place."""
    return reduce(or_, (_words(f"{word[:place]}-{word[place:]}") for place in range(1, len(word))))


def _with_umlauts(text: str) -> SearchQuery:
    """Search for the words as typed, and with ae, oe and ue read as umlauts, which the index holds without their dots."""
    return _all(text) | _words(UMLAUT.sub(lambda m: m[0] if m[0].lower() == "ss" else m[0][0], text))


def _coded(text: str) -> tuple[int, ...]:
    """Return the products that have this SKU or GTIN, or whose variants do, or else a SKU that begins or ends so."""
    code = text.strip().upper()
    if not code:
        return ()
    own = Product.objects.alias(code=Upper("sku")).filter(code=code).values_list("pk", flat=True)
    variants = Variant.objects.alias(code=Upper("sku")).filter(Q(code=code) | Q(gtin=code, gtin__gt=""))
    whole = own.order_by().union(variants.order_by().values_list("product_id", flat=True))[:MOST_CODES]
    return tuple(whole) or _coded_in_part(SEPARATORS.sub("", code))


def _coded_in_part(code: str) -> tuple[int, ...]:
    """Return the products whose SKU is the code, or begins or ends with it, without what separates letters and digits.

    The code has to be all that stands between two separators, so that a number is not found within a longer one.
    """
    if len(code) < SHORTEST_CODE or not any(map(str.isdigit, code)):
        return ()
    between = "[^[:alnum:]]*".join(code)
    found = Product.objects.alias(code=Code("sku"), reversed=Reverse(Code("sku"))).filter(
        Q(code__startswith=code) | Q(reversed__startswith=code[::-1]),
        sku__iregex=rf"(^|[^[:alnum:]]){between}($|[^[:alnum:]])",
    )
    return tuple(found.order_by("sku").values_list("pk", flat=True)[:MOST_CODES])


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
