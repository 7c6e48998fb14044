"""The judge: hands each answer to the checker, once the observer has recorded everything that the answer can have shown."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cachecontrol.prove import tolerance
from cachecontrol.prove.checker import Limits
from cachecontrol.prove.faults.injector import Effect
from cachecontrol.prove.forensics import evidence

if TYPE_CHECKING:
    from cachecontrol.prove.checker import Answer, Checker, Violation
    from cachecontrol.prove.faults.injector import FaultWindow
    from cachecontrol.prove.installation import Installation
    from cachecontrol.prove.observer import Observer
    from cachecontrol.prove.results import Results

EXAMINED = 20
"""Violations for which evidence is collected."""
LATEST = 90.0
"""Seconds that the last answers wait for the observer, which a restart of PostgreSQL can delay."""


@dataclass(slots=True, kw_only=True)
class Judge:
    """Judges the answers of a proof in the order of their arrival, in a thread."""

    installation: Installation
    checker: Checker
    observer: Observer
    results: Results
    windows: list[FaultWindow]
    """When which fault was active. Grows during the proof."""
    max_cost: float
    """Seconds that an answer may cost."""
    costs_count_from: float = math.inf
    """The time of the question from which on costs are judged. At first, all processes load and connect."""
    _is_over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Judge in a thread from now on."""
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Judge the answers that are left, and the reads that failed."""
        self._is_over.set()
        if self._thread:
            self._thread.join(LATEST)
        for violation in self.results.errors:
            if not tolerance.was_affected(self.windows, Effect.NO_DATABASE, violation.answer):
                self.checker.violations.append(violation)

    def _run(self) -> None:
        answers = self.results.answers
        while answers or not self._is_over.is_set():
            with self.observer.history_lock:
                while answers and answers[0].received_at < self.checker.history.complete_until:
                    self._judge(answers.popleft())
            time.sleep(0.02)

    def _judge(self, answer: Answer) -> None:
        if answer.own_writes and tolerance.was_affected(self.windows, Effect.MOVES_LOST, answer):
            answer = replace(answer, own_writes=())
        violations = self.checker.violations
        first = len(violations)
        self.checker.judge(answer, limits=self._limits(answer))
        for number in range(first, min(len(violations), EXAMINED)):
            violations[number] = self._with_evidence(violations[number])

    def _with_evidence(self, violation: Violation) -> Violation:
        report = evidence(self.installation.database_url, self.installation.redis_url, violation)
        return replace(violation, evidence=report)

    def _limits(self, answer: Answer) -> Limits:
        """Return the limits for an answer. Most answers cost so little that faults and stalls need not be looked up."""
        if answer.cost <= self.max_cost and not answer.waited:
            return Limits(cost=self.max_cost)
        cost = self.max_cost if answer.asked_at > self.costs_count_from else math.inf
        cost += tolerance.stalled_seconds(self.observer.slow_polls, answer)
        cost += tolerance.suspended_seconds(self.windows, answer)
        return tolerance.cost_limits(
            self.windows, answer, Limits(cost=cost, waited=self.installation.max_wait)
        )
