"""``python -m tests.bench.search [--quick]``: measure what search finds and how long it takes, and write it to docs/performance.md.

A query is the name of a product in one shop; relevant is the same product in the catalog of another shop. So are queries with a
typing error, and those of the first four words only. Real product data lies beside the project (see ``tests/catalog/real_data.py``).
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import string
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.settings")

import django

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Rank = Callable[[str], list[int]]

TOP = 10
SHORTEST_TYPO = 4
FIRST_WORDS = 4
CHUNK = 2000
SEED = 20261127


@dataclass(frozen=True, slots=True)
class Pairs:
    """Documents, and queries each with the numbers of the documents that it should find."""

    name: str
    documents: list[dict[str, Any]]
    queries: list[tuple[str, set[int]]]


def with_typo(text: str, rng: random.Random) -> str:
    """Return the text with one typing error in one of its words."""
    words = text.split()
    places = [i for i, word in enumerate(words) if len(word) >= SHORTEST_TYPO and word.isalpha()]
    if not places:
        return text
    place = rng.choice(places)
    word, letter = words[place], rng.choice(string.ascii_lowercase)
    i = rng.randrange(1, len(word) - 1)
    slips = [
        word[:i] + word[i + 1 :],
        word[:i] + letter + word[i:],
        word[:i] + letter + word[i + 1 :],
        word[:i] + word[i + 1] + word[i] + word[i + 2 :],
    ]
    return " ".join([*words[:place], rng.choice(slips), *words[place + 1 :]])


def first_words(text: str) -> str:
    """Return the first four words of a text, without those that are only signs."""
    return " ".join([word for word in text.split() if any(map(str.isalnum, word))][:FIRST_WORDS])


def ndcg(found: list[int], relevant: set[int]) -> float:
    """Return the normalized discounted cumulative gain of the first ten documents, from 0 to 1."""
    gain = sum(1 / math.log2(place + 2) for place, number in enumerate(found[:TOP]) if number in relevant)
    return gain / sum(1 / math.log2(place + 2) for place in range(min(TOP, len(relevant))))


class BM25:
    """BM25 in memory over names and descriptions, to compare with."""

    def __init__(self, documents: Iterable[dict[str, Any]]) -> None:
        self.words = [Counter(_words(f"{row['name']} {row['description']}")) for row in documents]
        self.places: dict[str, list[int]] = defaultdict(list)
        for number, words in enumerate(self.words):
            for word in words:
                self.places[word].append(number)
        self.lengths = [words.total() for words in self.words]
        self.mean = sum(self.lengths) / len(self.lengths)

    def __call__(self, text: str) -> list[int]:
        scores: Counter[int] = Counter()
        for word in _words(text):
            numbers = self.places.get(word, [])
            rarity = math.log(1 + (len(self.words) - len(numbers) + 0.5) / (len(numbers) + 0.5))
            for number in numbers:
                count, length = self.words[number][word], self.lengths[number] / self.mean
                scores[number] += rarity * count * 2.2 / (count + 1.2 * (0.25 + 0.75 * length))
        return [
            number for number, _score in sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))[:TOP]
        ]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def load(documents: list[dict[str, Any]]) -> list[int]:
    """Replace the products of the catalog by these documents, and return their primary keys."""
    from catalog.models import Category, Product
    from catalog.search.statistics import count_lexemes
    from tests.catalog import factories

    Product.objects.all().delete()
    Category.objects.all().delete()
    category = factories.category("Everything")
    rows = [
        Product(
            name=row["name"][:300],
            slug=f"document-{number}",
            sku=f"DOCUMENT{number}",
            description=row["description"],
            category=category,
            price=1,
            status="published",
            publish_at=factories.LONG_AGO,
        )
        for number, row in enumerate(documents)
    ]
    Product.objects.bulk_create(rows, batch_size=CHUNK)
    count_lexemes()
    analyze()
    return [row.pk for row in rows]


def analyze() -> None:
    """Bring the planner's statistics and the indexes up to date."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE catalog_product, catalog_lexeme")


def search(text: str) -> list[int]:
    """Return the primary keys of the first products of a search, as its page shows them."""
    from catalog import queries
    from catalog.models import Product
    from catalog.search import search_products

    result = search_products(text, among=queries.visible_products(Product.objects.all()))
    return list(result.ranked(result.products).values_list("pk", flat=True)[:TOP])


def measure(pairs: Pairs, *, divisor: int = 1) -> None:
    pks = load(pairs.documents)
    numbers = {pk: number for number, pk in enumerate(pks)}
    rng = random.Random(SEED)
    queries = pairs.queries[::divisor]
    kinds = {
        "clean": queries,
        "typo": [(with_typo(text, rng), relevant) for text, relevant in queries],
        "first 4 words": [(first_words(text), relevant) for text, relevant in queries],
    }
    bm25 = BM25(pairs.documents)
    for kind, asked in kinds.items():
        baseline = sum(ndcg(bm25(text), relevant) for text, relevant in asked) / len(asked)
        total, times = 0.0, []
        for text, relevant in asked:
            begun = time.perf_counter()
            found = search(text)
            times.append(time.perf_counter() - begun)
            total += ndcg([numbers[pk] for pk in found], relevant)
        times.sort()
        print(
            f"{pairs.name:<28}{kind:<16}{total / len(asked):6.3f}  BM25 {baseline:6.3f}"
            f"  median {times[len(times) // 2] * 1e3:6.1f} ms  p95 {times[int(len(times) * 0.95)] * 1e3:6.1f} ms",
            flush=True,
        )


def abt_buy() -> list[Pairs]:
    from tests.catalog.real_data import match_pairs

    left, right, truth = match_pairs()
    return [
        _pairs("Abt–Buy", left, right, truth),
        _pairs("Buy–Abt", right, left, [(b, a) for a, b in truth]),
    ]


def _pairs(name: str, asked: list[Any], documents: list[Any], truth: list[tuple[str, str]]) -> Pairs:
    numbers = {row["id"]: number for number, row in enumerate(documents)}
    relevant: dict[str, set[int]] = defaultdict(set)
    for query, document in truth:
        relevant[query].add(numbers[document])
    rows = [{"name": row["name"], "description": row.get("description") or ""} for row in documents]
    return Pairs(name, rows, [(row["name"], relevant[row["id"]]) for row in asked if row["id"] in relevant])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the queries, and write nothing")
    chosen = parser.parse_args()
    django.setup()
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    for pairs in abt_buy():
        measure(pairs, divisor=10 if chosen.quick else 1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
