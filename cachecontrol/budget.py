"""The budget of waiting: how long a thread waits at most for everything of the cache.

Note [Why one budget]. A page may ask the cache many times. A limit for each of those waits would add up: five querysets
behind one stuck drain would wait five times. So all waits of a thread are paid from one budget of ``WAIT`` seconds, which
fills up again by a tenth of the time that passes. Over any time T a thread therefore waits at most ``WAIT`` + T / 10, whether
it serves requests, runs tasks or a script. What is paid for: the fills of other processes, and drains that a reader needs. A
silent Redis is bounded by the timeouts of its connection and the breaker.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cachecontrol.conf import conf

if TYPE_CHECKING:
    from collections.abc import Iterator

REFILL = 0.1
"""Seconds of budget that a second adds."""


class _Budget(threading.local):
    def __init__(self) -> None:
        self.seconds = conf.wait
        self.counted_at = time.monotonic()


_budget = _Budget()


def left() -> float:
    """Return the seconds that this thread may still wait."""
    now = time.monotonic()
    _budget.seconds = min(conf.wait, _budget.seconds + REFILL * (now - _budget.counted_at))
    _budget.counted_at = now
    return _budget.seconds


@contextmanager
def spending() -> Iterator[float]:
    """Pay for the time that the block takes; the block gets the seconds that are left."""
    available, begun = left(), time.monotonic()
    try:
        yield available
    finally:
        _budget.counted_at = time.monotonic()
        _budget.seconds = max(0.0, available - (_budget.counted_at - begun))
