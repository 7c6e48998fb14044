"""The state of the Redis server and of the drain process, as the probes and the dashboard see it."""

from __future__ import annotations

from cachecontrol.exceptions import StoreFull
from cachecontrol.redis import keys, redis_client
from cachecontrol.redis.script import Script

_room = Script("room")


def note_drain() -> None:
    """Record that a drain process runs, for ``DRAIN_SECONDS``. Raises StoreDown."""
    with redis_client.translating_errors():
        client = redis_client.client()
        is_prolonged = client.expire(keys.DRAIN, keys.DRAIN_SECONDS)  # which a full Redis does not refuse
        if not is_prolonged:
            client.set(keys.DRAIN, 1, ex=keys.DRAIN_SECONDS)


def has_drain() -> bool:
    """Whether a drain process drained a moment ago. Raises StoreDown."""
    with redis_client.translating_errors():
        return bool(redis_client.client().exists(keys.DRAIN))


def is_full() -> bool:
    """Whether Redis refuses writes because ``maxmemory`` is reached and nothing can be evicted. Raises StoreDown."""
    try:
        _room([keys.CLOCK], [])
    except StoreFull:
        return True
    redis_client.memory_breaker.answered()
    return False


def version() -> tuple[str, tuple[int, ...]]:
    """Return the name (``redis`` or ``valkey``) and the version of the server. Raises StoreDown."""
    with redis_client.translating_errors():
        info: dict[str, str] = redis_client.client().info("server")
    name = str(info.get("server_name", "redis"))
    number = str(info.get(f"{name}_version", info.get("redis_version", "0")))
    return name, tuple(int(part) for part in number.split(".")[:2])
