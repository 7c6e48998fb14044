"""``python -m tests.bench.search [--quick] [--products N]``: measure search, and write the result into docs/performance.md.

A query is the name of a product in one shop; relevant is the same product in the catalog of another shop. So are queries with a
typing error, and those of the first four words only. Real product data lies beside the project (``tests/catalog/real_data.py``).
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

from tests.catalog import real_data

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Rank = Callable[[str], list[int]]

TOP = 10
SHORTEST_TYPO = 4
FIRST_WORDS = 4
CHUNK = 2000
SEED = 20261127
LARGE = 22_068
"""The number of documents of the large set."""
QUALITY_BARS = (0.91, 0.91, 0.76)
"""The least nDCG@10 of the first set: of whole names, with a typing error, and of the first four words."""
SMALL_SET, LARGE_SET = "Abt–Buy", f"Abt–Buy among {LARGE:,}"
SECONDS_BARS = {SMALL_SET: 0.015, LARGE_SET: 0.030}
"""The most that 95 of 100 searches of a set may take."""


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
        scores: dict[int, float] = defaultdict(float)
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


@dataclass(frozen=True, slots=True)
class Measured:
    """What one kind of queries gave: the mean nDCG of search and of BM25, and seconds of searches."""

    name: str
    kind: str
    quality: float
    baseline: float
    median: float
    p95: float

    @property
    def cells(self) -> list[str]:
        return [
            self.name,
            self.kind,
            f"{self.quality:.3f}",
            f"{self.baseline:.3f}",
            f"{self.median * 1e3:.1f}",
            f"{self.p95 * 1e3:.1f}",
        ]


def measure(pairs: Pairs, *, divisor: int) -> list[Measured]:
    """Measure every ``divisor``-th query of the pairs, of each kind."""
    numbers = {pk: number for number, pk in enumerate(load(pairs.documents))}
    rng = random.Random(SEED)
    queries = pairs.queries[::divisor]
    kinds = {
        "whole name": queries,
        "one typing error": [(with_typo(text, rng), relevant) for text, relevant in queries],
        "first 4 words": [(first_words(text), relevant) for text, relevant in queries],
    }
    bm25 = BM25(pairs.documents)
    found = []
    for kind, asked in kinds.items():
        baseline = sum(ndcg(bm25(text), relevant) for text, relevant in asked) / len(asked)
        results, times = zip(*(_timed(text) for text, _relevant in asked), strict=True)
        quality = sum(
            ndcg([numbers[pk] for pk in pks], relevant)
            for pks, (_text, relevant) in zip(results, asked, strict=True)
        )
        found.append(Measured(pairs.name, kind, quality / len(asked), baseline, *_median_and_p95(times)))
        print("  ".join(f"{cell:<18}" for cell in found[-1].cells), flush=True)
    return found


def _timed(text: str) -> tuple[list[int], float]:
    begun = time.perf_counter()
    found = search(text)
    return found, time.perf_counter() - begun


def _median_and_p95(times: Iterable[float]) -> tuple[float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]


def data_sets() -> list[Pairs]:
    """Return Abt–Buy in both directions, and among products of other shops."""
    left, right, truth = real_data.match_pairs()
    forward = _pairs(SMALL_SET, left, right, truth)
    others = [*real_data.rows("bestbuy_products"), *real_data.rows("fashion_products")]
    more = [
        {"name": row["name"], "description": row.get("description") or ""}
        for row in others
        if row["name"].strip()
    ]
    among = [*forward.documents, *more][:LARGE]
    return [
        forward,
        _pairs("Buy–Abt", right, left, [(b, a) for a, b in truth]),
        Pairs(LARGE_SET, among, forward.queries),
    ]


def _pairs(name: str, asked: list[Any], documents: list[Any], truth: list[tuple[str, str]]) -> Pairs:
    numbers = {row["id"]: number for number, row in enumerate(documents)}
    relevant: dict[str, set[int]] = defaultdict(set)
    for query, document in truth:
        relevant[query].add(numbers[document])
    rows = [{"name": row["name"], "description": row.get("description") or ""} for row in documents]
    return Pairs(name, rows, [(row["name"], relevant[row["id"]]) for row in asked if row["id"] in relevant])


def measure_demo(products: int) -> list[list[str]]:
    """Fill the shop with the demonstration catalog, and return a row of milliseconds for each kind of text."""
    from django.core.management import call_command

    from catalog.models import Product

    call_command("demo", products=products)
    analyze()
    sku = Product.objects.order_by("-pk").values_list("sku", flat=True)[0]
    texts = {
        "a common word": ["shirt", "table", "book", "pan", "headphones"],
        "two words": ["linen shirt", "walnut table", "studio headphones", "brass lamp"],
        "many words": ["a large walnut writing table with a drawer for the home of somebody who reads"],
        "a typing error": ["shrit", "walnt table", "hedphones", "linnen shirt"],
        "nothing found": ["xqzwvk", "qqq zzzz"],
        "a SKU": [sku, sku.lower().replace("-", " "), sku.partition("-")[2]],
    }
    rows = []
    for kind, typed in texts.items():
        median, p95 = _median_and_p95(_timed(text)[1] for _round in range(20) for text in typed)
        rows.append(
            [f"{products:,} demonstration products", kind, "", "", f"{median * 1e3:.1f}", f"{p95 * 1e3:.1f}"]
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.search", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the queries, and write nothing")
    parser.add_argument(
        "--products", type=int, default=0, help="also measure a demonstration catalog of so many products"
    )
    chosen = parser.parse_args()
    if not real_data.DATA.exists():
        print(f"Skipped: {real_data.DATA} is not there.")
        return 0
    django.setup()
    from django.core.management import call_command

    from tests.bench.http import report

    call_command("migrate", run_syncdb=True, verbosity=0)
    found = [
        measured for pairs in data_sets() for measured in measure(pairs, divisor=10 if chosen.quick else 1)
    ]
    rows = [measured.cells for measured in found]
    rows += measure_demo(chosen.products) if chosen.products else []
    head = ["documents", "queries", "nDCG@10", "BM25", "median, ms", "p95, ms"]
    lines = [f"{report.machine()}\n", report.table([head, *rows]), "", *_verdicts(found)]
    report.publish("search", "\n".join(lines), write=not chosen.quick)
    return 0


def _verdicts(found: list[Measured]) -> list[str]:
    """Say of each bar whether it is kept."""
    lines = []
    for measured, bar in zip(found, QUALITY_BARS, strict=False):
        lines.append(
            _verdict(f"{measured.name}, {measured.kind}: nDCG@10 ≥ {bar:g}", is_kept=measured.quality >= bar)
        )
    for measured in found:
        if measured.name in SECONDS_BARS:
            bar = SECONDS_BARS[measured.name]
            text = f"{measured.name}, {measured.kind}: p95 ≤ {bar * 1e3:g} ms"
            lines.append(_verdict(text, is_kept=measured.p95 <= bar))
    return lines


def _verdict(text: str, *, is_kept: bool) -> str:
    return f"- {text}: {'kept' if is_kept else 'missed'}."


if __name__ == "__main__":
    sys.exit(main())
