"""The order of candidates: what a product has of the words of a text, rare words above frequent ones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from catalog.search.terms import Term

NAME_WEIGHT = 1.25  # of a word in the name, brand or attributes, beside one in the description
BRAND_WEIGHT = 2.25  # of a word in the brand, or the first of the name, which often is the brand
SIMILARITY_WEIGHT = 3.0  # of the similarity of the name and the text
LENGTH_WEIGHT = 0.1  # of the length of a product's texts, beside the mean


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that may match.

    Args:
        pk: its primary key.
        brand_lexemes: the text of its search vector for the name of the brand alone.
        name_lexemes: the same without the description, with positions.
        lexemes: the same in whole.
        similarity: of its name and the shopper's text, from 0 to 1.
    """

    pk: int
    brand_lexemes: str
    name_lexemes: str
    lexemes: str
    similarity: float


def ranked(
    candidates: Iterable[Candidate], terms: list[Term], *, total: int
) -> list[tuple[float, Candidate]]:
    """Return the candidates with their scores, the best first, and equal ones by their primary keys.

    Args:
        terms: the words of the text.
        total: the number of products in the catalog.
    """
    rows = list(candidates)
    weights = [
        [(_token(other.lexeme), other.weight * rarity(other.products, total)) for other in term]
        for term in terms
    ]
    lengths = [row.lexemes.count("' '") + 1 for row in rows]
    mean = sum(lengths) / max(len(rows), 1)
    scores = [
        _score(row, weights) / (1 + LENGTH_WEIGHT * length / mean) + SIMILARITY_WEIGHT * row.similarity
        for row, length in zip(rows, lengths, strict=True)
    ]
    return sorted(zip(scores, rows, strict=True), key=lambda pair: (-pair[0], pair[1].pk))


def rarity(products: int, total: int) -> float:
    """Return how much it tells that a product has a lexeme (the inverse document frequency of BM25).

    Source: Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond" (2009), section 3.
    """
    total = max(total, products)
    return math.log(1 + (total - products + 0.5) / (products + 0.5))


def _score(row: Candidate, weights: list[list[tuple[str, float]]]) -> float:
    score = 0.0
    for term in weights:
        score += max(
            (_weight_in(row, token) * weight for token, weight in term if token in row.lexemes), default=0.0
        )
    return score


def _weight_in(row: Candidate, token: str) -> float:
    """Return how much a word counts by where the product has it."""
    if token not in row.name_lexemes:
        return 1.0
    is_brand = token in row.brand_lexemes or f"{token}:1A" in row.name_lexemes
    return BRAND_WEIGHT if is_brand else NAME_WEIGHT


def _token(lexeme: str) -> str:
    """Return a lexeme as the text of a search vector has it."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
