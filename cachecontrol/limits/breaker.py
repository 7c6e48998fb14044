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
        self._down = False

    def _renew_lock(self) -> None:
        """In a forked child nobody gives back what another thread of the parent held."""
        self._lock = threading.Lock()

    def lets_ask(self) -> bool:
        """Whether the caller may ask. After a failure, one caller in each ``BREAKER_SECONDS`` may; the others do not wait."""
        if not self._down:
            return True
        with self._lock:
            now = time.monotonic()
            if now < self._closed_at:
                return False
            self._closed_at = now + conf.breaker_seconds
        return True

    @property
    def is_down(self) -> bool:
        """Whether the last answer was a failure."""
        return self._down

    def failed(self, error: Exception) -> None:
        with self._lock:
            self._closed_at = time.monotonic() + conf.breaker_seconds
            first, self._down = not self._down, True
        if first:
            logger.error(self._messages[0], error)

    def answered(self) -> None:
        if not self._down:
            return
        with self._lock:
            first, self._down = self._down, False
        if first:
            logger.warning(self._messages[1])
