"""Facts that the dashboard reads from Redis and PostgreSQL beside the counts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cachecontrol.models import Change, JobRun
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats.counters import CountName

SAMPLE = 400
"""Random keys from which the number of entries is estimated; all keys are counted if there are at most ten times as many."""


@dataclass(frozen=True, slots=True)
class Server:
    """The Redis server, as its INFO describes it. Memory is in bytes, ``uptime`` in seconds."""

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
    """How many entries there are, in all and by policy, the policy with the most first; estimates unless ``is_exact``."""

    total: int
    by_policy: list[tuple[str, int]]
    is_exact: bool


@dataclass(frozen=True, slots=True)
class RefusalDetail:
    """The cause of the last refusal of one policy for one reason, such as a statement."""

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


def refusal_details() -> dict[tuple[str, str], RefusalDetail]:
    """Return the detail of the last refusal, by policy and reason. Raises StoreDown."""
    with redis_client.translating_errors():
        fields: Any = redis_client.client().hgetall(keys.STATS_REFUSALS)
    details = {}
    for text, value in fields.items():
        name, plain = CountName.parse(text.decode()), json.loads(value)
        at = datetime.fromtimestamp(plain["at"], UTC)
        details[name.policy, name.label] = RefusalDetail(detail=plain["detail"], at=at)
    return details


def changes(limit: int = 15) -> list[Change]:
    """Return the last changes, the last one first."""
    return list(Change.objects.order_by("-id")[:limit])


def job_runs() -> list[JobRun]:
    """Return the last run of each job."""
    return list(JobRun.objects.order_by("name", "-started_at").distinct("name"))
