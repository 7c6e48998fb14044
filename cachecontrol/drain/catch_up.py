"""Catching up: the drains that writers and readers of this process ask for, which never raise an error."""

from __future__ import annotations

import logging
import os
import threading
import time
from itertools import groupby
from typing import Any

from django.db import connections, transaction

from cachecontrol.conf import conf
from cachecontrol.core import tags
from cachecontrol.drain import runner
from cachecontrol.exceptions import StoreDown
from cachecontrol.limits import budget
from cachecontrol.limits.breaker import Breaker
from cachecontrol.postgres.triggers import INSERT_CHANGE
from cachecontrol.stats import recording

logger = logging.getLogger("cachecontrol")

breaker = Breaker(
    failed="A drain failed (%s); until one succeeds, changes wait for the drain process",
    recovered="Drains succeed again",
)
"""Whether the last drain that a writer or reader of this process asked for succeeded."""


def invalidate(moving: list[str]) -> None:
    """Write changes that no trigger saw, one for each table, and carry them once they are committed."""
    changes: list[Any] = [
        {"operation": "INVALIDATE", "relation": relation, "tags": [*names]}
        for relation, names in groupby(sorted(moving, key=tags.relation_of), tags.relation_of)
    ]
    with connections[conf.database].cursor() as cursor:
        cursor.executemany(INSERT_CHANGE, changes)
    transaction.on_commit(catch_up, using=conf.database)


def catch_up(*, certify: bool = True) -> bool:
    """Drain, and return whether it succeeded. A drain's error is counted and logged, and never reaches a writer.

    After a failure one caller in each ``BREAKER_SECONDS`` tries again, so that not every writer waits for a stuck drain.
    """
    return breaker.lets_ask() and _drain(certify=certify)


def catch_up_in_time() -> bool:
    """Drain in another thread, wait for it while the budget lasts, and return whether it succeeded by then."""
    if budget.left() <= 0 or not breaker.lets_ask():
        return False
    drain = _background.start()
    if drain is None:
        return False
    with budget.spending() as seconds:
        drain.join(seconds)
    if drain.is_alive() and drain.age >= conf.wait:
        breaker.failed(TimeoutError(f"it took more than {conf.wait:.2f} s"))
    return drain.has_succeeded


def _drain(*, certify: bool) -> bool:
    """Drain, and return whether it succeeded, which the breaker learns."""
    try:
        runner.runner.run(certify=certify)
    except runner.FAILURES as error:
        recording.count("drain.failed")
        logger.debug("A drain failed: %s", error)
        if not isinstance(error, StoreDown):  # Redis has a breaker of its own
            breaker.failed(error)
        return False
    breaker.answered()
    return True


class BackgroundDrain(threading.Thread):
    """A whole drain that readers share. It continues after they have stopped waiting, for the benefit of later readers."""

    def __init__(self) -> None:
        super().__init__(name="cachecontrol-drain", daemon=True)
        self.has_succeeded = False
        self._begun = time.monotonic()

    @property
    def age(self) -> float:
        """Seconds since it began. A reader with little budget left may have waited for much less."""
        return time.monotonic() - self._begun

    def run(self) -> None:
        self.has_succeeded = _drain(certify=True)


class _Background:
    """The thread of this process in which the readers' drains run, one at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._drain: BackgroundDrain | None = None

    def start(self) -> BackgroundDrain | None:
        """Return the drain that runs already, or start one. None if no thread can be started."""
        with self._lock:
            if self._drain is None or not self._drain.is_alive():
                self._drain = BackgroundDrain()
                try:
                    self._drain.start()
                except RuntimeError:  # too many threads, or the interpreter is shutting down
                    self._drain = None
            return self._drain

    def forget(self) -> None:
        """Begin anew in a forked child, in which the parent's threads do not run."""
        self.__init__()  # type: ignore[misc]


_background = _Background()
os.register_at_fork(after_in_child=_background.forget)
