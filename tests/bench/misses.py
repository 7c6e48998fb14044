"""Misses of the shop's own pages, computed and stored, beside the same pages with the cache bypassed."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command

from cachecontrol.api import bypass
from cachecontrol.drain.catch_up import catch_up
from cachecontrol.redis.redis_client import client
from tests.bench.measure import Measured, compare
from tests.bench.pages import get
from tests.bench.rates import SMALL, paths_by_kind, serving_the_shop

if TYPE_CHECKING:
    from collections.abc import Callable

BAR = 1.15
WARM = 20
"""Pages before the measurement."""


def measure() -> list[Measured]:
    call_command("demo", products=SMALL, verbosity=0)
    with serving_the_shop():
        paths = paths_by_kind()
        return [
            *_compared("product page", paths["products"]),
            *_compared("category page", paths["categories"]),
        ]


def _compared(kind: str, paths: list[str]) -> list[Measured]:
    """Read each page in turn without the cache, and through a cache that knows the page's queries and has no entries."""
    handler = WSGIHandler()

    def bypassed(path: str) -> None:
        with bypass():
            get(handler, path)

    def missed(path: str) -> None:
        _, headers = get(handler, path)
        assert "; stored" in headers["Cache-Status"], headers

    for path in paths:
        get(handler, path)
    client().flushdb()
    plain: list[float] = []
    stored: list[float] = []
    for number, path in enumerate(paths):
        if number % 10 == 0:
            catch_up()  # else a miss would do it now and then
        first, second = (bypassed, missed) if number % 2 else (missed, bypassed)
        for act in (first, second):
            (plain if act is bypassed else stored).append(_seconds(act, path))
    warm = min(WARM, len(paths) // 2)
    found = {
        f"{kind}, uncached": statistics.median(plain[warm:]),
        f"{kind}, missed and stored": statistics.median(stored[warm:]),
    }
    return compare(found, to=f"{kind}, uncached", bars={f"{kind}, missed and stored": BAR})


def _seconds(act: Callable[[str], None], path: str) -> float:
    begun = time.perf_counter()
    act(path)
    return time.perf_counter() - begun
