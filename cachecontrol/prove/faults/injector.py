"""The fault injector: all faults by name, their effects, and the record of when each was active."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING

from cachecontrol.prove.faults import postgres_faults, process_faults, redis_faults

if TYPE_CHECKING:
    from collections.abc import Callable

    from cachecontrol.prove.faults.target import Target


class Effect(Enum):
    """What a fault keeps the cache from, so that answers may differ meanwhile."""

    NO_DATABASE = auto()
    """Reads and writes fail."""
    MOVES_LOST = auto()
    """A writer's drain does not reach Redis, or Redis loses its moves: a reader may not see its own write."""
    REDIS_FULL = auto()
    """Redis stores nothing."""
    WEB_SUSPENDED = auto()
    """A worker of the web server does not run: the pages that it has begun wait as long."""
    REDIS_SILENT = auto()
    """Redis does not answer: a reader learns that only by waiting until a timeout."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and its effects on what is promised."""

    inject: Callable[[Target], None]
    """Lets the fault happen, from its beginning to its end."""
    effects: frozenset[Effect] = frozenset()


def _fault(inject: Callable[[Target], None], *effects: Effect) -> Fault:
    return Fault(inject, frozenset(effects))


FAULTS: dict[str, Fault] = {
    "kill-web": _fault(process_faults.kill_web),
    "kill-drain": _fault(process_faults.kill_drain),
    "kill-celery": _fault(process_faults.kill_celery),
    "freeze-web": _fault(process_faults.freeze_web, Effect.WEB_SUSPENDED),
    "freeze-drain": _fault(process_faults.freeze_drain),
    "slow-drain": _fault(process_faults.slow_drain, Effect.MOVES_LOST),
    "write-from-elsewhere": _fault(process_faults.external_writes),
    "shift-clock": _fault(process_faults.shift_clock),
    "kill-writer": _fault(process_faults.kill_writer),
    "cut-writer": _fault(process_faults.cut_writer, Effect.MOVES_LOST),
    "cut-web": _fault(process_faults.cut_web),
    "redis-flush": _fault(redis_faults.flush, Effect.MOVES_LOST),
    "redis-evict-clock": _fault(redis_faults.evict_clock, Effect.MOVES_LOST),
    "redis-evict-tags": _fault(redis_faults.evict_tags),
    "redis-evict": _fault(redis_faults.evict, Effect.MOVES_LOST),
    "redis-full": _fault(redis_faults.fill_up, Effect.MOVES_LOST, Effect.REDIS_FULL),
    "redis-freeze": _fault(redis_faults.freeze, Effect.MOVES_LOST, Effect.REDIS_SILENT),
    "redis-restart": _fault(redis_faults.restart, Effect.MOVES_LOST, Effect.REDIS_SILENT),
    "write-past-triggers": _fault(postgres_faults.write_past_triggers, Effect.MOVES_LOST),
    "lock-table": _fault(postgres_faults.lock_table, Effect.MOVES_LOST),
    "postgres-kill-backends": _fault(postgres_faults.kill_backends, Effect.MOVES_LOST, Effect.NO_DATABASE),
    "postgres-restart": _fault(postgres_faults.restart, Effect.MOVES_LOST, Effect.NO_DATABASE),
    "replica-pause": _fault(postgres_faults.pause_replica),
    "replica-promote": _fault(postgres_faults.promote_replica, Effect.MOVES_LOST, Effect.NO_DATABASE),
}
"""By the name that ``--faults`` takes."""


@dataclass(slots=True)
class FaultWindow:
    """When a fault was active. Times are seconds of the monotonic clock."""

    name: str
    begun: float
    ended: float = float("inf")

    def has(self, effect: Effect) -> bool:
        """Whether the fault has this effect."""
        return effect in FAULTS[self.name].effects


@dataclass(slots=True)
class FaultInjector:
    """Injects faults into a target, and records when each was active."""

    target: Target
    windows: list[FaultWindow] = field(default_factory=list)

    def inject(self, name: str) -> None:
        """Let one fault happen from its beginning to its end. Raises RedisError, psycopg.Error or OSError."""
        window = FaultWindow(name, time.monotonic())
        self.windows.append(window)
        try:
            FAULTS[name].inject(self.target)
        finally:
            window.ended = time.monotonic()
