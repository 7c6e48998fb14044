"""Querysets: the same read cached, and not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from tests.bench.goods import GOODS, SHELVES
from tests.bench.measure import Measured, compare, medians
from tests.bench.models import Kept

if TYPE_CHECKING:
    from django.db.models import QuerySet

SHAPES = ("get", "fetch", "list of 24", "count")


def measure(*, rounds: int) -> list[Measured]:
    return [measured for shape in SHAPES for measured in _measure(shape, rounds=rounds)]


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
