"""What was counted in a span of time, and the figures that follow from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cachecontrol.stats import histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class CountKind(StrEnum):
    """What a count counts."""

    READS = "reads"
    MICROS = "micros"
    LATENCY = "latency"
    REFUSALS = "refusals"
    COUNTER = "counter"


class CountName(NamedTuple):
    """The name of one count. ``mark`` is a reason, the number of a latency bucket, or a counter's name."""

    kind: str
    outcome: str
    mark: str
    policy: str

    def __str__(self) -> str:
        return "|".join(self)

    @classmethod
    @lru_cache(maxsize=10_000)
    def parse(cls, text: str) -> CountName:
        kind, outcome, mark, policy = text.split("|", 3)
        return cls(kind, outcome, mark, policy)


def read_fields(policy: str, outcome: str, reason: str, durations: Sequence[float]) -> dict[CountName, int]:
    """Return the counts that reads of these durations, in seconds, add to."""
    buckets = Counter(map(histogram.bucket, durations))
    return {
        CountName(CountKind.READS, outcome, reason, policy): len(durations),
        CountName(CountKind.MICROS, outcome, "", policy): max(0, round(sum(durations) * 1e6)),
        **{CountName(CountKind.LATENCY, outcome, str(bucket), policy): n for bucket, n in buckets.items()},
    }


@dataclass(slots=True)
class Counters:
    """Counts of one span of time, one policy or all of them."""

    counts: Counter[CountName] = field(default_factory=Counter)

    @classmethod
    def parse(cls, fields: Mapping[str, int | str]) -> Counters:
        return cls(Counter({CountName.parse(name): int(n) for name, n in fields.items()}))

    def add(self, other: Counters) -> None:
        for name, n in other.counts.items():
            self.counts[name] += n

    def policies(self) -> list[str]:
        return sorted({name.policy for name in self.counts if name.policy})

    def by_policy(self) -> dict[str, Counters]:
        """Return the tally of each policy, by name; named counters belong to none."""
        tallies = {policy: Counters() for policy in self.policies()}
        for name, n in self.counts.items():
            if name.policy:
                tallies[name.policy].counts[name] = n
        return tallies

    def reads(self, outcome: str | None = None) -> int:
        return sum(
            n
            for name, n in self.counts.items()
            if name.kind == CountKind.READS and (outcome is None or name.outcome == outcome)
        )

    def hit_rate(self) -> float | None:
        """Return the share of reads answered by the cache (hit or stale); None when there were no reads."""
        reads = self.reads()
        return (self.reads("hit") + self.reads("stale")) / reads if reads else None

    def mean(self, outcome: str) -> float | None:
        """Return the mean duration of such a read in seconds; None when there was none."""
        reads = self.reads(outcome)
        return self._sum(CountKind.MICROS, outcome) / reads / 1e6 if reads else None

    def quantiles(self, outcome: str, shares: Iterable[float] = (0.5, 0.95, 0.99)) -> list[float | None]:
        """Return durations in seconds, one for each share; None when there was no such read."""
        buckets = self.buckets(outcome)
        return [histogram.quantile(buckets, share) for share in shares]

    def buckets(self, outcome: str) -> dict[int, int]:
        buckets: Counter[int] = Counter()
        for name, n in self.counts.items():
            if name.kind == CountKind.LATENCY and name.outcome == outcome:
                buckets[int(name.mark)] += n
        return dict(buckets)

    def saved(self) -> float | None:
        """Return the worth in seconds: hits times (mean miss less mean hit); None if unknown."""
        hit, miss = self.mean("hit"), self.mean("miss")
        return None if hit is None or miss is None else self.reads("hit") * (miss - hit)

    def of_kind(self, kind: CountKind) -> list[tuple[CountName, int]]:
        """Return the counts of one kind, greatest first."""
        return [(name, n) for name, n in self.counts.most_common() if name.kind == kind]

    def _sum(self, kind: CountKind, outcome: str) -> int:
        return sum(n for name, n in self.counts.items() if name.kind == kind and name.outcome == outcome)
