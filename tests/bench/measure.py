"""Timing on a machine that is shared and noisy: many short rounds, interleaved, of which medians count."""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True)
class Measured:
    """The median of one act in seconds, and its ratio to that of the act it is compared with."""

    name: str
    median: float
    ratio: float | None = None
    bar: float | None = None
    """The most that the ratio, or without one the median, may be."""

    @property
    def is_kept(self) -> bool:
        return self.bar is None or (self.median if self.ratio is None else self.ratio) <= self.bar


def medians(
    acts: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm: int = 20,
    after: Mapping[str, Callable[[], object]] | None = None,
) -> dict[str, float]:
    """Seconds of each act: each is done once a round, so that all meet the same noise. The first rounds do not count.

    ``after``: what follows an act without being timed, lest it leaves work to the next one.
    """
    after = after or {}
    taken: dict[str, list[float]] = {name: [] for name in acts}
    gc.collect()
    gc.disable()
    try:
        for number in range(warm + rounds):
            for name, act in acts.items():
                begun = time.perf_counter()
                act()
                if number >= warm:
                    taken[name].append(time.perf_counter() - begun)
                if name in after:
                    after[name]()
    finally:
        gc.enable()
    return {name: statistics.median(times) for name, times in taken.items()}


def compare(
    found: Mapping[str, float], *, to: str, bars: Mapping[str, float] | None = None
) -> list[Measured]:
    """Each act beside the one that it is compared with."""
    bars = bars or {}
    return [
        Measured(name, seconds, None if name == to else seconds / found[to], bars.get(name))
        for name, seconds in found.items()
    ]
