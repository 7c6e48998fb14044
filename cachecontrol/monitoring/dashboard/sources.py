"""What the dashboard reads from Redis and PostgreSQL beside the counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.db import connections

from cachecontrol.conf import conf
from cachecontrol.models import Change, JobRun
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats.counters import CountName

if TYPE_CHECKING:
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
class Blame:
    """The cause of the last refusal of one policy and reason."""

    detail: str
    at: datetime


def server() -> Server:
    """Return the state of the cache server. Raises StoreDown."""
    with redis_client.translating_errors():
        info: Any = redis_client.client().info()
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
    """Count the entries, or estimate their number from a sample of keys if there are many. Raises StoreDown."""
    with redis_client.translating_errors():
        client = redis_client.client()
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


def total_counts() -> dict[str, int]:
    """Return the counts of all processes since Redis started, by the text of their names. Raises StoreDown."""
    with redis_client.translating_errors():
        fields: Any = redis_client.client().hgetall(keys.STATS_TOTAL)
    return {name.decode(): int(n) for name, n in fields.items()}


def blame() -> dict[tuple[str, str], Blame]:
    """Return the blame of the last refusal of each policy and reason. Raises StoreDown."""
    with redis_client.translating_errors():
        fields: Any = redis_client.client().hgetall(keys.STATS_BLAME)
    blame_of = {}
    for name, text in fields.items():
        refusal, blame = CountName.parse(name.decode()), json.loads(text)
        at = datetime.fromtimestamp(blame["at"], UTC)
        blame_of[refusal.policy, refusal.mark] = Blame(detail=blame["detail"], at=at)
    return blame_of


def changes(limit: int = 15) -> list[Change]:
    return list(Change.objects.order_by("-id")[:limit])


def job_runs() -> list[JobRun]:
    """Return the last run of each job."""
    return list(JobRun.objects.order_by("name", "-started_at").distinct("name"))


def database_version() -> str:
    with connections[conf.database].cursor() as cursor:
        cursor.execute("SHOW server_version")
        return str(cursor.fetchone()[0])
