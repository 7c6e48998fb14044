"""Faults: what strikes the proved processes and their servers, drawn by chance and undone after a while."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import psutil
import psycopg
import redis

from cachecontrol.prove.processes import standing_still
from cachecontrol.redis import keys

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cachecontrol.prove.observer import Observer
    from cachecontrol.prove.processes import Processes


class Servers(Protocol):
    """Servers that the proof may kill. What runs somewhere else has none, and is spared those faults."""

    @property
    def replica(self) -> str: ...
    def valkey_pid(self) -> int | None: ...
    def start_valkey(self) -> None: ...
    def postgres_pid(self) -> int | None: ...
    def start_postgres(self) -> None: ...
    def pause_replica(self) -> None: ...
    def resume_replica(self) -> None: ...
    def cut_replica(self) -> None: ...
    def close(self) -> None: ...
    def promote(self, how: signal.Signals) -> str: ...
    def open(self) -> None: ...
    def follow(self) -> None: ...


@dataclass(slots=True)
class Window:
    """When a fault was at work, and for which promises that counts. Times are seconds of the monotonic clock."""

    name: str
    begun: float
    ended: float = float("inf")


@dataclass(slots=True)
class Faults:
    """Strikes by chance, one fault after the other, and keeps a record."""

    chance: random.Random
    cast: Processes
    database: str
    store: str
    servers: Servers | None
    observer: Observer
    windows: list[Window] = field(default_factory=list)

    def strike(self, name: str) -> None:
        """Let one fault happen from beginning to end."""
        window = Window(name, time.monotonic())
        self.windows.append(window)
        try:
            FAULTS[name](self)
        finally:
            window.ended = time.monotonic()

    def pause(self, longest: float) -> None:
        time.sleep(self.chance.random() * longest)

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.store, socket_timeout=5)

    def kill_web(self) -> None:
        """kill -9 of a web worker."""
        self.cast.kill_worker(self.chance)

    def kill_drain(self) -> None:
        """kill -9 of the drain process; another comes, at times late."""
        self.cast.kill("drain")
        self.pause(self.chance.choice((0.5, 6.0)))
        self.cast.start("drain")

    def kill_celery(self) -> None:
        """kill -9 of the Celery worker and its children."""
        if "worker" in self.cast.processes:
            self.cast.kill("worker")
            self.cast.start("worker")

    def freeze_drain(self) -> None:
        """The drain process stands still and goes on."""
        with self.cast.standing_still("drain"):
            self.pause(5.0)

    def slow_drain(self) -> None:
        """A drain process that pauses for seconds between its statement and its moves."""
        self.cast.kill("drain")
        self.cast.start("drain", pause=1.5 * self.cast.max_lag)
        self._write_from_elsewhere(6 * self.cast.max_lag)
        self.cast.kill("drain")
        self.cast.start("drain")

    def write_from_elsewhere(self) -> None:
        """No drain process runs, this application writes nothing, and another program does."""
        self.cast.kill("drain")
        self._write_from_elsewhere(4 * self.cast.max_lag)
        self.cast.start("drain")

    def _write_from_elsewhere(
        self, seconds: float, *, apart: float = 0.0, before: Callable[[], None] = lambda: None
    ) -> None:
        """Update what is read most, while the writers stand still: their drains would carry it."""
        deadline, apart = time.monotonic() + seconds, apart or self.cast.max_lag / 2
        with ExitStack() as standing, psycopg.connect(self.database, autocommit=True) as connection:
            for name in self.cast.named("writer"):
                standing.enter_context(self.cast.standing_still(name))
            connection.execute("SET lock_timeout = '50ms'")
            while time.monotonic() < deadline:
                before()
                pks = self.chance.sample(range(1, 9), 5)
                with suppress(psycopg.errors.LockNotAvailable):
                    connection.execute("UPDATE prove_item SET note = 'elsewhere' WHERE id = ANY(%s)", [pks])
                self.pause(apart)

    def shift_clock(self) -> None:
        """The drain process, the web server, a reader or a writer believes in another time, until it is started again."""
        named = ["drain", "web", *self.cast.named("reader"), *self.cast.named("writer")]
        name = self.chance.choice(["drain", "web", self.chance.choice(named)])
        self.cast.kill(name)
        self.cast.start(name, shift=self.chance.choice((-5.0, 5.0, -3600.0, 86400.0)))

    def kill_writer(self) -> None:
        """kill -9 of a writer, wherever it is."""
        name = self.chance.choice(self.cast.named("writer"))
        self.cast.kill(name)
        self.cast.start(name)

    def cut_writer(self) -> None:
        """A writer alone cannot reach Redis for a while."""
        name = self.chance.choice(self.cast.named("writer"))
        self.cast.cut(name)
        with suppress(redis.RedisError):
            self._drop_clients(name)
        self.pause(3.0)
        self.cast.heal(name)

    def _drop_clients(self, name: str) -> None:
        client = self.redis()
        for known in client.client_list():
            if known["name"] == name:
                client.client_kill_filter(_id=known["id"])

    def flush(self) -> None:
        """FLUSHALL."""
        self.redis().flushall()

    def evict_clock(self) -> None:
        self.redis().delete(keys.CLOCK)

    def evict_tags(self) -> None:
        """Tags go, just before what they stand for is written; and nothing else is written for a while."""
        share = self.chance.choice((0.5, 1.0, 1.0))
        self._write_from_elsewhere(
            6 * self.cast.max_lag, apart=3 * self.cast.max_lag, before=lambda: self._evict(share)
        )

    def _evict(self, share: float) -> None:
        client = self.redis()
        known = [*client.scan_iter(f"{keys.TAG}*", count=1000)]
        if doomed := [key for key in known if self.chance.random() < share]:
            client.delete(*doomed)
        self.pause(0.1)

    def evict(self) -> None:
        """Redis has too little memory and evicts what was not used for long."""
        self._limit_memory("volatile-lru")

    def fill_up(self) -> None:
        """Redis has too little memory and takes no writes."""
        self._limit_memory("noeviction")

    def _limit_memory(self, policy: str) -> None:
        client = self.redis()
        limits: Any = client.config_get("maxmemory", "maxmemory-policy")
        if not int(limits["maxmemory"]):
            return
        used = client.info("memory")["used_memory"]
        client.config_set("maxmemory-policy", policy)
        client.config_set("maxmemory", max(used - 2**19, 2**20))
        time.sleep(2.0)
        self.pause(4.0)
        for name, value in limits.items():
            client.config_set(name, value)

    def lock_table(self) -> None:
        """Somebody locks a table of the cache: drains are stuck, or no position can be told."""
        table = self.chance.choice(("cachecontrol_change", "cachecontrol_epoch"))
        with psycopg.connect(self.database) as connection:
            connection.execute("SET lock_timeout = '5s'")
            with suppress(psycopg.errors.LockNotAvailable):
                connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                self.pause(2 * self.cast.max_lag)

    def freeze_redis(self) -> None:
        """Redis stands still and goes on."""
        if self.servers and (pid := self.servers.valkey_pid()):
            with standing_still(pid):
                self.pause(3.0)

    def restart_redis(self) -> None:
        """Redis loses its last writes, or all."""
        if not (self.servers and (pid := self.servers.valkey_pid())):
            return
        if self.chance.random() < 0.8:
            self.redis().save()
            self.pause(2.0)
        os.kill(pid, signal.SIGKILL)
        await_end(pid)
        self.pause(self.chance.choice((0.0, 3.0)))
        self.servers.start_valkey()

    def kill_backends(self) -> None:
        """PostgreSQL ends the connections of everybody but the observer."""
        with psycopg.connect(self.database, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'observer'"
            )

    def restart_postgres(self) -> None:
        """PostgreSQL stops at once, as in a crash, and recovers."""
        if self.servers and (pid := self.servers.postgres_pid()):
            os.kill(pid, signal.SIGQUIT)
            await_end(pid)
            self.pause(1.0)
            self.servers.start_postgres()

    def pause_replica(self) -> None:
        """The replica shows nothing new for a while."""
        if self.servers:
            self.servers.pause_replica()
            self.pause(8.0)
            self.servers.resume_replica()

    def promote_replica(self) -> None:
        """The primary is lost, at times with its last commits, and the replica takes its place. A new replica follows."""
        if not self.servers:
            return
        if self.chance.random() < 0.7:
            self.servers.cut_replica()
            self.pause(4.0)
        self.servers.close()
        self.observer.look()
        fresh = self.servers.promote(self.chance.choice((signal.SIGKILL, signal.SIGQUIT)))
        self.observer.rewind(fresh)
        self.servers.open()
        self.pause(2.0)
        self.servers.follow()


def await_end(pid: int, seconds: float = 20.0) -> None:
    """Wait until a process that is no child of this one has ended."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        deadline = time.monotonic() + seconds
        while (
            process.is_running() and process.status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline
        ):
            time.sleep(0.02)


FAULTS: dict[str, Callable[[Faults], None]] = {
    "kill-web": Faults.kill_web,
    "kill-drain": Faults.kill_drain,
    "kill-celery": Faults.kill_celery,
    "freeze-drain": Faults.freeze_drain,
    "slow-drain": Faults.slow_drain,
    "write-from-elsewhere": Faults.write_from_elsewhere,
    "shift-clock": Faults.shift_clock,
    "kill-writer": Faults.kill_writer,
    "cut-writer": Faults.cut_writer,
    "redis-flush": Faults.flush,
    "redis-evict-clock": Faults.evict_clock,
    "redis-evict-tags": Faults.evict_tags,
    "redis-evict": Faults.evict,
    "redis-full": Faults.fill_up,
    "redis-freeze": Faults.freeze_redis,
    "redis-restart": Faults.restart_redis,
    "lock-table": Faults.lock_table,
    "postgres-kill-backends": Faults.kill_backends,
    "postgres-restart": Faults.restart_postgres,
    "replica-pause": Faults.pause_replica,
    "replica-promote": Faults.promote_replica,
}
"""By name, for ``--faults``."""

UNREACHABLE = frozenset(
    {
        "cut-writer",
        "redis-flush",
        "redis-evict-clock",
        "redis-evict",
        "redis-full",
        "redis-freeze",
        "redis-restart",
    }
    | {"postgres-kill-backends", "postgres-restart", "replica-promote", "slow-drain", "lock-table"}
)
"""Faults by which a writer may not reach Redis, or Redis loses what it was told: nobody is promised to see their own writes."""
NO_DATABASE = frozenset({"postgres-kill-backends", "postgres-restart", "replica-promote"})
"""Faults by which reads and writes fail."""
FULL = frozenset({"redis-full"})
"""Faults by which nothing can be stored."""
SILENT = frozenset({"redis-freeze", "redis-restart"})
"""Faults by which Redis does not answer, which a reader learns by waiting for it until a timeout."""
