"""Aggregate what was recorded in this process into counts, and add them to Redis once a second.

Note [Why a batch has an identifier]. A send that timed out may have arrived. So a batch does not change once it was sent, and
is sent again until Redis confirms it. Redis adds a batch with the same identifier only once. The counts stay exact through
timeouts, a suspended server and repeated sends.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, TypeVar

from cachecontrol.exceptions import StoreDown
from cachecontrol.redis.script import Script
from cachecontrol.stats.batch import HOT_KEYS, Batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachecontrol.stats.batch import RecordedRead

T = TypeVar("T")

logger = logging.getLogger(__name__)


MICROS = "recorder.micros"
"""Name of the counter of the microseconds that counting itself took."""
AGGREGATE_AT = 4096
"""Records at which the thread that records aggregates them itself: bounds memory between two rounds of the sender's thread."""
PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds between two sends, and at most while Redis does not answer."""

_count_script = Script("count", is_background=True)

reads: deque[RecordedRead] = deque()
"""Reads that are not aggregated yet."""
additions: deque[tuple[Any, ...]] = deque()
"""Other records that are not aggregated yet: a method of Batch, then its arguments but ``now``."""


def _take(records: deque[T]) -> Iterator[T]:
    """Take the records that wait now."""
    for _ in range(len(records)):
        yield records.popleft()


class Sender:
    """Aggregates the records of this process into a batch, and sends one batch at a time."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.batch = Batch()
        """Takes what is recorded now."""
        self.in_flight: Batch | None = None
        """The batch that was sent and not confirmed. See Note [Why a batch has an identifier]."""
        self._aggregating = threading.Lock()
        self._sending = threading.Lock()
        self._is_reachable = True

    def keep_up(self) -> None:
        """Start the thread if this process has none yet, and aggregate if many records wait."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name="cachecontrol-stats", daemon=True)
            try:
                self.thread.start()
            except RuntimeError:  # too many threads, or the interpreter is shutting down
                self.thread = None  # the next record tries again
        if max(len(reads), len(additions)) >= AGGREGATE_AT:
            self.aggregate()

    def aggregate(self) -> None:
        """Turn the records that wait into counts."""
        if not reads and not additions:
            return
        with self._aggregating:
            now, begun = time.time(), time.perf_counter()
            try:
                self.batch.add_reads(_take(reads), now)
                for add, *arguments in _take(additions):
                    add(self.batch, *arguments, now)
            except Exception:
                logger.exception("something recorded was not counted")
            self.batch.drop_oldest(now)
            self.batch.add_count(MICROS, round((time.perf_counter() - begun) * 1e6), now)

    def flush(self) -> bool:
        """Send the batch that was not confirmed, then the next. Return False if Redis does not answer."""
        with self._sending:
            self.aggregate()
            try:
                while batch := self._next_batch():
                    _count_script(batch.redis_keys(), [batch.to_json(), HOT_KEYS])
                    self.in_flight = None
            except StoreDown as error:
                self._log(is_reachable=False, error=error)
                return False
            except Exception:
                self.in_flight = None  # it could never be sent
                raise
            self._log(is_reachable=True)
            return True

    def _next_batch(self) -> Batch | None:
        if self.in_flight is None and len(self.batch):
            with self._aggregating:
                self.in_flight, self.batch = self.batch, Batch()
        return self.in_flight

    def _log(self, *, is_reachable: bool, error: Exception | None = None) -> None:
        """Log that Redis takes the statistics or does not, if that changed."""
        if is_reachable == self._is_reachable:
            return
        self._is_reachable = is_reachable
        if is_reachable:
            logger.info("statistics reach Redis again")
        else:
            logger.warning("statistics wait in memory until Redis answers: %s", error)

    def _run(self) -> None:
        pause = PAUSE
        while self.thread is threading.current_thread():
            time.sleep(pause)
            try:
                pause = PAUSE if self.flush() else min(LONGEST_PAUSE, 2 * pause)
            except Exception:
                logger.exception("statistics were not sent")


_sender = Sender()


def keep_up() -> None:
    """Start the thread of this process if there is none, and aggregate if many records wait. Called for each record."""
    if _sender.thread is None or max(len(reads), len(additions)) >= AGGREGATE_AT:
        _sender.keep_up()


def flush() -> bool:
    """Send all that was recorded so far. Return whether Redis has all of it."""
    return _sender.flush()


def _begin_anew() -> None:
    """Forget in a forked child the records that its parent will send."""
    global _sender  # noqa: PLW0603 - a child needs locks and a thread of its own
    reads.clear()
    additions.clear()
    _sender = Sender()


os.register_at_fork(after_in_child=_begin_anew)


@atexit.register
def _flush_at_exit() -> None:
    _sender.thread = None
    try:
        flush()
    except Exception:
        logger.exception("statistics were not sent at exit")
