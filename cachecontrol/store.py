"""The only module that talks to Redis: the clock, tags, entries and leases behind a circuit breaker."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import secrets
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.signals import setting_changed
from django_redis import get_redis_connection
from redis.exceptions import (
    BusyLoadingError,
    ConnectionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from cachecontrol import keys
from cachecontrol.breaker import Breaker
from cachecontrol.conf import conf
from cachecontrol.exceptions import StoreDown, StoreFull

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from cachecontrol.entry import Head

logger = logging.getLogger("cachecontrol")

TAGS_PER_MOVE = 500
"""Tags that one Lua call moves: the longest that a drain keeps Redis busy is well under a millisecond."""

DRAIN_NOTED = 5
"""Seconds after its last drain for which a drain process counts as running."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What Redis says of an entry. Times are microseconds of Redis' clock."""

    judgement: str
    """``hit``, ``answer``, ``stale``, ``granted``, ``held``, ``free`` or ``clock``."""
    reason: str
    now: int
    epoch: str = ""
    position: str = ""
    head: bytes = b""
    body: bytes = b""
    stored: int = 0

    @property
    def age(self) -> float:
        """Seconds since the value was stored."""
        return max(0, self.now - self.stored) / 1e6


@dataclass(frozen=True, slots=True)
class Clock:
    """What the clock in Redis says, and Redis' time (microseconds) when it was read. Missing fields are empty."""

    now: int
    epoch: str
    identity: str
    snapshot: str
    rank: str
    position: str
    time: str
    tables: str
    seen: str
    """The furthest position that any drain saw the database at: it never goes back within one history."""


breaker = Breaker(
    failed="Redis does not answer (%s); pages are served from the database until it does",
    recovered="Redis answers again",
)
memory = Breaker(
    failed="Redis is full (%s); fresh pages are served, new ones are computed and not stored",
    recovered="Redis takes writes again",
)
"""Whether Redis took the last write that needs memory."""


def redis() -> Redis:
    """The redis-py client of the alias that the cache uses."""
    client: Redis = get_redis_connection(conf.alias)
    return client


class _Line(threading.local):
    """The connection that each thread keeps: to borrow one of redis-py's pool takes longer than to ask (40 of 65 µs)."""

    _connection: Any = None
    _made = (0, 0)
    settings_read = 0
    """Grows when the settings change: connections made before do not count any more."""

    def ask(self, *command: Any) -> Any:
        """One command and its answer. Raises RedisError or OSError. A connection that was closed is opened again, once.

        Whatever goes wrong but an error that Redis answers closes it: no later command may get this one's answer.
        """
        connection = self._current()
        try:
            return _exchange(connection, command)
        except ConnectionError:
            return _exchange(connection, command)

    def _current(self) -> Any:
        made = (os.getpid(), _Line.settings_read)
        if self._made != made:
            pool = redis().connection_pool
            self._connection, self._made = pool.connection_class(**pool.connection_kwargs), made
        return self._connection


def _exchange(connection: Any, command: tuple[Any, ...]) -> Any:
    try:
        connection.send_command(*command)
        return connection.read_response()
    except ResponseError as error:
        if isinstance(error, ReadOnlyError):
            connection.disconnect()  # it was the primary: the name may mean another server by now
        raise
    except BaseException:
        connection.disconnect()
        raise


_line = _Line()


def _on_setting_changed(*, setting: str, **_: Any) -> None:
    if setting in ("CACHES", "CACHECONTROL"):
        _Line.settings_read += 1


setting_changed.connect(_on_setting_changed, dispatch_uid="cachecontrol.store")


class _Script:
    """A Lua script, called by its digest. ``flags`` replaces those in the first line of the file."""

    def __init__(self, name: str, *, flags: str = "") -> None:
        self._source = (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
        if flags:
            self._source = self._source.replace(b"#!lua", b"#!lua flags=" + flags.encode(), 1)
        self._digest = hashlib.sha1(self._source, usedforsecurity=False).hexdigest()

    def __call__(self, names: Sequence[str], arguments: Sequence[Any]) -> Any:
        """Run the script in one round trip. Raises StoreDown if Redis does not answer or refuses, StoreFull if it is full."""
        if not breaker.lets_ask():
            raise StoreDown("the breaker is open")
        try:
            try:
                answer = _line.ask("EVALSHA", self._digest, len(names), *names, *arguments)
            except NoScriptError:
                answer = _line.ask("EVAL", self._source, len(names), *names, *arguments)
        except OutOfMemoryError as error:
            breaker.answered()
            memory.failed(error)
            raise StoreFull(str(error)) from error
        except (RedisError, OSError) as error:
            if not _is_refusal(error):
                breaker.failed(error)
            raise StoreDown(str(error)) from error
        breaker.answered()
        return answer


def _is_refusal(error: Exception) -> bool:
    """Whether Redis answered, only not with what was asked: full, resharding or a script's error."""
    return isinstance(error, ResponseError) and not isinstance(
        error, BusyLoadingError | ReadOnlyError | ConnectionError
    )


_read = _Script("read")
_fill = _Script("fill")
_clock = _Script("clock")
_move = _Script("move")
_renew = _Script("renew")
_release = _Script("release")
_extend = _Script("extend")
_room = _Script("room")
_read_without_lease = _Script("read", flags="allow-oom")


def read(entry_key: str, *, stale_for: float, token: str, arrival: str = "") -> Reading:
    """Ask for an entry, and on a miss for the lease: one round trip. Raises StoreDown.

    A full Redis refuses the script that may write a lease. Then, and while it is known to be full, the entry is asked for
    without a lease: what could not be stored anyway is computed by each reader, and nobody waits.
    """
    names = [keys.CLOCK, entry_key, keys.lease(entry_key), keys.answer(entry_key)]
    lag, stale, lease = int(conf.max_lag * 1e6), int(stale_for * 1e6), int(conf.lease * 1000)
    if token and memory.lets_ask():
        with contextlib.suppress(StoreFull):
            reading = _reading(_read(names, [lag, stale, token, lease, arrival]))
            memory.answered()
            return reading
    return _reading(_read_without_lease(names, [lag, stale, "", lease, arrival]))


def _reading(said: list[Any]) -> Reading:
    judgement, reason, now = said[0].decode(), said[1].decode(), int(said[2])
    if judgement == "clock":
        return Reading(judgement, reason, now)
    epoch, position = _text(said[3]), _text(said[4])
    if len(said) < 8:
        return Reading(judgement, reason, now, epoch, position)
    return Reading(judgement, reason, now, epoch, position, said[5], said[6], int(said[7]))


def fill(
    entry_key: str, head: Head, body: bytes, *, token: str, place: str, recipe: bytes, ttl: float, wait: float
) -> str:
    """Store a value and give the lease back. Returns ``stored`` or why it was refused. Raises StoreDown.

    While Redis is known to be full nothing is sent.
    """
    if memory.is_down:
        raise StoreFull("Redis was full when it was last asked")
    policy = keys.policy_of(entry_key)
    own = [entry_key, keys.lease(entry_key), keys.answer(entry_key), keys.members(policy), keys.asked(policy)]
    names = [keys.CLOCK, *own, *map(keys.tag, head.tags)]
    times = [max(1, int(ttl * 1000)), max(1, int(wait * 1000))]
    facts = [token, head.epoch, place, head.as_of, head.earliest(), head.pack(), body, recipe]
    said: bytes = _fill(names, [*facts, *times, conf.entries_per_policy, *head.tags.values()])
    return said.decode()


def release(entry_key: str, token: str, *, free_for: float = 0.0) -> None:
    """Give the lease back; for ``free_for`` seconds nobody needs one to compute this entry. Raises StoreDown."""
    _release([keys.lease(entry_key)], [token, int(free_for * 1000)])


def extend(held: Sequence[tuple[str, str]]) -> None:
    """Let leases, each the key of an entry and a token, last another ``LEASE`` seconds. Raises StoreDown."""
    names = [keys.lease(entry_key) for entry_key, _ in held]
    _extend(names, [int(conf.lease * 1000), *(token for _, token in held)])


def clock() -> Clock:
    """Read the clock and Redis' time. Raises StoreDown."""
    now, *fields = _clock([keys.CLOCK], [])
    return Clock(int(now), *(_text(field) for field in fields))


def move(
    epoch: str,
    position: str,
    moving: Sequence[tuple[str, str]],
    *,
    since_rank: int,
    snapshot: str,
    rank: int,
    certified: Sequence[int | str] = (),
) -> int | None:
    """Move the tags that Redis knows, unless the clock has their change, and then advance it. Returns how many moved.

    None if it has to be done again: the epoch is over, or Redis lost a part of it meanwhile.

    ``moving``: pairs of the change's xid and the tag. ``certified``: the time before which nothing is missing, and the
    catalog's fingerprint.
    """
    total, mark = 0, keys.mark(secrets.token_hex(8))
    advance = [since_rank, snapshot, rank, *(certified or ("", ""))]
    chunks = [moving[n : n + TAGS_PER_MOVE] for n in range(0, len(moving), TAGS_PER_MOVE)] or [()]
    for index, chunk in enumerate(chunks, start=1):
        names = [keys.CLOCK, mark, *(keys.tag(tag) for _, tag in chunk)]
        last = advance if index == len(chunks) else [""] * len(advance)
        valid, moved, _ = _move(names, [epoch, position, index, *last, *(xid for xid, _ in chunk)])
        if not valid:
            return None
        total += int(moved)
    return total


def note_drain() -> None:
    """Note that a drain process runs, for ``DRAIN_NOTED`` seconds. Raises StoreDown."""
    prolonged = _asked(lambda: redis().expire(keys.DRAIN, DRAIN_NOTED))  # which a full Redis does not refuse
    if not prolonged:
        _asked(lambda: redis().set(keys.DRAIN, 1, ex=DRAIN_NOTED))


def has_drain() -> bool:
    """Whether a drain process drained a moment ago. Raises StoreDown."""
    return bool(_asked(lambda: redis().exists(keys.DRAIN)))


def renew(seen: str, fields: Mapping[str, str]) -> bool:
    """Begin a new epoch unless the clock is no longer as it was seen. Raises StoreDown."""
    flat = [part for pair in fields.items() for part in pair]
    return bool(_renew([keys.CLOCK], [seen.encode("latin-1"), *flat]))


def is_full() -> bool:
    """Whether Redis refuses writes because ``maxmemory`` is reached and nothing can be evicted. Raises StoreDown."""
    try:
        _room([keys.CLOCK], [])
    except StoreFull:
        return True
    memory.answered()
    return False


def peek(entry_key: str) -> Reading:
    """Ask for an entry without wanting to fill it. Raises StoreDown."""
    return read(entry_key, stale_for=0.0, token="")


def recipe(entry_key: str) -> bytes:
    """The sealed recipe of an entry; empty if it has none. Raises StoreDown."""
    return _asked(lambda: redis().hget(entry_key, "recipe")) or b""


def entry_keys(*, at_least: int, rounds: int = 50) -> list[str]:
    """Keys of entries from where the last call stopped, for a keeper that comes to all of them in time.

    Looks at ``rounds`` times 1,000 keys of any kind at most. Raises StoreDown.
    """
    found: set[str] = set()
    cursor = int(_asked(lambda: redis().get(keys.SCAN)) or 0)
    for _ in range(rounds):
        cursor, names = _asked(functools.partial(redis().scan, cursor, match=f"{keys.ENTRY}*", count=1000))
        found.update(name.decode("utf-8", "replace") for name in names)
        if len(found) >= at_least or not cursor:
            break
    _asked(lambda: redis().set(keys.SCAN, cursor, ex=86_400))
    return sorted(found)


def forget(entry_key: str) -> None:
    """Delete one entry. Raises StoreDown."""
    _asked(lambda: redis().unlink(entry_key))


def _asked(ask: Callable[[], Any]) -> Any:
    try:
        return ask()
    except (RedisError, OSError) as error:
        raise StoreDown(str(error)) from error


def _text(field: bytes | None) -> str:
    """A field of the clock as text that can be turned back into the same bytes, whatever somebody wrote there."""
    return "" if field is None else field.decode("latin-1")


def version() -> tuple[str, tuple[int, ...]]:
    """Name (``redis`` or ``valkey``) and version of the server. Raises StoreDown."""
    try:
        said: dict[str, str] = redis().info("server")
    except (RedisError, OSError) as error:
        raise StoreDown(str(error)) from error
    name = str(said.get("server_name", "redis"))
    number = str(said.get(f"{name}_version", said.get("redis_version", "0")))
    return name, tuple(int(part) for part in number.split(".")[:2])
