"""A time series in the forms that are shown: a summary of each policy, points for charts and tables, and rows for the export."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cachecontrol.reasons import Outcome
from cachecontrol.stats.counters import Counters, CountKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachecontrol.stats.timeseries import TimeSeries


POLICIES_DRAWN = 6
"""Lines that a person can still tell apart; the table of policies has all of them."""
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


@dataclass(frozen=True, slots=True)
class PolicySummary:
    """Figures of one policy, or of all ("") together, over a span of time. Durations are in seconds, one for each of SHARES."""

    policy: str
    reads: int
    hit_rate: float | None
    local_hits: int
    hit: list[float | None]
    miss: list[float | None]
    refusals: int
    saved: float | None
    """Seconds that hits saved, see ``Counters.saved``."""

    @classmethod
    def of(cls, policy: str, counters: Counters) -> PolicySummary:
        return cls(
            policy=policy,
            reads=counters.reads(),
            hit_rate=counters.hit_rate(),
            local_hits=counters.local_hits(),
            hit=counters.quantiles(Outcome.HIT, SHARES.values()),
            miss=counters.quantiles(Outcome.MISS, SHARES.values()),
            refusals=sum(n for _, n in counters.of_kind(CountKind.REFUSALS)),
            saved=counters.saved(),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the charts, which is a row of the tables below them. Rates are reads a second, one for each outcome."""

    start: datetime
    hit_rate: float | None
    rates: list[float]
    hit: list[float | None]
    miss: list[float | None]
    by_policy: list[float | None]
    """The hit rate of each policy that is drawn."""


def policy_summaries(series: TimeSeries) -> list[PolicySummary]:
    """Return a summary of each policy, those with the most reads first."""
    summaries = [PolicySummary.of(policy, counters) for policy, counters in series.whole.by_policy().items()]
    return sorted(summaries, key=lambda summary: -summary.reads)


def points(series: TimeSeries, policies: list[str], *, now: float) -> list[Point]:
    """Return every point, with the hit rate of each of these policies. The last point ends at ``now`` (seconds since 1970)."""
    return [
        _point(start, counters, series.range.step, policies, now) for start, counters in series.points.items()
    ]


def _point(start: int, counters: Counters, step: int, policies: list[str], now: float) -> Point:
    seconds = max(1.0, min(step, now - start))
    counters_of = counters.by_policy()
    return Point(
        start=datetime.fromtimestamp(start, UTC),
        hit_rate=counters.hit_rate(),
        rates=[counters.reads(outcome) / seconds for outcome in Outcome],
        hit=counters.quantiles(Outcome.HIT, SHARES.values()),
        miss=counters.quantiles(Outcome.MISS, SHARES.values()),
        by_policy=[counters_of[policy].hit_rate() if policy in counters_of else None for policy in policies],
    )


def columns(points: list[Point]) -> dict[str, Any]:
    """Return the points as columns, the form that uPlot draws."""
    return {
        "starts": [int(point.start.timestamp()) for point in points],
        "hit_rate": [[point.hit_rate for point in points]],
        "by_policy": _transposed(point.by_policy for point in points),
        "outcomes": _transposed(point.rates for point in points),
        "latency": [
            *_transposed(point.hit for point in points),
            *_transposed(point.miss for point in points),
        ],
    }


def _transposed(rows: Iterator[list[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


EXPORT_COLUMNS = (
    *("start", "policy", "reads", *Outcome, "refusals", "hit_rate"),
    *(f"{outcome}_{share}_seconds" for outcome in ("hit", "miss") for share in SHARES),
)


def export_rows(series: TimeSeries) -> Iterator[tuple[Any, ...]]:
    """Yield the values of ``EXPORT_COLUMNS`` for each point and policy."""
    for start, point in series.points.items():
        at = datetime.fromtimestamp(start, UTC).isoformat()
        for policy, counters in point.by_policy().items():
            summary = PolicySummary.of(policy, counters)
            reads = (counters.reads(outcome) for outcome in Outcome)
            figures = (summary.refusals, summary.hit_rate, *summary.hit, *summary.miss)
            yield (at, policy, summary.reads, *reads, *figures)
