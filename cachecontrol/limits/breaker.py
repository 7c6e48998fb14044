"""Circuit breakers: after a failure the process stops asking for a while, so that not every caller waits for it."""

from __future__ import annotations

import logging
import os
import threading
import time

from cachecontrol.conf import conf

logger = logging.getLogger("cachecontrol")


class Breaker:
    """Stops asking for a while after a failure, and logs the failure and the recovery once each."""

    def __init__(self, *, failed: str, recovered: str) -> None:
        """Take the two log messages; ``failed`` has one ``%s`` for the error."""
        self._messages = failed, recovered
        self._renew_lock()
        os.register_at_fork(after_in_child=self._renew_lock)
        self._closed_at = 0.0
        self.is_down = False
        """Whether the last reply was a failure."""

    def _renew_lock(self) -> None:
        """Begin with a free lock: in a forked child, no thread releases the lock that a thread of the parent held."""
        self._lock = threading.Lock()

    def lets_ask(self) -> bool:
        """Whether the caller may ask. After a failure, one caller in each ``BREAKER_SECONDS`` may; the others go on without."""
        if not self.is_down:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._closed_at:
                return False
            self._closed_at = now + conf.breaker_seconds
        return True

    def failed(self, error: Exception) -> None:
        """Record a failure; the first one is logged."""
        with self._lock:
            self._closed_at = time.monotonic() + conf.breaker_seconds
            first, self.is_down = not self.is_down, True
        if first:
            logger.error(self._messages[0], error)

    def answered(self) -> None:
        """Record a reply; the first one after a failure is logged."""
        if not self.is_down:
            return
        with self._lock:
            first, self.is_down = self.is_down, False
        if first:
            logger.warning(self._messages[1])
