"""Turn a series into what charts and their table twins draw."""

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
class Line:
    """A policy, or all of them, over a stretch of time. Durations in seconds."""

    policy: str
    reads: int
    hit_rate: float | None
    hit: list[float | None]
    miss: list[float | None]
    refusals: int
    saved: float | None
    """Seconds saved: hits times (mean miss less mean hit)."""

    @classmethod
    def of(cls, policy: str, tally: Counters) -> Line:
        return cls(
            policy=policy,
            reads=tally.reads(),
            hit_rate=tally.hit_rate(),
            hit=tally.quantiles(Outcome.HIT, SHARES.values()),
            miss=tally.quantiles(Outcome.MISS, SHARES.values()),
            refusals=sum(n for _, n in tally.of_kind(CountKind.REFUSALS)),
            saved=tally.saved(),
        )


@dataclass(frozen=True, slots=True)
class Point:
    """One point of the charts, as a row of their table twins. Rates are reads a second."""

    start: datetime
    hit_rate: float | None
    rates: list[float]
    hit: list[float | None]
    miss: list[float | None]
    by_policy: list[float | None]


def lines(series: TimeSeries) -> list[Line]:
    """Return each policy, the most asked first."""
    found = [Line.of(policy, tally) for policy, tally in series.whole.by_policy().items()]
    return sorted(found, key=lambda line: -line.reads)


def points(series: TimeSeries, policies: list[str], *, now: float) -> list[Point]:
    """Return every point, with the hit rate of each of these policies."""
    return [_point(start, tally, series.range.step, policies, now) for start, tally in series.points.items()]


def _point(start: int, tally: Counters, step: int, policies: list[str], now: float) -> Point:
    seconds = max(1.0, min(step, now - start))
    tallies = tally.by_policy()
    return Point(
        start=datetime.fromtimestamp(start, UTC),
        hit_rate=tally.hit_rate(),
        rates=[tally.reads(outcome) / seconds for outcome in Outcome],
        hit=tally.quantiles(Outcome.HIT, SHARES.values()),
        miss=tally.quantiles(Outcome.MISS, SHARES.values()),
        by_policy=[tallies[policy].hit_rate() if policy in tallies else None for policy in policies],
    )


def columns(points: list[Point]) -> dict[str, Any]:
    """Return the points as columns, the form that uPlot draws."""
    return {
        "starts": [int(point.start.timestamp()) for point in points],
        "hit_rate": [[point.hit_rate for point in points]],
        "by_policy": _across(point.by_policy for point in points),
        "outcomes": _across(point.rates for point in points),
        "latency": [*_across(point.hit for point in points), *_across(point.miss for point in points)],
    }


def _across(rows: Iterator[list[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


COLUMNS = (
    *("start", "policy", "reads", *Outcome, "refusals", "hit_rate"),
    *(f"{outcome}_{share}_seconds" for outcome in ("hit", "miss") for share in SHARES),
)


def rows(series: TimeSeries) -> Iterator[tuple[Any, ...]]:
    """Yield what ``COLUMNS`` names for each point and policy: the export."""
    for start, point in series.points.items():
        at = datetime.fromtimestamp(start, UTC).isoformat()
        for policy, tally in point.by_policy().items():
            line = Line.of(policy, tally)
            counts = (tally.reads(outcome) for outcome in Outcome)
            yield (at, policy, line.reads, *counts, line.refusals, line.hit_rate, *line.hit, *line.miss)
