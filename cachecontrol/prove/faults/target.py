"""The target of the faults: the processes and servers of a proof."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil
import psycopg
import redis

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from cachecontrol.prove.installation import Installation, Servers
    from cachecontrol.prove.observer import Observer
    from cachecontrol.prove.processes import Processes

POPULAR_ITEMS = range(1, 9)
"""Items that are read most."""
ITEMS_PER_UPDATE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What faults act on, and the random numbers that decide how."""

    rng: random.Random
    processes: Processes
    installation: Installation
    observer: Observer
    max_lag: float

    @property
    def servers(self) -> Servers | None:
        return self.installation.servers

    def pause(self, longest: float) -> None:
        """Wait a random time of at most ``longest`` seconds."""
        time.sleep(self.rng.random() * longest)

    def redis(self) -> redis.Redis:
        """Return a connection to Redis."""
        return redis.Redis.from_url(self.installation.redis_url, socket_timeout=5)

    def write_externally(
        self, seconds: float, *, pause: float = 0.0, prepare: Callable[[], None] = lambda: None
    ) -> None:
        """Update popular items for ``seconds`` from here, while the writers are suspended: they would drain the changes.

        Args:
            pause: seconds between two updates at most; half of ``MAX_LAG`` if it is 0.
            prepare: is called before each update.
        """
        deadline, pause = time.monotonic() + seconds, pause or self.max_lag / 2
        with (
            ExitStack() as suspended,
            psycopg.connect(self.installation.database_url, autocommit=True) as connection,
        ):
            for name in self.processes.named("writer"):
                suspended.enter_context(self.processes.suspended(name))
            connection.execute("SET lock_timeout = '50ms'")
            while time.monotonic() < deadline:
                prepare()
                pks = self.rng.sample(POPULAR_ITEMS, ITEMS_PER_UPDATE)
                with suppress(psycopg.errors.LockNotAvailable):
                    connection.execute("UPDATE prove_item SET note = 'external' WHERE id = ANY(%s)", [pks])
                self.pause(pause)


def await_end(pid: int, *, seconds: float = 20.0) -> None:
    """Wait until a process that is no child of this one has ended, for ``seconds`` at most."""
    deadline = time.monotonic() + seconds
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        while time.monotonic() < deadline and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.02)
