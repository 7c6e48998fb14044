"""What the dashboard asks of Redis and PostgreSQL beside the counts. A fact raises if its store is down."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection
from redis.exceptions import RedisError

from cachecontrol import keys, recorder, store
from cachecontrol.exceptions import StoreDown
from cachecontrol.models import Change, KeeperRun
from cachecontrol.tally import Field

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    Fact = TypeVar("Fact")

SAMPLE = 400
"""Random keys looked at to estimate what fills the server; below ten times as many keys, all are counted."""


@dataclass(frozen=True, slots=True)
class Server:
    """The cache server, as its INFO tells. Memory in bytes."""

    version: str
    uptime: int
    memory: int
    memory_peak: int
    memory_limit: int
    eviction: str
    keys: int
    evicted: int
    expired: int
    connections: int
    commands_per_second: int


@dataclass(frozen=True, slots=True)
class Entries:
    """How many entries there are, by policy, greatest first; an estimate unless ``is_exact``."""

    total: int
    by_policy: list[tuple[str, int]]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock; ``lag`` is the seconds since the last drain's start, None without a clock."""

    lag: float | None
    epoch: str
    position: str


@dataclass(frozen=True, slots=True)
class Blame:
    """What a refusal was last blamed on."""

    detail: str
    at: datetime


def attempt(fact: Callable[[], Fact]) -> Fact | None:
    """Return the fact, or None if its store does not answer."""
    try:
        return fact()
    except (RedisError, StoreDown, DatabaseError):
        return None


def server() -> Server:
    info: Any = store.redis().info()
    spaces = [space for name, space in info.items() if name.startswith("db")]
    version = info.get("valkey_version") or info["redis_version"]
    return Server(
        version=f"{info.get('server_name', 'redis').capitalize()} {version}",
        uptime=info["uptime_in_seconds"],
        memory=info["used_memory"],
        memory_peak=info["used_memory_peak"],
        memory_limit=info["maxmemory"],
        eviction=info["maxmemory_policy"],
        keys=sum(space["keys"] for space in spaces),
        evicted=info["evicted_keys"],
        expired=info["expired_keys"],
        connections=info["connected_clients"],
        commands_per_second=info["instantaneous_ops_per_sec"],
    )


def entries() -> Entries:
    client = store.redis()
    size = int(client.dbsize())
    if size <= 10 * SAMPLE:
        names = list(client.scan_iter(match=keys.ENTRY.replace("{", "[{]") + "*", count=1000))
        return _entries(names, scale=1.0, is_exact=True)
    pipeline = client.pipeline(transaction=False)
    for _ in range(SAMPLE):
        pipeline.randomkey()
    names = [name for name in pipeline.execute() if name and name.startswith(keys.ENTRY.encode())]
    return _entries(names, scale=size / SAMPLE, is_exact=False)


def _entries(names: list[bytes], *, scale: float, is_exact: bool) -> Entries:
    counts: dict[str, int] = {}
    for name in names:
        policy = keys.policy_of(name.decode())
        counts[policy] = counts.get(policy, 0) + 1
    by_policy = [(policy, round(n * scale)) for policy, n in counts.items()]
    total = round(len(names) * scale)
    return Entries(total=total, by_policy=sorted(by_policy, key=lambda pair: -pair[1]), is_exact=is_exact)


def clock() -> Clock:
    read = store.clock()
    lag = (read.now - int(read.time)) / 1e6 if read.time.isdecimal() else None
    return Clock(lag=lag, epoch=read.epoch, position=read.position)


def blame() -> dict[tuple[str, str], Blame]:
    """Return what refusals were last blamed on, by policy and reason."""
    found: Any = store.redis().hgetall(recorder.BLAME)
    blamed = {}
    for name, text in found.items():
        refusal, facts = Field.parse(name.decode()), json.loads(text)
        at = datetime.fromtimestamp(facts["at"], UTC)
        blamed[refusal.policy, refusal.mark] = Blame(detail=facts["detail"], at=at)
    return blamed


def changes(limit: int = 15) -> list[Change]:
    return list(Change.objects.order_by("-id")[:limit])


def keeper_runs() -> list[KeeperRun]:
    """Return the last run of each keeper."""
    return list(KeeperRun.objects.order_by("name", "-started_at").distinct("name"))


def database_version() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])
