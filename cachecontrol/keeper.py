"""Runs of the keepers: one of each at a time, within a budget of seconds, recorded as they go."""

from __future__ import annotations

import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone
from redis.exceptions import RedisError

from cachecontrol import keys, stats, store
from cachecontrol.models import KeeperRun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis.lock import Lock

logger = logging.getLogger("cachecontrol")

GRACE = 30
"""Seconds over its budget after which a run that died no longer keeps others out."""
REPORT_EVERY = 1.0
"""Seconds between two reports of progress."""
LONGEST_NOTE = 2000


@dataclass(slots=True)
class Run:
    """A run in progress: what it did so far, as the dashboard shows it."""

    record: KeeperRun
    until: float
    notes: list[str] = field(default_factory=list)
    _reported: float = 0.0

    @property
    def done(self) -> int:
        return self.record.done

    @property
    def is_over_budget(self) -> bool:
        return time.monotonic() >= self.until

    def step(self, n: int = 1) -> None:
        """Count work done; now and then report it."""
        self.record.done += n
        if time.monotonic() - self._reported >= REPORT_EVERY:
            self._reported = time.monotonic()
            self.record.save(update_fields=["done", "errors"])

    def note(self, text: str) -> None:
        """Say something about the run."""
        self.notes.append(text)

    def failed(self, text: str) -> None:
        """Count an error, and say what it was."""
        self.record.errors += 1
        self.note(text)

    def end(self) -> None:
        self.record.note = "\n".join(self.notes)[:LONGEST_NOTE]
        self.record.finished_at = timezone.now()
        self.record.save()


@contextmanager
def recorded(name: str, *, seconds: float = 3600) -> Iterator[Run]:
    """Record what is done in the block as a run of this keeper, with a budget. An exception is recorded and goes on."""
    run = Run(KeeperRun.objects.create(name=name, started_at=timezone.now()), time.monotonic() + seconds)
    try:
        yield run
    except Exception as error:
        run.failed(f"{type(error).__name__}: {error}")
        stats.count(f"{name}.failed")
        raise
    finally:
        run.end()


@contextmanager
def alone(name: str, *, seconds: float) -> Iterator[Run | None]:
    """Record a run as above, of which no other process has one at the same time; None, and noted, if one has.

    Raises RedisError if Redis does not answer; that is recorded too.
    """
    with recorded(name, seconds=seconds) as run:
        lock = store.redis().lock(keys.KEEPER + name, timeout=seconds + GRACE, blocking=False)
        if not lock.acquire():
            run.note("another process is at it")
            yield None
            return
        _close_the_dead(run)
        try:
            yield run
        finally:
            _give_back(lock, name)


def _close_the_dead(run: Run) -> None:
    """End earlier runs that have no end: whoever held the lock then is gone."""
    dead = KeeperRun.objects.filter(name=run.record.name, finished_at=None).exclude(pk=run.record.pk)
    dead.update(finished_at=timezone.now(), errors=F("errors") + 1, note="its process died")


def _give_back(lock: Lock, name: str) -> None:
    try:
        lock.release()
    except RedisError as error:
        logger.warning("the keeper %s ends without its lock, which ends by itself: %s", name, error)
