"""The waiting budget: how long a thread waits for the cache in total.

Note [Why one budget]. A page may read the cache many times. Separate limits for each wait would add up: five querysets
behind one stuck drain would wait five times. So all waits of a thread are charged to one budget of ``WAIT`` seconds, which
refills at a tenth of the time that passes. In any period T a thread therefore waits at most ``WAIT`` + T / 10, whether it
serves requests, runs tasks or runs a script. Two waits are charged: for fills of other processes, and for drains that a
reader needs. Waiting for a Redis that does not answer is limited by its connection timeouts and the breaker.
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
"""Seconds that the budget regains in each second."""


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
    """Charge the time that the block takes to the budget. Yields the seconds that are left. See Note [Why one budget]."""
    available, begun = left(), time.monotonic()
    try:
        yield available
    finally:
        charge(time.monotonic() - begun)


def charge(seconds: float) -> None:
    """Charge a wait of this length, which ends now, to the budget."""
    _budget.seconds = max(0.0, left() - seconds)
