"""The checker: decides whether an answer was true at some time of which it may speak.

An answer that was asked for at ``asked_at`` and arrived at ``received_at`` may show each row as it was visible at any time
between ``asked_at - max_lag`` and ``received_at``. ``ViolationKind`` lists how an answer can be wrong.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cachecontrol.prove.facts import RowVersion
from cachecontrol.prove.history import UNKNOWN_COUNT, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cachecontrol.prove.facts import Fact
    from cachecontrol.prove.history import History

LATEST_STATES = 12
"""States of a row that a violation shows."""


class ViolationKind(StrEnum):
    """How an answer can be wrong."""

    STALE = "stale"
    """It shows a row that was superseded more than ``max_lag`` seconds before the question."""
    UNCOMMITTED = "uncommitted"
    """It shows a version that was not committed when it arrived."""
    OWN_WRITE = "own write not shown"
    """It shows an older version than the one that its reader had committed."""
    LEAK = "data of another visitor"
    ERROR = "error"
    """It is an error although the database was available."""
    COST = "too slow"
    """The cache took longer than ``Limits`` allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of the cache, as its reader reports it. Times are seconds of the machine's monotonic clock."""

    asked_at: float
    received_at: float
    facts: Sequence[Fact]
    client: str
    """The process that asked."""
    request: str
    """The path of the page, or a description of the query."""
    outcome: str = ""
    """``local`` or ``hit`` (in Redis), ``miss`` or ``bypass``; ``own`` for the reads of writers."""
    own_writes: Sequence[RowVersion] = ()
    """Rows that the reader itself had committed before it asked."""
    cost: float = 0.0
    """Seconds that the cache took in addition to the computation and without ``waited``."""
    waited: float = 0.0
    """Seconds that were charged to the waiting budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A wrong answer, and what is known about it."""

    kind: ViolationKind
    answer: Answer
    fact: Fact
    """The fact that is wrong; ``("cost", seconds)``, ``("waited", seconds)`` or ``("error", text)``."""
    states: list[dict[str, Any]] = field(default_factory=list)
    """The latest states of the row."""
    evidence: dict[Any, Any] = field(default_factory=dict)
    """The clock, tags and changes when the answer was judged; the lines of the traceback of an error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long the cache may take for an answer, in seconds."""

    cost: float = 0.1
    """In addition to the computation, without waiting."""
    waited: float = 0.2
    """Waiting for fills of other processes and for drains. Up to ``cost`` more is tolerated."""


@dataclass(slots=True)
class Checker:
    """Judges answers by the history, and counts them."""

    history: History
    max_lag: float
    judged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    staleness: Counter[int] = field(default_factory=Counter)
    """Number of answers by the milliseconds for which they were superseded when they were asked for; 0 if they were not."""
    costs: Counter[int] = field(default_factory=Counter)
    """Number of answers by their cost in milliseconds."""
    violations: list[Violation] = field(default_factory=list)

    def judge(self, answer: Answer, *, limits: Limits = Limits()) -> None:  # it is frozen
        """Judge the facts and the cost of an answer. The history has to be complete until the answer's arrival."""
        self.judged += 1
        self.outcomes[answer.outcome] += 1
        self._judge_facts(answer)
        for row in map(RowVersion._make, answer.own_writes):
            if not self._shows_own_write(answer, row):
                self._add(ViolationKind.OWN_WRITE, answer, row)
        self._judge_cost(answer, limits)

    def _judge_facts(self, answer: Answer) -> None:
        window = Interval(answer.asked_at - self.max_lag, answer.received_at)
        superseded = float("inf")
        for fact in answer.facts:
            verdict = self._judge_fact(fact, window)
            if isinstance(verdict, ViolationKind):
                self._add(verdict, answer, fact)
            else:
                superseded = min(superseded, verdict)
        self.staleness[int(max(0.0, answer.asked_at - superseded) * 1000)] += 1

    def _judge_cost(self, answer: Answer, limits: Limits) -> None:
        self.costs[int(answer.cost * 1000)] += 1
        if answer.cost > limits.cost:
            self._add(ViolationKind.COST, answer, ("cost", round(answer.cost, 3)))
        if answer.waited > limits.waited + limits.cost:
            self._add(ViolationKind.COST, answer, ("waited", round(answer.waited, 3)))

    def _add(self, kind: ViolationKind, answer: Answer, fact: Fact) -> None:
        states = (
            self.history.states(fact[0], fact[1])[-LATEST_STATES:] if fact[0] in ("item", "shelf") else []
        )
        as_dicts = [state.as_dict() for state in states]
        self.violations.append(Violation(kind=kind, answer=answer, fact=tuple(fact), states=as_dicts))

    def _judge_fact(self, fact: Fact, window: Interval) -> float | ViolationKind:
        """Return when the state that a fact shows was superseded, or how the fact is wrong."""
        match fact:
            case ("who", name):
                return float("inf") if name is None else ViolationKind.LEAK
            case ("item", pk, version, shelf):
                return self._judge_row("item", pk, version, shelf, window)
            case ("shelf", pk, version):
                return self._judge_row("shelf", pk, version, None if version is None else 0, window)
            case ("list", shelf, rows):
                return self._judge_list(shelf, rows, window)
            case ("sum", shelf, count, total):
                return self._judge_sums(shelf, count, total, window)
        raise ValueError(f"not a fact: {fact}")

    def _judge_row(
        self, kind: str, pk: int, version: int | None, shelf: int | None, window: Interval
    ) -> float | ViolationKind:
        superseded = self.history.superseded_at(kind, pk, version, shelf, window)
        if superseded is not None:
            return superseded
        visible = [state for state in self.history.states(kind, pk) if state.visible.begin <= window.end]
        is_later = version is not None and version > max(state.version or 0 for state in visible)
        return ViolationKind.UNCOMMITTED if is_later else ViolationKind.STALE

    def _judge_list(self, shelf: int, rows: dict[int, int], window: Interval) -> float | ViolationKind:
        superseded = float("inf")
        for pk, version in rows.items():
            verdict = self._judge_row("item", pk, version, shelf, window)
            if isinstance(verdict, ViolationKind):
                return verdict
            superseded = min(superseded, verdict)
        for pk in self.history.shelves[shelf] - rows.keys():
            absence = self.history.absence_superseded_at(pk, shelf, window)
            if absence is None:
                return ViolationKind.STALE
            superseded = min(superseded, absence)
        return superseded

    def _judge_sums(self, shelf: int, count: int, total: int, window: Interval) -> float | ViolationKind:
        for superseded, sums in self.history.sums_within(shelf, window):
            if sums.count == UNKNOWN_COUNT or (sums.count, sums.total) == (count, total):
                return superseded
        return ViolationKind.STALE

    def _shows_own_write(self, answer: Answer, row: RowVersion) -> bool:
        """Whether an answer shows this version of a row or a later one, or does not show the row at all."""
        shown = _versions_shown(answer.facts, row.kind, row.pk)
        if shown is None:
            return True
        versions = [state.version for state in self.history.states(row.kind, row.pk)]
        if row.version not in versions:
            return True
        return any(version in shown for version in versions[versions.index(row.version) :])


def _versions_shown(facts: Sequence[Fact], kind: str, pk: int) -> set[int] | None:
    """Return the versions of a row in facts; None if no fact shows the row."""
    versions = set()
    for fact in facts:
        if fact[0] == kind and fact[1] == pk and fact[2] is not None:
            versions.add(fact[2])
        if kind == "item" and fact[0] == "list" and pk in fact[2]:
            versions.add(fact[2][pk])
    return versions or None
