"""Hot keys: the keys that were read most come first, and their number is bounded."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cachecontrol.redis import keys
from cachecontrol.stats import hot_keys, recording
from cachecontrol.stats.batch import HOT_KEYS
from cachecontrol.stats.hot_keys import HotKey, hottest
from tests.cachecontrol.page_recipes import page_recipe

if TYPE_CHECKING:
    from redis import Redis


def read(policy: str, key: str, times: int) -> None:
    for _ in range(times):
        recording.record_read(policy, "hit", "", 0.001, key=key, recipe=page_recipe(f"/{key}/"))


def test_the_key_that_was_read_most_comes_first_with_its_recipe(redis: Redis) -> None:
    read("p", "rare", 1)
    read("p", "frequent", 5)
    recording.flush()
    assert [(hot.key, hot.recipe["path"]) for hot in hottest("p", 2)] == [
        ("frequent", "/frequent/"),
        ("rare", "/rare/"),
    ]


def test_the_label_shows_path_parameters_and_vary_values() -> None:
    recipe = {"path": "/search/", "query": "q=caf%C3%A9+cup", "vary": ["de"]}
    assert HotKey(key="k", score=1.0, recipe=recipe).label == "/search/?q=café cup · de"
    assert HotKey(key="k", score=1.0, recipe={"path": "/"}).label == "/"


def test_old_reads_weigh_less_and_are_forgotten_after_an_hour(redis: Redis) -> None:
    read("p", "old", 4)
    recording.flush()
    later = time.time() + 4 * hot_keys.WINDOW
    assert hottest("p", 1, now=later)[0].score < 2
    assert hottest("p", 1, now=later + keys.STATS_HOT_SECONDS) == []


def test_a_key_that_another_program_wrote_is_left_out(redis: Redis) -> None:
    read("p", "true", 1)
    recording.flush()
    window = int(time.time()) // hot_keys.WINDOW
    redis.zincrby(keys.stats_hot("p", window), 100, '{"key": "x", "recipe": {"path": "/evil/"}}:signature')
    assert [hot.key for hot in hottest("p", 5)] == ["true"]


def test_a_flood_of_keys_stays_bounded_and_keeps_the_hottest(redis: Redis) -> None:
    read("p", "hot", 50)
    for number in range(12 * HOT_KEYS):
        read("p", f"cold{number}", 1)
    recording.flush()
    window = int(time.time()) // hot_keys.WINDOW
    sizes = [redis.zcard(keys.stats_hot("p", window - age)) for age in range(2)]
    assert max(sizes) <= HOT_KEYS
    assert hottest("p", 1)[0].key == "hot"
