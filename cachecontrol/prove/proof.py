"""One proof from beginning to end: stage the cast, let faults strike, judge every answer, and come to rest."""

from __future__ import annotations

import math
import random
import threading
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
import redis

from cachecontrol.prove.checker import Answer, Checker, Limits, Violation, Wrong
from cachecontrol.prove.faults import FULL, NO_DATABASE, SILENT, UNREACHABLE, Faults, Servers, Window
from cachecontrol.prove.forensics import look_around
from cachecontrol.prove.history import History
from cachecontrol.prove.observer import Observer
from cachecontrol.prove.processes import Processes
from cachecontrol.prove.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

GRACE = 5.0
"""Seconds after a fault in which its consequences are still excused, where a promise makes exceptions."""
SCENES = 20
"""Violations of which the scene is looked at."""
SILENCE = 0.5
"""Seconds that a silent Redis may cost an answer: two timeouts of a connection."""
STARTING = 5.0
"""Seconds after the start of readers and writers in which all processes load and connect, so that costs say nothing yet."""
LEARNING = 1.0
"""Seconds after which every process knows that Redis is full."""
LATE = 90.0
"""Seconds that an answer waits for the observer at most, which a restart of PostgreSQL can hold up."""


@dataclass(slots=True, kw_only=True)
class Proof:
    """What is proven, by which faults."""

    folder: Path
    database: str
    store: str
    seed: int
    seconds: float
    max_lag: float
    faults: list[str]
    servers: Servers | None
    rule: str = ""
    until_wrong: bool = False
    """Stop at the first violation."""
    say: Callable[[str], None] = print
    tell: Callable[[int], None]
    """Gets the pid of each process as it starts and as it ends."""
    readers: int = 3
    writer_pause: float = 0.15
    max_cost: float = 0.1
    """Seconds that an answer may cost beyond its computation."""
    apart: float = 4.0
    """Seconds between two faults at most."""
    _answers: deque[Answer] = field(default_factory=deque)
    _writes: Counter[str] = field(default_factory=Counter)
    _failed_writes: Counter[str] = field(default_factory=Counter)
    _failed_reads: Counter[str] = field(default_factory=Counter)
    _refusals: list[tuple[Answer, str, list[str]]] = field(default_factory=list)
    """Reads that failed, what they were told, and the traceback."""
    _settled: float = math.inf
    """From when on costs are judged."""
    _over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> Report:
        """Prove, and report. Leaves no process behind."""
        history = History()
        oracle = Checker(history=history, max_lag=self.max_lag)
        observer = Observer(self.database, history)
        cast = Processes(
            folder=self.folder,
            store=self.store,
            seed=self.seed,
            max_lag=self.max_lag,
            rule=self.rule,
            hear=self._hear,
            tell=self.tell,
            readers=self.readers,
            writer_pause=self.writer_pause,
            replica=self.servers.replica if self.servers else "",
        )
        striking = Faults(
            random.Random(f"{self.seed}/faults"),  # noqa: S311
            cast,
            self.database,
            self.store,
            self.servers,
            observer,
        )
        begun = time.monotonic()
        try:
            cast.run("migrate")
            observer.start()
            cast.run("load")
            cast.begin()
            judge = threading.Thread(
                target=self._judge, args=(oracle, observer, striking), name="judge", daemon=True
            )
            judge.start()
            cast.act()
            self._settled = time.monotonic() + STARTING
            self._strike(striking, oracle)
            self._rest(cast)
            self._over.set()
            judge.join(LATE)
        finally:
            cast.end()
            observer.stop()
        self._accuse_refusals(oracle, striking.windows)
        return Report(
            seed=self.seed,
            seconds=time.monotonic() - begun,
            max_lag=self.max_lag,
            rule=self.rule,
            oracle=oracle,
            writes=self._writes,
            failed_writes=self._failed_writes,
            failed_reads=self._failed_reads,
            faults=Counter(window.name for window in striking.windows),
            changes=observer.changes,
            undone=observer.undone,
            violations=oracle.violations,
        )

    def _strike(self, striking: Faults, oracle: Checker) -> None:
        """Let faults strike one after the other until the time is over."""
        deadline, told = time.monotonic() + self.seconds, time.monotonic()
        while (now := time.monotonic()) < deadline and not (self.until_wrong and oracle.violations):
            if self.faults:
                name = striking.chance.choice(self.faults)
                try:
                    striking.strike(name)
                except (redis.RedisError, psycopg.Error, OSError) as error:
                    self.say(f"the fault {name} did not go as planned: {error}")
            if now - told > 60:
                told = now
                self.say(
                    f"{oracle.judged:,} judged, {len(oracle.violations)} violations, {deadline - now:.0f} s to go"
                )
            time.sleep(min(striking.chance.uniform(0.5, self.apart), max(0.0, deadline - time.monotonic())))

    def _rest(self, cast: Processes) -> None:
        """Let nobody write; what is read then has to be what is there."""
        for name in cast.named("writer"):
            cast.kill(name)
        time.sleep(self.max_lag + 2)
        for name in cast.named("reader"):
            cast.kill(name)

    def _hear(self, said: dict[str, Any]) -> None:
        match said.pop("kind"):
            case "answer":
                said["own"] = [tuple(row) for row in said["own"]]
                self._answers.append(Answer(**said))
            case "write":
                counts = self._failed_writes if said["error"] else self._writes
                counts[said["act"] + (f": {said['error'][:60]}" if said["error"] else "")] += 1
            case "failure":
                self._failed_reads[said["error"]] += 1
            case "refusal":
                error, why = said.pop("error"), said.pop("why")
                self._failed_reads[error[:90]] += 1
                self._refusals.append((Answer(**said, facts=[]), error, why))

    def _judge(self, oracle: Checker, observer: Observer, striking: Faults) -> None:
        """Judge answers in the order of their arrival, each once the observer looked after it."""
        while not (self._over.is_set() and not self._answers):
            if not self._answers:
                time.sleep(0.01)
                continue
            with observer.lock:
                while self._answers and self._answers[0].got < oracle.history.looked:
                    answer = self._answers.popleft()
                    stalled = _overlap(observer.slow, answer)
                    is_settled = answer.sent > self._settled
                    usual = Limits(cost=self.max_cost + stalled if is_settled else math.inf)
                    self._judge_one(oracle, answer, striking.windows, usual)
            time.sleep(0.02)

    def _judge_one(self, oracle: Checker, answer: Answer, windows: list[Window], usual: Limits) -> None:
        if answer.own and _struck(windows, UNREACHABLE, answer.sent - GRACE, answer.got):
            answer.own.clear()
        known = len(oracle.violations)
        oracle.judge(answer, limits=_limits(windows, answer, usual))
        for number in range(known, min(len(oracle.violations), SCENES)):
            violation = oracle.violations[number]
            oracle.violations[number] = replace(
                violation, scene=look_around(self.database, self.store, violation)
            )

    def _accuse_refusals(self, oracle: Checker, windows: list[Window]) -> None:
        """A read may fail where the database was away, and nowhere else."""
        for answer, error, why in self._refusals:
            if not _struck(windows, NO_DATABASE, answer.sent - GRACE, answer.got):
                violation = Violation(
                    wrong=Wrong.REFUSED,
                    answer=answer,
                    fact=("error", error),
                    states=[],
                    scene=dict(enumerate(why)),
                )
                oracle.violations.append(violation)


def _overlap(slow: Iterable[tuple[float, float]], answer: Answer) -> float:
    """Seconds of the answer's time in which the servers got no processor: a look of the observer was as slow."""
    overlaps = (min(ended, answer.got) - max(begun, answer.sent) for begun, ended in slow)
    return sum(seconds for seconds in overlaps if seconds > 0)


def _limits(windows: list[Window], answer: Answer, usual: Limits) -> Limits:
    """What an answer may cost, by the faults at work in its time.

    While servers are away anything, and while Redis is silent the timeouts of a connection. While Redis is full nobody waits for
    others' fills, which could not be stored.
    """
    if _struck(windows, NO_DATABASE, answer.sent - GRACE, answer.got):
        return Limits(cost=math.inf, waited=math.inf)
    if _struck(windows, SILENT, answer.sent, answer.got):
        return replace(usual, cost=usual.cost + SILENCE)
    if any(w.name in FULL and w.begun + LEARNING < answer.sent < answer.got < w.ended for w in windows):
        return replace(usual, waited=0.0)
    return usual


def _struck(windows: list[Window], names: frozenset[str], begun: float, ended: float) -> bool:
    """Whether one of these faults was at work in that time, or until shortly before."""
    return any(
        window.name in names and window.begun <= ended and window.ended + GRACE >= begun for window in windows
    )
