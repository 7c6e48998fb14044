"""The terms of a shopper's text: what a product may have, for each word, to match it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from catalog.search.lexemes import Alternative, lexemes_of, similar_lexemes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Term = list[Alternative]
"""The lexemes that count for one word. A product needs one of them."""

SEPARATORS = re.compile(r"[\W_]+")
INNER_SEPARATORS = re.compile(r"(?<=\w)[-/_&+‐‑–—](?=\w)")
ENDING_IN_VES = re.compile(r"(?<=[a-z])(i|l|ar|ea|oa)ves$")
ENDING_IN_F = re.compile(r"(?<=[a-z])(i(?=fe)|l|ar|ea|oa)fe?$")
UMLAUT = re.compile(r"([aou])e")
GERMAN_ENDING = re.compile(r"(?<=\w{4})(e[nrs]?|n|s)$")

WORDS_LIMIT = 24  # of a text; the others are ignored
LONGEST_WORD = 60  # characters; longer words are ignored
CORRECTIONS_LIMIT = 6  # words of a text that are corrected
ALTERNATIVES_LIMIT = 3  # of a corrected word
SHORTEST_TYPO = 3  # characters of a word that is corrected
LEAST_SIMILARITY = 0.3
CORRECTION_WEIGHT = 0.9
# Less similar lexemes count for the order of products only: none of them stands for the word that was typed.
LEAST_WEIGHT = 0.45
# A word that products have is corrected too, if so many times more products have a word with one other letter.
DOMINANCE = 100


@dataclass(slots=True)
class Word:
    """A word as it was typed.

    `parts` are the terms of its parts, which a product has to match all, or else `compound`, the same without separators. A word
    without parts is one that searches ignore, such as "the". `lexemes` are those of the parts as they were typed.
    `spellings` are other ones of a word with one part.
    """

    text: str
    parts: list[Term] = field(default_factory=list)
    compound: Term = field(default_factory=list)
    lexemes: list[str] = field(default_factory=list)
    spellings: list[Alternative] = field(default_factory=list)

    @property
    def is_known(self) -> bool:
        """Whether products have the word, or one that is similar."""
        return any(map(_likely, self.parts)) or _is_known(self.compound)


@dataclass(slots=True)
class Terms:
    """The words of a text.

    Args:
        words: those that are not ignored.
        total: the number of products, as last counted.
        corrections: by the lexeme of a word that was corrected, those of words that may have been meant, the most similar first.
    """

    words: list[Word]
    total: int
    corrections: dict[str, list[str]] = field(default_factory=dict)

    @property
    def all(self) -> list[Term]:
        """The terms that count for the order of products."""
        return [term for word in self.words for term in (*word.parts, word.compound) if term]

    def query_for_all(self) -> str:
        """Return the `tsquery` for products that match all words; empty if no product can."""
        queries = [_word_query(word) for word in self.words]
        return " & ".join(queries) if all(queries) else ""


def read_terms(text: str, *, existing: Callable[[list[str]], set[str]], correct: bool) -> Terms:
    """Return the terms of a text.

    Args:
        text: a shopper's.
        existing: returns those of some lexemes that products have, for words that were not counted yet.
        correct: add what was meant to words that no product has.
    """
    typed = [word for word in text.split() if SEPARATORS.sub("", word) and len(word) <= LONGEST_WORD]
    words = [Word(text) for text in typed[:WORDS_LIMIT]]
    spellings = [_spellings(word.text) for word in words]
    compounds = [_compound(word.text) for word in words]
    pairs = [SEPARATORS.sub("", left.text + right.text) for left, right in pairwise(words)]
    groups = [*([compound] for compound in compounds), *([pair] for pair in pairs), *spellings]
    found, total = lexemes_of([spelling for group in groups for spelling in group])
    lexemes = iter(found)
    grouped = [[next(lexemes) for _spelling in group] for group in groups]
    for word, compound, alternatives in zip(words, grouped, grouped[2 * len(words) - 1 :], strict=False):
        _fill(word, alternatives, compound[0][:1])
    for (left, right), (pair, *_) in zip(pairwise(words), grouped[len(words) :], strict=False):
        _add_pair(left, right, pair)
    terms = Terms([word for word in words if word.parts or word.compound], total)
    return _corrected(terms, existing) if correct else terms


def _add_pair(left: Word, right: Word, pair: list[Alternative]) -> None:
    """Let the compound of two words count for each of them, as much as the word itself, if products have it."""
    if len(pair) != 1 or not pair[0].products or not len(left.parts) == len(right.parts) == 1:
        return
    for part in (left.parts[0], right.parts[0]):
        products = min(part[0].products or pair[0].products, pair[0].products)
        part.append(replace(pair[0], products=products))


def _spellings(word: str) -> list[str]:
    """Return the word, and others: with f or ve in its plural, umlauts for ae, oe and ue, and without a German ending."""
    lower = word.lower()
    plain = UMLAUT.sub(r"\1", lower)
    others = [
        ENDING_IN_F.sub(r"\1ves", lower),
        ENDING_IN_VES.sub(lambda m: m[1] + ("fe" if m[1] == "i" else "f"), lower),
        plain,
        GERMAN_ENDING.sub("", plain),
    ]
    return list(
        dict.fromkeys([INNER_SEPARATORS.sub(" ", word), *(other for other in others if other != lower)])
    )


def _compound(word: str) -> str:
    return SEPARATORS.sub("", word) if INNER_SEPARATORS.search(word) else ""


def _fill(word: Word, spellings: list[list[Alternative]], compound: Term) -> None:
    """Set the terms of a word from the lexemes of its spellings. Other ones count at once, but for those without an ending."""
    first, *others = spellings
    word.compound = compound
    word.parts = [[part] for part in dict.fromkeys(first) if part not in compound]
    word.lexemes = [part[0].lexeme for part in word.parts]
    if len(word.parts) != 1:
        return
    word.spellings = [other for group in others for other in group if other not in first]
    known = [other for other in dict.fromkeys(word.spellings) if other.products]
    if not first[0].products:
        word.parts[0] += known
    else:
        word.parts[0] += [other for other in known if not word.lexemes[0].startswith(other.lexeme)]


def _corrected(terms: Terms, existing: Callable[[list[str]], set[str]]) -> Terms:
    """Add what was meant to the terms of words that no product has, or far fewer than a word with one other letter."""
    parts = [(part, word) for word in terms.words if not _is_known(word.compound) for part in word.parts]
    uncounted = [part[0].lexeme for part, _word in parts if not _is_known(part)]
    unknown = {*uncounted} - existing(uncounted) if uncounted else set()
    doubtful = [
        (part, word) for part, word in parts if part[0].lexeme in unknown or _may_be_typo(part, terms.total)
    ]
    doubtful = [pair for pair in doubtful if len(pair[0][0].lexeme) >= SHORTEST_TYPO][:CORRECTIONS_LIMIT]
    asked = {part[0].lexeme: _asked(part, word, unknown) for part, word in doubtful}
    similar = similar_lexemes(lexeme for lexemes in asked.values() for lexeme in lexemes) if asked else {}
    for part, _word in doubtful:
        typed = part[0]
        others = _best([other for lexeme in asked[typed.lexeme] for other in similar[lexeme]])
        if typed.lexeme in unknown:
            part[:] = [_weighted(other) for other in others[:ALTERNATIVES_LIMIT]]
        else:
            part.extend([_weighted(other) for other in others if _dominates(other, typed)][:1])
        meant = [other for other in _likely(part) if other is not typed]
        if meant and meant[0].is_correction:
            terms.corrections[typed.lexeme] = [other.lexeme for other in meant if other.is_correction]
    return terms


def _asked(part: Term, word: Word, unknown: set[str]) -> list[str]:
    """Return the lexemes that are similar to what was meant: of a word that no product has also those of other spellings."""
    spellings = word.spellings if part[0].lexeme in unknown else []
    return list(dict.fromkeys(other.lexeme for other in (part[0], *spellings)))


def _best(others: list[Alternative]) -> list[Alternative]:
    """Return the similar ones, the most similar first, each lexeme once."""
    ordered = sorted(others, key=lambda other: (-other.weight, -other.products, other.lexeme))
    best = {other.lexeme: other for other in reversed(ordered) if other.weight >= LEAST_SIMILARITY}
    return [other for other in ordered if best.get(other.lexeme) is other]


def _likely(term: Term) -> Term:
    """Return the alternatives that may stand for the word that was typed."""
    return [other for other in term if other.weight >= LEAST_WEIGHT]


def _is_known(term: Term) -> bool:
    return any(other.products for other in term)


def _may_be_typo(part: Term, total: int) -> bool:
    word = part[0]
    return word.lexeme.isalpha() and sum(other.products for other in part) * DOMINANCE <= total


def _dominates(other: Alternative, word: Alternative) -> bool:
    is_typo = other.is_correction and other.weight >= LEAST_SIMILARITY
    return is_typo and other.products >= DOMINANCE * max(word.products, 1)


def _weighted(other: Alternative) -> Alternative:
    return replace(other, weight=CORRECTION_WEIGHT * other.weight)


def _word_query(word: Word) -> str:
    """Return the `tsquery` for products that match a word; empty if no product can."""
    terms = [_likely(part) for part in word.parts]
    parts = f"({' & '.join(map(_term_query, terms))})" if terms and all(terms) else ""
    compound = _term_query(word.compound) if word.compound else ""
    return f"({parts} | {compound})" if parts and compound else parts or compound


def _term_query(term: Iterable[Alternative]) -> str:
    return f"({any_query(other.lexeme for other in term)})"


def any_query(lexemes: Iterable[str]) -> str:
    """Return the `tsquery` for products that have one of the lexemes."""
    return " | ".join(map(_quoted, lexemes))


def _quoted(lexeme: str) -> str:
    escaped = lexeme.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"
