"""The drains of one process: the threads that ask for one at the same time share it, as transactions share a group commit."""

from __future__ import annotations

import atexit
import os
import threading
import time

import psycopg

from cachecontrol.conf import conf
from cachecontrol.drain.drainer import Drainer, DrainResult
from cachecontrol.exceptions import DrainRefused, StoreDown

FAILURES = (StoreDown, DrainRefused, psycopg.Error, TimeoutError)
"""How a drain may fail without any fault in the code."""


class DrainRunner:
    """Runs one drain at a time. The threads that ask while one runs share the next one.

    A thread may share only a drain that starts after the thread has asked: one that runs already may have read the change log
    before the thread's commit.
    """

    def __init__(self) -> None:
        self.drainer = Drainer()
        self._turn = threading.Condition()
        self._is_running = False
        self._started = self._finished = 0
        """The numbers of the last drain that started and of the last that ended."""
        self._must_certify = False
        """Whether a thread that shares the next drain asked for a whole one."""
        self._has_writers = False
        """Whether this process has drained for a writer, who waits no longer than ``WAIT``."""
        self._outcome: DrainResult | Exception = DrainRefused("no drain ran yet")
        """The outcome of the last drain that ended."""

    def run(self, *, certify: bool = True, timeout: float | None = None) -> DrainResult:
        """Drain everything that was committed before this call, and with ``certify`` let the clock say so.

        ``timeout`` is the time in seconds for which the drain may run, and for which another one is waited for. Without it, a
        whole drain may take ``DRAIN_TIMEOUT`` and a writer's ``WAIT``.

        Without ``certify`` a short drain suffices, which may certify nothing: see Note [Why a short drain suffices].

        Raises DrainRefused, StoreDown, psycopg.Error or TimeoutError; nothing is lost then, the next drain does it.
        """
        seconds = timeout or (conf.drain_timeout if certify else conf.wait)
        deadline = time.monotonic() + seconds
        self._has_writers = self._has_writers or not (certify or timeout)
        with self._turn:
            self._must_certify = self._must_certify or certify
            outcome = self._shared_outcome(deadline)
            if outcome is None:
                certify = self._start()
        if outcome is None:
            outcome = self._drain(certify=certify, seconds=seconds)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _shared_outcome(self, deadline: float) -> DrainResult | Exception | None:
        """Wait for the drain of another thread that started after this call, and return its outcome.

        None if this thread has to drain, because no other one does. Raises TimeoutError at the deadline.
        """
        next_drain = self._started + 1
        while self._is_running and self._finished < next_drain:
            if not self._turn.wait(deadline - time.monotonic()):
                raise TimeoutError("another drain of this process did not end in time")
        return self._outcome if self._finished >= next_drain else None

    def _start(self) -> bool:
        """Note that a drain of this thread runs. Return whether it has to certify, for this thread or for one that shares it."""
        self._is_running, self._started = True, self._started + 1
        certify, self._must_certify = self._must_certify, False
        return certify

    def _drain(self, *, certify: bool, seconds: float) -> DrainResult | Exception:
        """Drain for this thread and for those that share it, and return the outcome. An interrupt ends this thread alone."""
        try:
            outcome = self._outcome_of_drain(certify=certify, seconds=seconds)
        except BaseException as error:
            self.drainer.primary.close()
            self._finish(DrainRefused(f"the drain was interrupted: {error!r}"))
            raise
        self._finish(outcome)
        return outcome

    def _outcome_of_drain(self, *, certify: bool, seconds: float) -> DrainResult | Exception:
        try:
            result = self.drainer.drain(certify=certify, seconds=seconds)
            if certify and self._has_writers:
                self.drainer.primary.limit(conf.wait)  # so that the next writer's drain need not do that
        except FAILURES as error:
            self.drainer.primary.close()
            return error
        return result

    def _finish(self, outcome: DrainResult | Exception) -> None:
        """Note that the drain of this thread has ended, and wake the threads that share it."""
        with self._turn:
            self._outcome = outcome
            self._is_running, self._finished = False, self._started
            self._turn.notify_all()

    def forget(self) -> None:
        """Begin anew in a forked child, which shares neither the parent's connection nor its drains."""
        self.__init__()  # type: ignore[misc]

    def close(self) -> None:
        """Close the connection; the next drain opens another."""
        with self._turn:
            self.drainer.primary.close()


runner = DrainRunner()
"""The drains of this process."""
atexit.register(runner.close)
os.register_at_fork(after_in_child=runner.forget)
