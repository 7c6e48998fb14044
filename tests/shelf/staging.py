"""Staging: a race's rival acts exactly before or after a named call, or Redis falls silent: nothing is left to chance."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any
from unittest import mock

from cachecontrol.core.entry import Head
from cachecontrol.prove.processes import suspended
from cachecontrol.redis import keys, redis_client
from tests.replies import in_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from project.local.valkey import Valkey

    Act = Callable[[], object]

MOMENT = 0.1
"""Seconds."""


@contextmanager
def staged(owner: Any, name: str, *, before: Act | None = None, after: Act | None = None) -> Iterator[None]:
    """Run the rival's act once, before or after the first call of ``owner.name`` within this block.

    Fails if nobody called it, since nothing was raced then.
    """
    original, acts = getattr(owner, name), [(before, after)]

    def call(*args: Any, **kwargs: Any) -> Any:
        first, then = acts.pop() if acts else (None, None)
        if first:
            first()
        result = original(*args, **kwargs)
        if then:
            then()
        return result

    with mock.patch.object(owner, name, call):
        yield
    assert not acts, f"nobody called {name}"


@contextmanager
def silent(valkey: Valkey) -> Iterator[None]:
    """Let Redis answer nobody within the block, where this thread's connection waits for an answer once, and not long."""
    line, pid = redis_client.thread_connection.renew(), valkey.pid()
    line.connect()
    line._sock.settimeout(MOMENT)
    assert pid is not None
    with suspended(pid):
        yield


def let_pass(redis: Redis, time: timedelta) -> None:
    """Bring the end of every entry that much nearer, as if the time had passed for Redis."""
    micros = time // timedelta(microseconds=1)
    for key in redis.scan_iter(f"{keys.ENTRY}*"):
        head = Head.unpack(in_bytes(redis.hget(key, "head")))
        redis.hset(key, "head", replace(head, expires=head.expires - micros).pack())


def let_seconds_pass(redis: Redis, seconds: int) -> None:
    """Wait until Redis counts this many seconds, so that what is read from now on was used more recently."""
    begun = redis.time()[0]
    while redis.time()[0] - begun <= seconds:
        sleep(MOMENT)
