"""Figures of counts: hit rate, time saved, and the counts of one policy."""

from collections import Counter

import pytest

from cachecontrol.stats.counters import Counters, CountKind, CountName, counts_of_reads


def counters(*reads: tuple[str, str, str, float, int]) -> Counters:
    counts: Counter[CountName] = Counter()
    for policy, outcome, reason, seconds, n in reads:
        counts.update(counts_of_reads(policy, outcome, reason, [seconds] * n))
    return Counters(counts)


def test_the_hit_rate_counts_stale_answers_as_answers_of_the_cache() -> None:
    day = counters(
        ("p", "hit", "", 0.001, 6), ("p", "stale", "moved", 0.001, 2), ("p", "miss", "absent", 0.1, 2)
    )
    assert day.hit_rate() == 0.8


def test_nothing_counted_has_no_hit_rate() -> None:
    assert Counters().hit_rate() is None


def test_time_saved_is_the_number_of_hits_times_what_one_saves() -> None:
    day = counters(("p", "hit", "", 0.001, 100), ("p", "miss", "absent", 0.051, 4))
    assert day.saved() == pytest.approx(5.0)


def test_time_saved_is_unknown_without_a_miss_to_compare() -> None:
    assert counters(("p", "hit", "", 0.001, 100)).saved() is None


def test_the_counts_of_one_policy_are_those_of_no_other() -> None:
    both = counters(("p", "hit", "", 0.001, 3), ("q", "miss", "absent", 0.1, 2))
    assert both.policies() == ["p", "q"]
    assert both.by_policy()["p"].reads() == 3
    assert both.reads("miss") == 2


def test_names_of_counts_survive_being_written() -> None:
    name = CountName(CountKind.REFUSALS, "", "uncovered", "odd|policy")
    assert CountName.parse(str(name)) == name
