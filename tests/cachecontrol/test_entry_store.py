"""Entries are found by their keys, a part of them in each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachecontrol.redis import entry_store, keys

if TYPE_CHECKING:
    from redis import Redis

ENTRIES = {f"{keys.ENTRY}p:{number:05}" for number in range(5000)}


def store(redis: Redis) -> None:
    redis.delete(keys.SCAN)
    with redis.pipeline() as pipeline:
        for key in ENTRIES:
            pipeline.hset(key, "recipe", b"r")
        pipeline.execute()


def test_calls_begin_where_the_last_one_stopped_and_reach_all_entries(redis: Redis) -> None:
    store(redis)
    first = entry_store.scan_entry_keys(at_least=1)
    assert 0 < len(first) < len(ENTRIES)
    entry_keys = set(first)
    while int(redis.get(keys.SCAN) or 0):
        entry_keys.update(entry_store.scan_entry_keys(at_least=1))
    assert entry_keys == ENTRIES


def test_a_call_looks_at_a_limited_number_of_keys(redis: Redis) -> None:
    store(redis)
    assert 0 < len(entry_store.scan_entry_keys(at_least=len(ENTRIES), rounds=2)) < len(ENTRIES)
    assert set(entry_store.scan_entry_keys(at_least=len(ENTRIES))) <= ENTRIES
