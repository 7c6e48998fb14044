"""Counts of a span of time, and the figures that are computed from them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from cachecontrol.reasons import Reason
from cachecontrol.stats import histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class CountKind(StrEnum):
    """What a count counts."""

    READS = "reads"
    """Reads with one outcome and reason."""
    MICROS = "micros"
    """Microseconds that reads with one outcome took."""
    LATENCY = "latency"
    """Reads with one outcome whose duration is in one bucket of the histogram."""
    REFUSALS = "refusals"
    """Computed values that were not stored, for one reason."""
    COUNTER = "counter"
    """Anything else that has a name; it belongs to no policy."""


class CountName(NamedTuple):
    """The name of one count. ``label`` is a reason, the number of a bucket, or the name of a counter."""

    kind: str
    outcome: str
    label: str
    policy: str

    def __str__(self) -> str:
        return "|".join(self)

    @classmethod
    @lru_cache(maxsize=10_000)
    def parse(cls, text: str) -> CountName:
        return cls(*text.split("|", 3))


def counts_of_reads(
    policy: str, outcome: str, reason: str, durations: Sequence[float]
) -> dict[CountName, int]:
    """Return the counts of reads that took these durations, in seconds."""
    buckets = Counter(map(histogram.bucket_of, durations))
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
        """Return the counts of each policy, by its name; named counters belong to none."""
        counters_of = {policy: Counters() for policy in self.policies()}
        for name, n in self.counts.items():
            if name.policy:
                counters_of[name.policy].counts[name] = n
        return counters_of

    def reads(self, outcome: str | None = None) -> int:
        """Return the number of reads, of one outcome or of all."""
        return sum(
            n
            for name, n in self.counts.items()
            if name.kind == CountKind.READS and (outcome is None or name.outcome == outcome)
        )

    def local_hits(self) -> int:
        """Return the number of hits that processes answered from their own memory."""
        return sum(
            n
            for name, n in self.counts.items()
            if name.kind == CountKind.READS and name.outcome == "hit" and name.label == Reason.LOCAL
        )

    def hit_rate(self) -> float | None:
        """Return the share of reads answered by the cache (hit or stale); None when there were no reads."""
        reads = self.reads()
        return (self.reads("hit") + self.reads("stale")) / reads if reads else None

    def mean(self, outcome: str) -> float | None:
        """Return the mean duration of reads with this outcome, in seconds; None when there were none."""
        reads = self.reads(outcome)
        return self._sum(CountKind.MICROS, outcome) / reads / 1e6 if reads else None

    def quantiles(self, outcome: str, shares: Iterable[float] = (0.5, 0.95, 0.99)) -> list[float | None]:
        """Return the seconds that each share (0 to 1) of the reads with this outcome took at most; None when there were none."""
        buckets = self.buckets(outcome)
        return [histogram.quantile(buckets, share) for share in shares]

    def buckets(self, outcome: str) -> dict[int, int]:
        """Return the reads with this outcome by bucket of the histogram."""
        buckets: Counter[int] = Counter()
        for name, n in self.counts.items():
            if name.kind == CountKind.LATENCY and name.outcome == outcome:
                buckets[int(name.label)] += n
        return dict(buckets)

    def saved(self) -> float | None:
        """Return the seconds that hits saved: their number times (mean miss less mean hit); None without either."""
        hit, miss = self.mean("hit"), self.mean("miss")
        return None if hit is None or miss is None else self.reads("hit") * (miss - hit)

    def of_kind(self, kind: CountKind) -> list[tuple[CountName, int]]:
        """Return the counts of one kind, greatest first."""
        return [(name, n) for name, n in self.counts.most_common() if name.kind == kind]

    def _sum(self, kind: CountKind, outcome: str) -> int:
        return sum(n for name, n in self.counts.items() if name.kind == kind and name.outcome == outcome)
