"""The fills that run in this process: a thread renews their leases, and other threads can wait for them to end.

Note [Why leases are renewed]. A lease long enough for the slowest fill would block other processes for that long after its
process was killed. So a lease lapses after ``LEASE`` seconds, and a background thread of the process that holds it renews it
every quarter of that time while the fill runs. A process that was killed or suspended renews nothing, so its lease lapses.
"""

from __future__ import annotations

import os
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cachecontrol.conf import conf
from cachecontrol.exceptions import StoreDown
from cachecontrol.redis import protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


LONGEST_PAUSE = 0.25
"""Seconds between two renewals at most."""


class RunningFill:
    """A fill of this process. Its token identifies the lease of the key, which another fill may hold instead."""

    def __init__(self, key: str, token: str) -> None:
        self.key, self.token = key, token
        self.begun = time.monotonic()
        self._thread = threading.get_ident()
        self.computes = False
        """Whether it has its database connection.

        Before, it may wait for a connection of a pool, which a thread holds that would wait for this fill.
        """
        self.ended = threading.Event()

    def wait(self, seconds: float) -> None:
        """Wait until the fill has ended, for at most ``seconds``. Returns at once in the thread that runs the fill."""
        if self._thread != threading.get_ident():
            self.ended.wait(seconds)


class RunningFills:
    """The fills that run now. Several may have one key: threads that waited long enough compute without the lease."""

    def __init__(self) -> None:
        self._fills: dict[str, RunningFill] = {}
        """By token."""
        self._filling = threading.Event()
        self._thread: threading.Thread | None = None

    def find(self, key: str) -> RunningFill | None:
        """Return the oldest fill of ``key`` in this process that has its database connection, or None."""
        fills = list(self._fills.values())
        return next((fill for fill in fills if fill.key == key and fill.computes), None)

    @contextmanager
    def running(self, key: str, token: str) -> Iterator[RunningFill]:
        """Register the fill that the block runs, and renew its lease meanwhile. Leases with other tokens are not renewed.

        See Note [Why leases are renewed].
        """
        fill = self._fills[token] = RunningFill(key, token)
        self._keep_alive()
        try:
            yield fill
        finally:
            self._fills.pop(token, None)  # a forked child began with none
            fill.ended.set()

    def _keep_alive(self) -> None:
        self._filling.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="cachecontrol-leases", daemon=True)
            with suppress(RuntimeError):  # no thread can be started now: the lease lapses by itself
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while self._filling.wait():
            time.sleep(min(conf.lease / 4, LONGEST_PAUSE))
            self._filling.clear()
            fills = list(self._fills.values())
            if fills:
                self._filling.set()
            if due := [fill for fill in fills if time.monotonic() - fill.begun > conf.lease / 4]:
                with suppress(StoreDown):  # then they lapse, and others may fill
                    protocol.extend([(fill.key, fill.token) for fill in due])


running_fills = RunningFills()
"""The fills of this process."""


def _forget() -> None:
    running_fills.__init__()  # type: ignore[misc]


os.register_at_fork(after_in_child=_forget)
