"""Querysets: the same read cached, and not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.bench.goods import GOODS, SHELVES
from tests.bench.measure import Measured, compare, medians
from tests.bench.models import Kept

if TYPE_CHECKING:
    from django.db.models import QuerySet

MISS_BAR = 2.0
SHAPES = ("get", "fetch", "list of 24", "count")


def measure(*, rounds: int) -> list[Measured]:
    hits = [measured for shape in SHAPES for measured in _measure(shape, rounds=rounds)]
    return [*hits, *_measure_misses(rounds=rounds)]


def _measure_misses(*, rounds: int) -> list[Measured]:
    """A small query that is another one each time, so that none is cached."""
    numbers = itertools.count(1)

    def read(goods: QuerySet[Kept]) -> object:
        number = next(numbers)
        return goods.filter(price__lt=10_000_000 + number).get(pk=number % SHELVES * GOODS + 1)

    uncached, missed = "small query, uncached", "small query, missed and stored"
    acts = {uncached: lambda: read(Kept.objects.all()), missed: lambda: read(Kept.objects.cached())}
    return compare(medians(acts, rounds=rounds), to=uncached, bars={missed: MISS_BAR})


def _measure(shape: str, *, rounds: int) -> list[Measured]:
    numbers = itertools.cycle(range(1, SHELVES + 1))
    plain, cached = Kept.objects.all(), Kept.objects.cached()
    for number in range(1, SHELVES + 1):
        _read(shape, cached, number)
    found = medians(
        {
            f"{shape}, uncached": lambda: _read(shape, plain, next(numbers)),
            f"{shape}, cached": lambda: _read(shape, cached, next(numbers)),
        },
        rounds=rounds,
    )
    return compare(found, to=f"{shape}, uncached")


def _read(shape: str, goods: QuerySet[Kept], number: int) -> object:
    match shape:
        case "get":
            return goods.get(pk=number * GOODS)
        case "fetch":
            is_cached = goods.query.policy is not None  # type: ignore[attr-defined]
            return Kept.objects.fetch(number * GOODS) if is_cached else goods.get(pk=number * GOODS)
        case "list of 24":
            return list(goods.filter(shelf=number).order_by("name")[:24])
        case _:
            return goods.filter(shelf=number).count()
