"""The only module that talks to Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django_redis import get_redis_connection

if TYPE_CHECKING:
    from redis import Redis


def redis() -> Redis:
    """Return the client of the alias that holds clock, tags and entries."""
    client: Redis = get_redis_connection("default")
    return client
