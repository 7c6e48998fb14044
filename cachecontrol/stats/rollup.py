"""Carry each minute's counts from Redis to PostgreSQL, and add minutes up to hours and days."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from django.db import connections, transaction
from django.db.models import Max

from cachecontrol.conf import conf
from cachecontrol.models import Rollup, Span
from cachecontrol.postgres.sql_files import statement
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats.counters import CountName

if TYPE_CHECKING:
    from collections.abc import Iterable


KEEP_DAYS = {Span.MINUTE: 2, Span.TEN_MINUTES: 8, Span.HOUR: 90, Span.DAY: 1100}
LOCK = 0x6C617264
"""Advisory lock of the one rollup at a time."""
REACH = keys.STATS_MINUTE_SECONDS // 60 - 10
"""Minutes back that Redis surely still has."""
GRACE = 5
"""Seconds after its end at which a minute is taken for complete; what comes later is picked up next time."""

_LOCK_ROLLUP = statement("rollup.lock")
_ADD_UP = statement("rollup.add_up")


def roll_up(*, now: datetime | None = None) -> int:
    """Write every complete minute that has more counts than what was written of it; return how many.

    Running it twice, late, or in two places at once changes nothing. Raises StoreDown and DatabaseError.
    """
    last = int((now or datetime.now(UTC)).timestamp() - GRACE) // 60 - 1
    with transaction.atomic(using=conf.database):
        with connections[conf.database].cursor() as cursor:
            cursor.execute(_LOCK_ROLLUP, {"key": LOCK})
        minutes = _changed(range(last - REACH, last + 1))
        _write(minutes)
        for fine, coarse in pairwise(Span):
            _add_up(minutes, fine=fine, coarse=coarse)
    return len(minutes)


def delete_old(*, now: datetime | None = None) -> int:
    """Delete rollups older than each span is kept; return how many."""
    now = now or datetime.now(UTC)
    return sum(
        Rollup.objects.filter(span=span, start__lt=now - timedelta(days=days)).delete()[0]
        for span, days in KEEP_DAYS.items()
    )


def moment(minute: int) -> datetime:
    """Return the start of a minute given as minutes since 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)


def by_policy(fields: dict[bytes, bytes]) -> dict[str, dict[str, int]]:
    """Sort a minute's counts in Redis by policy, under names without the policy."""
    policies: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for text, n in fields.items():
        if text == b"sends":
            continue
        kind, outcome, mark, policy = CountName.parse(text.decode())
        policies[policy][f"{kind}|{outcome}|{mark}|"] = int(n)
    return policies


def read_minutes(minutes: Iterable[int]) -> list[dict[bytes, bytes]]:
    """Return the counts of each minute in Redis. Raises StoreDown."""
    with redis_client.translating_errors():
        pipeline = redis_client.client().pipeline(transaction=False)
        for minute in minutes:
            pipeline.hgetall(keys.stats_minute(minute))
        return pipeline.execute()


def _changed(minutes: Iterable[int]) -> dict[int, int]:
    """Return the minutes with more sends in Redis than in PostgreSQL, and how many."""
    minutes = list(minutes)
    with redis_client.translating_errors():
        pipeline = redis_client.client().pipeline(transaction=False)
        for minute in minutes:
            pipeline.hget(keys.stats_minute(minute), "sends")
        sends = {minute: int(n) for minute, n in zip(minutes, pipeline.execute(), strict=True) if n}
    rows = Rollup.objects.filter(span=Span.MINUTE, start__gte=moment(minutes[0])).values("start")
    written = {row["start"]: row["most"] for row in rows.annotate(most=Max("sends"))}
    return {minute: n for minute, n in sends.items() if n > written.get(moment(minute), 0)}


def _write(minutes: dict[int, int]) -> None:
    rows = [
        Rollup(span=Span.MINUTE, start=moment(minute), policy=policy, counts=counts, sends=minutes[minute])
        for minute, fields in zip(minutes, read_minutes(minutes), strict=True)
        for policy, counts in by_policy(fields).items()
    ]
    Rollup.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["span", "start", "policy"],
        update_fields=["counts", "sends"],
    )


def _add_up(minutes: Iterable[int], *, fine: Span, coarse: Span) -> None:
    starts = {minute * 60 // coarse * coarse for minute in minutes}
    with connections[conf.database].cursor() as cursor:
        for start in sorted(starts):
            period = {"start": moment(start // 60), "end": moment((start + coarse) // 60)}
            cursor.execute(_ADD_UP, {"fine": fine, "coarse": coarse, **period})
