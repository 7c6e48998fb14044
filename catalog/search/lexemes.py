"""The lexemes of texts: how many products have them, and which lexemes are similar."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import connection

from cachecontrol.api import depends_on
from catalog.models import Lexeme, SearchStatistics

if TYPE_CHECKING:
    from collections.abc import Iterable

SQL = Path(__file__).resolve().parent.parent / "sql" / "lexemes.sql"
STATEMENTS = dict(re.findall(r"^-- name: (\w+)\n(.*?);$", SQL.read_text(), re.MULTILINE | re.DOTALL))

ONE_TYPO = 0.75  # the least similarity of words between which lies one typing error
FIRST_LETTER_TYPO = 0.7  # the same if it is in the first letter, which people seldom mistype
COMPOUND = 0.8  # the similarity of a word and a compound that ends with it
BEGINNING = 0.9  # the least similarity of a code and its beginning
SHORTEST_CODE = 4


@dataclass(frozen=True, slots=True)
class Alternative:
    """A lexeme that counts for a word.

    Args:
        lexeme: a stem, as search vectors have it.
        products: the number of products that have it, as last counted.
        weight: how much it counts, from 0 to 1 for the word itself.
        is_correction: it is what the shopper may have meant, and not what was typed.
    """

    lexeme: str
    products: int
    weight: float = 1.0
    is_correction: bool = False


def lexemes_of(texts: list[str]) -> tuple[list[list[Alternative]], int]:
    """Return the lexemes of each text in their order, and the number of products when they were counted last, or 0."""
    found: list[list[Alternative]] = [[] for _text in texts]
    total = 0
    for place, lexeme, products, counted in _rows("lexemes_of_texts", texts):
        found[place - 1].append(Alternative(lexeme, products))
        total = counted or 0
    return found, total


def similar_lexemes(words: Iterable[str]) -> dict[str, list[Alternative]]:
    """Return for each word the lexemes that may have been meant, the most similar first.

    These are words with one typing error, compounds that end with the word, and words with many trigrams in common.
    """
    found: dict[str, dict[str, Alternative]] = {word: {} for word in words}
    for word, lexeme, products, kind, trigrams in _rows("similar_lexemes", [*found]):
        if kind == "typo" and not is_one_typo(word, lexeme):
            continue
        weight = _similarity(word, lexeme, kind, trigrams)
        alternative = Alternative(lexeme, products, weight, is_correction=kind != "compound")
        if lexeme not in found[word] or found[word][lexeme].weight < weight:
            found[word][lexeme] = alternative
    return {
        word: sorted(similar.values(), key=lambda other: (-other.weight, -other.products, other.lexeme))
        for word, similar in found.items()
    }


def is_one_typo(word: str, other: str) -> bool:
    """Tell whether the words differ by one letter that is missing, added or wrong, or by two that are swapped."""
    short, long = sorted((word, other), key=len)
    start = next((i for i, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    rest_short, rest_long = short[start:], long[start:]
    if len(short) < len(long):
        return rest_short == rest_long[1:]
    return rest_short[1:] == rest_long[1:] or (
        rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]
    )


def _similarity(word: str, lexeme: str, kind: str, trigrams: float) -> float:
    if kind == "compound":
        return COMPOUND
    if kind == "typo":
        return max(trigrams, ONE_TYPO if word[0] == lexeme[0] else FIRST_LETTER_TYPO)
    is_beginning = word.startswith(lexeme) or lexeme.startswith(word)
    if is_beginning and any(map(str.isdigit, word)) and min(len(word), len(lexeme)) >= SHORTEST_CODE:
        return max(trigrams, BEGINNING)
    return trigrams


def _rows(statement: str, texts: list[str]) -> list[Any]:
    if not texts:
        return []
    with depends_on(Lexeme, SearchStatistics), connection.cursor() as cursor:
        cursor.execute(STATEMENTS[statement], [texts])
        return list(cursor.fetchall())
