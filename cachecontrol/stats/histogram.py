"""Latencies in buckets that grow by a constant factor: one small table for microseconds and minutes."""

from __future__ import annotations

from itertools import accumulate
from math import log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


PER_DOUBLING = 4
"""Buckets for each doubling: a bucket is 19 % wide, so a quantile is at most 9 % off its middle."""
LAST = 27 * PER_DOUBLING
"""The last bucket takes everything above 2**27 µs, over two minutes."""


def bucket(seconds: float) -> int:
    """Return the number of the bucket for a duration in seconds; anything under 1 µs is in bucket 0."""
    micros = seconds * 1e6
    if not micros > 1:
        return 0
    return min(LAST, int(log2(micros) * PER_DOUBLING))


def upper(number: int) -> float:
    """Return the upper bound of a bucket in seconds."""
    return float(2 ** ((number + 1) / PER_DOUBLING) / 1e6)


def quantile(buckets: Mapping[int, int], q: float) -> float | None:
    """Return the seconds that the share ``q`` of the reads took at most; None when there were no reads."""
    total = sum(buckets.values())
    if not total:
        return None
    numbers = sorted(buckets)
    reached = accumulate(buckets[number] for number in numbers)
    number = next(n for n, count in zip(numbers, reached, strict=True) if count >= q * total)
    return float(2 ** ((number + 0.5) / PER_DOUBLING) / 1e6)
