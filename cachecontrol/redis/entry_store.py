"""Entries as the jobs handle them: found by their keys, without a visitor who asks."""

from __future__ import annotations

from typing import Any

from cachecontrol.redis import keys, redis_client


def read_recipe(entry_key: str) -> bytes:
    """Return the sealed recipe of an entry; empty if it has none. Raises StoreDown."""
    with redis_client.translating_errors():
        return redis_client.client().hget(entry_key, "recipe") or b""  # type: ignore[return-value]


def scan_entry_keys(*, at_least: int, rounds: int = 50) -> list[str]:
    """Return keys of entries, beginning where the last call stopped, so that calls reach all of them in time.

    Looks at ``rounds`` times 1,000 keys of any kind at most. Raises StoreDown.
    """
    entry_keys: set[str] = set()
    with redis_client.translating_errors():
        client: Any = redis_client.client()
        cursor = int(client.get(keys.SCAN) or 0)
        for _ in range(rounds):
            cursor, names = client.scan(cursor, match=f"{keys.ENTRY}*", count=1000)
            entry_keys.update(name.decode("utf-8", "replace") for name in names)
            if len(entry_keys) >= at_least or not cursor:
                break
        client.set(keys.SCAN, cursor, ex=keys.SCAN_SECONDS)
    return sorted(entry_keys)


def delete(entry_key: str) -> None:
    """Delete one entry. Raises StoreDown."""
    with redis_client.translating_errors():
        redis_client.client().unlink(entry_key)
