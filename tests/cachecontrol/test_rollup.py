"""Counts of a minute reach PostgreSQL once, however often and however late the rollup runs."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from cachecontrol.models import Rollup, Span
from cachecontrol.stats import sender
from cachecontrol.stats.counters import CountKind, CountName, counts_of_reads
from cachecontrol.stats.rollup import delete_old, roll_up
from cachecontrol.stats.timeseries import RANGES, time_series

if TYPE_CHECKING:
    from redis import Redis

    from project.local.valkey import Valkey

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC).replace(second=30, microsecond=0)
READS = CountName(CountKind.READS, "hit", "", "p")


def send(reads: int, *, minutes_ago: int, policy: str = "p") -> None:
    """Send reads of a past minute the way a process does."""
    own_sender = sender.Sender()
    minute = int(NOW.timestamp()) // 60 - minutes_ago
    own_sender.batch.minutes[minute] = Counter(counts_of_reads(policy, "hit", "", [0.001] * reads))
    assert own_sender.flush()


def counted(span: Span) -> int:
    return sum(row.counts.get("reads|hit||", 0) for row in Rollup.objects.filter(span=span))


def test_running_it_again_changes_nothing(redis: Redis) -> None:
    send(5, minutes_ago=2)
    send(7, minutes_ago=3)
    assert roll_up(now=NOW) == 2
    before = list(Rollup.objects.order_by("pk").values())
    assert roll_up(now=NOW) == 0
    assert list(Rollup.objects.order_by("pk").values()) == before


def test_every_span_sums_to_the_same(redis: Redis) -> None:
    for minutes_ago in range(1, 100):
        send(1, minutes_ago=minutes_ago)
    roll_up(now=NOW)
    assert {span: counted(span) for span in Span} == dict.fromkeys(Span, 99)


def test_counts_that_arrive_late_are_added(redis: Redis) -> None:
    send(5, minutes_ago=30)
    roll_up(now=NOW)
    send(2, minutes_ago=30)
    roll_up(now=NOW)
    assert {span: counted(span) for span in Span} == dict.fromkeys(Span, 7)


def test_the_minute_that_is_not_over_waits(redis: Redis) -> None:
    send(5, minutes_ago=0)
    assert roll_up(now=NOW) == 0


def test_redis_losing_its_data_takes_nothing_away(redis: Redis) -> None:
    send(2, minutes_ago=2)
    send(3, minutes_ago=2)
    roll_up(now=NOW)
    redis.flushall()
    send(1, minutes_ago=2)
    roll_up(now=NOW)
    assert counted(Span.MINUTE) == 5


def test_a_time_series_joins_rollups_and_live_minutes_without_counting_twice(redis: Redis) -> None:
    for minutes_ago in range(50):
        send(1, minutes_ago=minutes_ago)
    for range_ in RANGES.values():
        live = time_series(range_, now=NOW.timestamp()).whole.counts[READS]
        assert live == min(50, range_.seconds // 60)
    roll_up(now=NOW - timedelta(minutes=20))
    for range_ in RANGES.values():
        merged = time_series(range_, now=NOW.timestamp()).whole.counts[READS]
        assert merged == min(50, range_.seconds // 60)


def test_a_time_series_of_one_policy_leaves_the_others_out(redis: Redis) -> None:
    send(4, minutes_ago=1)
    send(6, minutes_ago=2, policy="q")
    roll_up(now=NOW - timedelta(minutes=1))
    counters = time_series(RANGES["1h"], policy="q", now=NOW.timestamp()).whole
    assert (counters.reads(), counters.policies()) == (6, ["q"])


def test_a_range_has_a_point_for_each_step(redis: Redis) -> None:
    for range_ in RANGES.values():
        assert len(time_series(range_, now=NOW.timestamp()).points) == range_.seconds // range_.step


def test_old_rollups_are_forgotten_by_span(redis: Redis) -> None:
    for span in Span:
        Rollup.objects.create(span=span, start=NOW - timedelta(days=30), policy="p", counts={})
    delete_old(now=NOW)
    assert set(Rollup.objects.values_list("span", flat=True)) == {Span.HOUR, Span.DAY}


def test_a_time_series_says_when_redis_is_away(redis: Redis, valkey: Valkey) -> None:
    send(4, minutes_ago=5)
    roll_up(now=NOW)
    valkey.stop()
    series = time_series(RANGES["1h"], now=NOW.timestamp())
    assert (series.missing, series.whole.reads()) == (["redis"], 4)
