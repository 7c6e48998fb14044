"""Counts over a range of time: from the rollups in PostgreSQL, then from the minutes that only Redis has yet."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import DatabaseError
from django.db.models import Max
from django.utils.translation import gettext_lazy as _

from cachecontrol.exceptions import StoreDown
from cachecontrol.models import Rollup, Span
from cachecontrol.stats.counters import Counters, CountName
from cachecontrol.stats.rollup import MINUTES_IN_REDIS, read_minutes, split_by_policy, start_of

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


NO_POLICY = ""
"""In place of a policy: named counters belong to none."""


@dataclass(frozen=True, slots=True)
class Range:
    """The last ``seconds`` seconds, in points of ``step`` seconds, read from the rollups of ``span``."""

    name: str
    label: StrPromise
    seconds: int
    step: int
    span: Span

    def start(self, now: float) -> int:
        """Return the start of the first point; both moments are seconds since 1970."""
        return (int(now) - self.seconds) // self.step * self.step + self.step


RANGES = {
    range_.name: range_
    for range_ in (
        Range("15m", _("15 minutes"), 15 * 60, 60, Span.MINUTE),
        Range("1h", _("1 hour"), 3600, 60, Span.MINUTE),
        Range("6h", _("6 hours"), 6 * 3600, 300, Span.MINUTE),
        Range("24h", _("24 hours"), 86400, 600, Span.TEN_MINUTES),
        Range("7d", _("7 days"), 7 * 86400, 3600, Span.HOUR),
        Range("30d", _("30 days"), 30 * 86400, 86400, Span.DAY),
    )
}


@dataclass(slots=True)
class TimeSeries:
    """Counts of each point and of the whole range."""

    range: Range
    points: dict[int, Counters]
    """The counts of each point, by its start in seconds since 1970."""
    whole: Counters = field(default_factory=Counters)
    missing: list[str] = field(default_factory=list)
    """The stores that did not answer: ``postgresql``, ``redis``."""
    policy: str = ""
    """The only policy that is counted; "" for all."""

    def add(self, start: float, policy: str, counts: dict[str, int]) -> None:
        """Add counts of a policy, by the text of their names without it, to the point that contains ``start``."""
        point = self.points.get(int(start) // self.range.step * self.range.step)
        if point is None:
            return
        named = Counters(Counter({CountName.parse(name + policy): n for name, n in counts.items()}))
        point.add(named)
        self.whole.add(named)


def time_series(range_: Range, *, policy: str = "", now: float | None = None) -> TimeSeries:
    """Return the counts of a range up to ``now`` (seconds since 1970), of one policy or of all ("").

    Named counters belong to no policy and are contained in either case. A store that does not answer is named in ``missing``.
    """
    now = now or time.time()
    first = range_.start(now)
    result = TimeSeries(
        range_, {start: Counters() for start in range(first, int(now) + 1, range_.step)}, policy=policy
    )
    last_rollup = _add_rollups(result, policy, first)
    _add_minutes_in_redis(result, policy, after=max(last_rollup, first // 60 - 1), now=now)
    return result


def _add_rollups(result: TimeSeries, policy: str, first: int) -> int:
    """Add the rollups from the second ``first`` on. Return the last minute that PostgreSQL has; 0 if it has none."""
    rows = Rollup.objects.filter(span=result.range.span, start__gte=start_of(first // 60))
    if policy:
        rows = rows.filter(policy__in=[policy, NO_POLICY])
    try:
        last = Rollup.objects.filter(span=Span.MINUTE).aggregate(last=Max("start"))["last"]
        for start, row_policy, counts in rows.values_list("start", "policy", "counts"):
            result.add(start.timestamp(), row_policy, counts)
    except DatabaseError:
        result.missing.append("postgresql")
        return 0
    return int(last.timestamp()) // 60 if last else 0


def _add_minutes_in_redis(result: TimeSeries, policy: str, *, after: int, now: float) -> None:
    last = int(now) // 60
    minutes = range(max(after + 1, last - MINUTES_IN_REDIS), last + 1)
    try:
        counts_of_minutes = read_minutes(minutes)
    except StoreDown:
        result.missing.append("redis")
        return
    for minute, fields in zip(minutes, counts_of_minutes, strict=True):
        for row_policy, counts in split_by_policy(fields).items():
            if not policy or row_policy in (policy, NO_POLICY):
                result.add(minute * 60, row_policy, counts)
