"""Read what was counted over a range of time: rollups, then the minutes that only Redis has yet."""

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
from cachecontrol.stats.rollup import REACH, by_policy, moment, read_minutes

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


NAMED = ""
"""The policy of named counters."""


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time up to now, in points of ``step`` seconds."""

    name: str
    label: StrPromise
    seconds: int
    step: int
    span: Span

    def start(self, now: float) -> int:
        """Return the start of the first point, in seconds since 1970."""
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
    """Tallies by start (seconds since 1970) and of the whole range; the stores that did not answer."""

    range: Range
    points: dict[int, Counters]
    whole: Counters = field(default_factory=Counters)
    missing: list[str] = field(default_factory=list)
    policy: str = ""
    """The only policy that is in it; "" for all."""

    def add(self, start: float, policy: str, counts: dict[str, int]) -> None:
        point = self.points.get(int(start) // self.range.step * self.range.step)
        if point is None:
            return
        named = Counters(Counter({CountName.parse(name + policy): n for name, n in counts.items()}))
        point.add(named)
        self.whole.add(named)


def time_series(range_: Range, *, policy: str = "", now: float | None = None) -> TimeSeries:
    """Return what was counted, of one policy or of all; whatever store is down is named in ``missing``.

    Named counters belong to no policy and are there in either case.
    """
    now = now or time.time()
    first = range_.start(now)
    result = TimeSeries(
        range_, {start: Counters() for start in range(first, int(now) + 1, range_.step)}, policy=policy
    )
    rolled = _add_rollups(result, policy, first)
    _add_live(result, policy, after=max(rolled, first // 60 - 1), now=now)
    return result


def _add_rollups(result: TimeSeries, policy: str, first: int) -> int:
    """Add what PostgreSQL has; return the last minute contained, 0 if none."""
    rows = Rollup.objects.filter(span=result.range.span, start__gte=moment(first // 60))
    if policy:
        rows = rows.filter(policy__in=[policy, NAMED])
    try:
        last = Rollup.objects.filter(span=Span.MINUTE).aggregate(last=Max("start"))["last"]
        for start, name, counts in rows.values_list("start", "policy", "counts"):
            result.add(start.timestamp(), name, counts)
    except DatabaseError:
        result.missing.append("postgresql")
        return 0
    return int(last.timestamp()) // 60 if last else 0


def _add_live(result: TimeSeries, policy: str, *, after: int, now: float) -> None:
    last = int(now) // 60
    minutes = range(max(after + 1, last - REACH), last + 1)
    try:
        counts_of_minutes = read_minutes(minutes)
    except StoreDown:
        result.missing.append("redis")
        return
    for minute, fields in zip(minutes, counts_of_minutes, strict=True):
        for name, counts in by_policy(fields).items():
            if not policy or name in (policy, NAMED):
                result.add(minute * 60, name, counts)
