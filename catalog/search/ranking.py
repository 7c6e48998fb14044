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
FIRST_OF_NAME = "1A"  # the first position, of a name
SIMILARITY_WEIGHT = 3.0  # of the similarity of the name and the text
LENGTH_WEIGHT = 0.1  # of the length of a product's texts, beside the mean


@dataclass(frozen=True, slots=True)
class Candidate:
    """A product that may match.

    Args:
        pk: its primary key.
        vector: the text of its search vector: each lexeme in quotation marks, with its positions and their weights.
        similarity: of its name and the shopper's text, from 0 to 1.
    """

    pk: int
    vector: str
    similarity: float

    def has(self, lexeme: str) -> bool:
        """Tell whether the product has the lexeme."""
        return _token(lexeme) in self.vector


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
    lengths = [row.vector.count("':") for row in rows]
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
        score += max((_place_weight(row.vector, token) * weight for token, weight in term), default=0.0)
    return score


def _place_weight(vector: str, token: str) -> float:
    """Return how much a lexeme counts by where the product has it; 0 if it does not have it."""
    begin = vector.find(token)
    if begin < 0:
        return 0.0
    begin += len(token)
    end = vector.find(" ", begin)
    positions = vector[begin:end] if end >= 0 else vector[begin:]
    if "B" in positions or positions.startswith(FIRST_OF_NAME):
        return BRAND_WEIGHT
    return NAME_WEIGHT if "A" in positions or "C" in positions else 1.0


def _token(lexeme: str) -> str:
    """Return a lexeme as the text of a search vector has it, with the colon before its positions."""
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}':"
