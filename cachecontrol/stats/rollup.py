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
    from collections.abc import Iterable, Sequence


DAYS_KEPT = {Span.MINUTE: 2, Span.TEN_MINUTES: 8, Span.HOUR: 90, Span.DAY: 1100}
LOCK = 0x6C617264
"""Number of the advisory lock that lets one rollup run at a time."""
MINUTES_IN_REDIS = keys.STATS_MINUTE_SECONDS // 60 - 10
"""How many minutes back Redis has the counts for sure."""
GRACE = 5
"""Seconds from the end of a minute until its counts are written; counts that arrive later are written by the next rollup."""

_LOCK_ROLLUP = statement("rollup.lock")
_ADD_UP = statement("rollup.add_up")


def roll_up(*, now: datetime | None = None) -> int:
    """Write the counts of every complete minute of which more arrived since it was written. Return the number of minutes.

    It does no harm to run it twice, late, or in two processes at once. Raises StoreDown and DatabaseError.
    """
    last = int((now or datetime.now(UTC)).timestamp() - GRACE) // 60 - 1
    with transaction.atomic(using=conf.database):
        with connections[conf.database].cursor() as cursor:
            cursor.execute(_LOCK_ROLLUP, {"key": LOCK})
        minutes = _minutes_to_write(range(last - MINUTES_IN_REDIS, last + 1))
        _write(minutes)
        for fine, coarse in pairwise(Span):
            _add_up(minutes, fine=fine, coarse=coarse)
    return len(minutes)


def delete_old(*, now: datetime | None = None) -> int:
    """Delete rollups that are older than those of their span are kept. Return how many."""
    now = now or datetime.now(UTC)
    return sum(
        Rollup.objects.filter(span=span, start__lt=now - timedelta(days=days)).delete()[0]
        for span, days in DAYS_KEPT.items()
    )


def start_of(minute: int) -> datetime:
    """Return the moment at which a minute begins; ``minute`` counts from 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)


def split_by_policy(fields: dict[bytes, bytes]) -> dict[str, dict[str, int]]:
    """Return the counts of a minute in Redis for each policy, by the text of their names without the policy."""
    counts_of: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for text, n in fields.items():
        if text != b"sends":
            name = CountName.parse(text.decode())
            counts_of[name.policy][str(name._replace(policy=""))] = int(n)
    return counts_of


def read_minutes(minutes: Iterable[int]) -> list[dict[bytes, bytes]]:
    """Return the counts of each of these minutes in Redis. Raises StoreDown."""
    with redis_client.translating_errors():
        pipeline = redis_client.client().pipeline(transaction=False)
        for minute in minutes:
            pipeline.hgetall(keys.stats_minute(minute))
        return pipeline.execute()


def _minutes_to_write(minutes: Sequence[int]) -> dict[int, int]:
    """Return those of these minutes that have more sends in Redis than in PostgreSQL, each with their number in Redis."""
    with redis_client.translating_errors():
        pipeline = redis_client.client().pipeline(transaction=False)
        for minute in minutes:
            pipeline.hget(keys.stats_minute(minute), "sends")
        sends = {minute: int(n) for minute, n in zip(minutes, pipeline.execute(), strict=True) if n}
    rows = Rollup.objects.filter(span=Span.MINUTE, start__gte=start_of(minutes[0])).values("start")
    written = {row["start"]: row["written"] for row in rows.annotate(written=Max("sends"))}
    return {minute: n for minute, n in sends.items() if n > written.get(start_of(minute), 0)}


def _write(minutes: dict[int, int]) -> None:
    """Write these minutes, each with the number of its sends."""
    rows = [
        Rollup(span=Span.MINUTE, start=start_of(minute), policy=policy, counts=counts, sends=minutes[minute])
        for minute, fields in zip(minutes, read_minutes(minutes), strict=True)
        for policy, counts in split_by_policy(fields).items()
    ]
    Rollup.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["span", "start", "policy"],
        update_fields=["counts", "sends"],
    )


def _add_up(minutes: Iterable[int], *, fine: Span, coarse: Span) -> None:
    """Sum the rollups of the span ``fine`` anew for each span ``coarse`` that contains one of these minutes."""
    starts = {minute * 60 // coarse * coarse for minute in minutes}
    with connections[conf.database].cursor() as cursor:
        for start in sorted(starts):
            period = {"start": start_of(start // 60), "end": start_of((start + coarse) // 60)}
            cursor.execute(_ADD_UP, {"fine": fine, "coarse": coarse, **period})
