"""Durations counted in buckets that grow by a constant factor: one small table for microseconds and for minutes."""

from __future__ import annotations

from itertools import accumulate
from math import log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


PER_DOUBLING = 4
"""Buckets for each doubling: a bucket is 19 % wide, so a quantile is at most 9 % off its middle."""
LAST_BUCKET = 27 * PER_DOUBLING
"""The last bucket takes everything above 2**27 µs, over two minutes."""


def bucket_of(seconds: float) -> int:
    """Return the number of the bucket for a duration in seconds; 0 for anything under 1 µs."""
    micros = seconds * 1e6
    if not micros > 1:
        return 0
    return min(LAST_BUCKET, int(log2(micros) * PER_DOUBLING))


def upper_bound(bucket: int) -> float:
    """Return the upper bound of a bucket in seconds."""
    return float(2 ** ((bucket + 1) / PER_DOUBLING) / 1e6)


def quantile(buckets: Mapping[int, int], share: float) -> float | None:
    """Return the seconds that a share (0 to 1) of the reads took at most; None when there were no reads."""
    total = sum(buckets.values())
    if not total:
        return None
    numbers = sorted(buckets)
    reads_up_to = accumulate(buckets[number] for number in numbers)
    bucket = next(number for number, n in zip(numbers, reads_up_to, strict=True) if n >= share * total)
    return float(2 ** ((bucket + 0.5) / PER_DOUBLING) / 1e6)
