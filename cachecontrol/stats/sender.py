"""Fold what was recorded in this process into counts, and add them to Redis once a second.

# Note [Why a batch carries a mark]
A send that timed out may have arrived. A batch is frozen under a random mark until Redis says that it has it,
and Redis adds a mark once, so counts stay exact through timeouts, a suspended server and retries.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
import uuid
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cachecontrol.exceptions import StoreDown
from cachecontrol.redis import keys
from cachecontrol.redis.script import Script
from cachecontrol.stats import hot_keys
from cachecontrol.stats.counters import CountKind, CountName, read_fields

if TYPE_CHECKING:
    from cachecontrol.core.recipe import Recipe

logger = logging.getLogger(__name__)


MINUTE = 60
MICROS = "recorder.micros"
"""Counter of the time that counting itself took."""
HOT_KEYS = 200
"""Hot keys of a policy that are kept for each window."""
FOLD_AT = 4096
"""Tuples waiting before a reader folds them itself: bounds memory between two rounds of the thread."""
KEEP_FIELDS = 20_000
"""Counts kept while Redis is away; beyond it the oldest minutes are dropped, and that is counted."""
LONGEST_DETAIL = 2000

_count_script = Script("count", is_background=True)


@dataclass(slots=True)
class Batch:
    """Counts on their way to Redis."""

    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    minutes: dict[int, Counter[CountName]] = field(default_factory=dict)
    hot: dict[tuple[str, int], Counter[str]] = field(default_factory=dict)
    blame: dict[CountName, str] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self.minutes.values())) + sum(map(len, self.hot.values())) + len(self.blame)


reads: deque[tuple[str, str, str, float, str, Recipe | None]] = deque()
"""Policy, outcome, reason, seconds, key and recipe of reads that are not folded yet."""
others: deque[tuple[Any, ...]] = deque()
"""An adding function and its facts."""


def _add_reads(batch: Batch, now: float) -> None:
    durations: defaultdict[tuple[str, str, str], list[float]] = defaultdict(list)
    hot: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for _ in range(len(reads)):
        policy, outcome, reason, seconds, key, recipe = reads.popleft()
        durations[policy, outcome, reason].append(seconds)
        if recipe is not None:
            hot[policy][key] += 1
            batch.recipes[key] = recipe
    for (policy, outcome, reason), seconds_of_reads in durations.items():
        _count(batch, now, read_fields(policy, outcome, reason, seconds_of_reads))
    for policy, counts in hot.items():
        _add_hot(batch, policy, int(now) // hot_keys.WINDOW, counts)


def _add_hot(batch: Batch, policy: str, window: int, counts: Counter[str]) -> None:
    hot = batch.hot.setdefault((policy, window), Counter())
    hot.update(counts)
    if len(hot) > 10 * HOT_KEYS:
        batch.hot[policy, window] = Counter(dict(hot.most_common(HOT_KEYS)))
        remaining = {key for hot in batch.hot.values() for key in hot}
        batch.recipes = {key: recipe for key, recipe in batch.recipes.items() if key in remaining}


def add_refusal(batch: Batch, now: float, policy: str, reason: str, detail: str) -> None:
    name = CountName(CountKind.REFUSALS, "", reason, policy)
    _count(batch, now, {name: 1})
    if detail:
        batch.blame[name] = json.dumps({"detail": detail[:LONGEST_DETAIL], "at": now})


def add_count(batch: Batch, now: float, name: str, n: int) -> None:
    _count(batch, now, {CountName(CountKind.COUNTER, "", name, ""): n})


def _count(batch: Batch, now: float, fields: dict[CountName, int]) -> None:
    batch.minutes.setdefault(int(now) // MINUTE, Counter()).update(fields)


class Sender:
    """Folds what was recorded in this process and sends it, one batch at a time."""

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.open = Batch()
        self.frozen: Batch | None = None
        self._folding = threading.Lock()
        self._sending = threading.Lock()
        self._reachable = True

    def wake(self) -> None:
        """Start the thread if this process has none yet, and fold if much is waiting."""
        if self.thread is None:
            self.thread = threading.Thread(target=self._run, name="cachecontrol-stats", daemon=True)
            try:
                self.thread.start()
            except RuntimeError:  # too many threads, or the interpreter is shutting down
                self.thread = None  # the next read tries again
        if max(len(reads), len(others)) >= FOLD_AT:
            self.fold()

    def fold(self) -> None:
        """Turn waiting tuples into counts."""
        if not reads and not others:
            return
        with self._folding:
            now, begun = time.time(), time.perf_counter()
            try:
                _add_reads(self.open, now)
                for _ in range(len(others)):
                    add, *facts = others.popleft()
                    add(self.open, now, *facts)
            except Exception:
                logger.exception("something recorded was not counted")
            self._drop_oldest(self.open)
            add_count(self.open, now, MICROS, round((time.perf_counter() - begun) * 1e6))

    def flush(self) -> bool:
        """Send the batch that is on its way, then what came since; False if Redis does not answer."""
        with self._sending:
            self.fold()
            try:
                while batch := self._freeze():
                    self._send(batch)
                    self.frozen = None
            except StoreDown as error:
                self._log(reachable=False, error=error)
                return False
            except Exception:
                self.frozen = None
                raise
            self._log(reachable=True)
            return True

    def _freeze(self) -> Batch | None:
        if self.frozen is None and len(self.open):
            with self._folding:
                self.frozen, self.open = self.open, Batch()
        return self.frozen

    def _send(self, batch: Batch) -> None:
        hot = [
            {hot_keys.pack(policy, key, batch.recipes[key]): n for key, n in top.most_common(HOT_KEYS)}
            for (policy, _), top in batch.hot.items()
        ]
        minutes = [{str(name): n for name, n in counts.items()} for counts in batch.minutes.values()]
        blame = {str(name): text for name, text in batch.blame.items()}
        names = [keys.stats_mark(batch.mark), keys.STATS_TOTAL, keys.STATS_BLAME]
        names += [keys.stats_minute(minute) for minute in batch.minutes]
        names += [keys.stats_hot(policy, window) for policy, window in batch.hot]
        _count_script(names, [json.dumps({"minutes": minutes, "hot": hot, "blame": blame}), HOT_KEYS])

    def _drop_oldest(self, batch: Batch) -> None:
        while sum(map(len, batch.minutes.values())) > KEEP_FIELDS and len(batch.minutes) > 1:
            lost = batch.minutes.pop(min(batch.minutes))
            newest = batch.minutes[max(batch.minutes)]
            newest[CountName(CountKind.COUNTER, "", "stats.lost", "")] += lost.total()
        oldest = int(time.time() - keys.STATS_HOT_SECONDS) // hot_keys.WINDOW
        for policy, window in [name for name in batch.hot if name[1] < oldest]:
            del batch.hot[policy, window]

    def _log(self, *, reachable: bool, error: Exception | None = None) -> None:
        if reachable == self._reachable:
            return
        self._reachable = reachable
        if reachable:
            logger.info("statistics reach Redis again")
        else:
            logger.warning("statistics wait in memory until Redis answers: %s", error)

    def _run(self) -> None:
        pause = 1.0
        while self.thread is threading.current_thread():
            time.sleep(pause)
            try:
                pause = 1.0 if self.flush() else min(10.0, 2 * pause)
            except Exception:
                logger.exception("statistics were not sent")


_sender = Sender()


def wake() -> None:
    """Start the thread of this process if there is none, and fold if much is waiting."""
    if _sender.thread is None or max(len(reads), len(others)) >= FOLD_AT:
        _sender.wake()


def flush() -> bool:
    """Send what is counted so far; return whether Redis has all of it."""
    return _sender.flush()


def _start_afresh() -> None:
    """Forget in a forked child what its parent will send."""
    global _sender  # noqa: PLW0603 - a child needs locks and a thread of its own
    reads.clear()
    others.clear()
    _sender = Sender()


os.register_at_fork(after_in_child=_start_afresh)


@atexit.register
def _flush_at_exit() -> None:
    _sender.thread = None
    try:
        flush()
    except Exception:
        logger.exception("statistics were not sent at exit")
