"""Querysets beside cachalot and cacheops, each library in a process of its own; and a miss beside the uncached query."""

from __future__ import annotations

import contextlib
import itertools
import statistics
from collections import defaultdict
from typing import TYPE_CHECKING

from tests.bench.delay import draining
from tests.bench.goods import GOODS, SHELVES
from tests.bench.measure import Measured, compare, medians
from tests.bench.models import Kept
from tests.bench.readers import LIBRARIES, PEERS, SHAPES, reader

if TYPE_CHECKING:
    from django.db.models import QuerySet

MISS_BAR = 2.0
BARS = {
    "get": 0.6,
    "get by slug": 0.6,
    "fetch": 0.25,
    "list of 24": 0.75,
    "prepared list of 24": 0.5,
    "count": 0.6,
}
"""The most that a read from memory may take, as a share of what the better one of the other libraries takes."""
READS_PER_TURN = 5


def measure(*, rounds: int) -> list[Measured]:
    return [*_measure_hits(rounds=rounds), *_measure_misses(rounds=rounds)]


def _measure_hits(*, rounds: int) -> list[Measured]:
    """Each shape by each library, with its ratio to the better one of the other libraries."""
    taken: defaultdict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    with contextlib.ExitStack() as stack:
        stack.enter_context(draining())
        readers = {library: stack.enter_context(reader(library)) for library in LIBRARIES}
        for _ in range(rounds // READS_PER_TURN):
            for shape in SHAPES:
                for library, process in readers.items():
                    if process:
                        taken[shape][library] += process.read(shape, READS_PER_TURN)
    return [measured for shape in SHAPES for measured in _compared(shape, taken[shape])]


def _compared(shape: str, taken: dict[str, list[float]]) -> list[Measured]:
    found = {library: statistics.median(seconds) for library, seconds in taken.items()}
    best = min((found[peer] for peer in PEERS if peer in found), default=None)
    return [
        Measured(
            f"{shape}, {library}",
            seconds,
            seconds / best if best else None,
            BARS[shape] if best and library == "Larder, in memory" else None,
        )
        for library, seconds in found.items()
    ]


def _measure_misses(*, rounds: int) -> list[Measured]:
    """A small query that is another one each time, so that none is cached."""
    numbers = itertools.count(1)

    def read(goods: QuerySet[Kept]) -> object:
        number = next(numbers)
        return goods.filter(price__lt=10_000_000 + number).get(pk=number % SHELVES * GOODS + 1)

    uncached, missed = "small query, uncached", "small query, missed and stored"
    acts = {uncached: lambda: read(Kept.objects.all()), missed: lambda: read(Kept.objects.cached())}
    return compare(medians(acts, rounds=rounds), to=uncached, bars={missed: MISS_BAR})
