"""Types of what Django, Redis and PostgreSQL reply, as tests know them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg
    from django.test.client import _MonkeyPatchedWSGIResponse
    from redis import Redis

    ClientResponse = _MonkeyPatchedWSGIResponse
    """What the test client returns: a response with the context of its templates."""


def in_bytes(reply: bytes | str | None) -> bytes:
    """Return a value that Redis has. The types of redis-py allow a text, too, and a missing value."""
    assert isinstance(reply, bytes)
    return reply


def fields_of(redis: Redis, key: bytes | str) -> dict[str, bytes]:
    """Return the fields of a hash in Redis by name."""
    return {in_bytes(name).decode(): in_bytes(value) for name, value in redis.hgetall(key).items()}


def one_row(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    """Return the next row of a result, which has to have one."""
    row: tuple[Any, ...] | None = cursor.fetchone()
    assert row is not None
    return row
