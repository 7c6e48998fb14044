"""The puller: the thread of a process that lets its local tier follow the log of moves in Redis."""

from __future__ import annotations

import os
import threading
import time

from cachecontrol.conf import conf
from cachecontrol.exceptions import StoreDown
from cachecontrol.local.mirror import now
from cachecontrol.local.tier import tier
from cachecontrol.redis import protocol

LONGEST_WAIT = 0.1
"""Seconds after which the clock is asked for although nothing moved."""
RETRY_PAUSE = 0.1
"""Seconds before the next pull after Redis did not answer."""
IDLE_SECONDS = 60.0
"""Seconds without a read after which the thread ends."""


class Puller:
    """Pulls in a daemon thread, from the first read on until no read has come for a while."""

    def __init__(self) -> None:
        self._renew()
        os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._used = 0.0

    def keep_running(self) -> None:
        """Start the thread unless it runs. A call costs well under a microsecond then."""
        self._used = time.monotonic()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="cachecontrol-pull", daemon=True)
                    self._thread.start()

    def _run(self) -> None:
        try:
            while time.monotonic() < self._used + IDLE_SECONDS:
                self._follow()
        finally:  # after an error that nobody foresaw, the next read starts another thread
            tier.lose_track()
            self._thread = None

    def _follow(self) -> None:
        try:
            pull_once()
            tier.drop(protocol.await_move(tier.mirror.validity.sequence, LONGEST_WAIT))
        except StoreDown:
            tier.lose_track()
            time.sleep(RETRY_PAUSE)


def pull_once() -> None:
    """Pull, and let the tier take it in. Raises StoreDown."""
    mirror, sent = tier.mirror, now()
    tier.take(protocol.pull(mirror.epoch, mirror.validity.sequence, mirror.position), sent)


puller = Puller()
"""The puller of this process."""


def keep_up() -> None:
    """Let the tier follow the log while this process reads, if it has a local tier at all."""
    if conf.local_bytes:
        puller.keep_running()
