"""The oracle: whether an answer was true at some time that it may speak of.

An answer asked for at ``sent`` and received at ``got`` may show what was visible at any time between ``sent - max_lag`` and
``got``. It is wrong if it shows what was superseded by a commit before, what was committed by nobody until ``got``, what is
older than the asker's own commit, or what another visitor sent; or if the cache made it slower than it may.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from cachecontrol.prove.history import ANYTHING

if TYPE_CHECKING:
    from cachecontrol.prove.facts import Fact
    from cachecontrol.prove.history import History


class Wrong(StrEnum):
    """How an answer can be wrong."""

    STALE = "stale"
    UNCOMMITTED = "uncommitted"
    OWN_WRITE = "own write not seen"
    LEAK = "another visitor's"
    REFUSED = "stood in the way"
    SLOW = "cost more than its computation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a reader was told. Times are seconds of the machine's monotonic clock."""

    sent: float
    got: float
    facts: list[Fact]
    reader: str
    asked: str
    """What was asked for, in words."""
    outcome: str = ""
    own: list[tuple[str, int, int]] = field(default_factory=list)
    """Kind, pk and version of rows that the reader itself had committed before."""
    cost: float = 0.0
    """Seconds that the cache took beyond the computation, beside waiting."""
    waited: float = 0.0
    """Seconds that were paid from the budget of waiting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A wrong answer with its history."""

    wrong: Wrong
    answer: Answer
    fact: Fact
    states: list[dict[str, Any]]
    """What the row it speaks of went through."""
    scene: dict[Any, Any] = field(default_factory=dict)
    """The clock, tags and changes as they were when the answer was judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an answer may cost, in seconds."""

    cost: float = 0.1
    """Beyond its computation and beside waiting."""
    waited: float = 0.2
    """For fills of other processes and for drains, which are paid from the budget; up to ``cost`` more is tolerated."""


@dataclass(slots=True)
class Checker:
    """Judges answers by the history, once that knows of everything an answer can have seen."""

    history: History
    max_lag: float
    judged: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    staleness: Counter[int] = field(default_factory=Counter)
    """How many answers were stale by how many whole milliseconds; fresh ones by 0."""
    costs: Counter[int] = field(default_factory=Counter)
    """How many answers cost how many whole milliseconds beyond their computation."""
    violations: list[Violation] = field(default_factory=list)

    def judge(self, answer: Answer, *, limits: Limits = Limits()) -> None:  # it is frozen
        """Judge every fact of an answer, and its cost. The history must have looked after ``answer.got``."""
        window = (answer.sent - self.max_lag, answer.got)
        self.judged += 1
        self.outcomes[answer.outcome] += 1
        superseded = float("inf")
        for fact in answer.facts:
            found = self._fact(fact, window)
            if isinstance(found, Wrong):
                self._accuse(found, answer, fact)
            else:
                superseded = min(superseded, found)
        self.staleness[max(0, int((answer.sent - superseded) * 1000)) if superseded < answer.sent else 0] += 1
        for kind, pk, version in answer.own:
            if not self._sees_own(answer, kind, pk, version):
                self._accuse(Wrong.OWN_WRITE, answer, (kind, pk, version))
        self._judge_cost(answer, limits)

    def _judge_cost(self, answer: Answer, limits: Limits) -> None:
        self.costs[int(answer.cost * 1000)] += 1
        if answer.cost > limits.cost:
            self._accuse(Wrong.SLOW, answer, ("cost", round(answer.cost, 3)))
        if answer.waited > limits.waited + limits.cost:
            self._accuse(Wrong.SLOW, answer, ("waited", round(answer.waited, 3)))

    def _accuse(self, wrong: Wrong, answer: Answer, fact: Fact) -> None:
        pk = fact[1] if isinstance(fact[1], int) else 0
        kind = fact[0] if fact[0] in ("item", "shelf") else ""
        states = [state.told() for state in self.history.states(kind, pk)[-12:]] if kind else []
        self.violations.append(Violation(wrong=wrong, answer=answer, fact=fact, states=states))

    def _fact(self, fact: Fact, window: tuple[float, float]) -> float | Wrong:
        """When what the fact shows was superseded, or what is wrong with it."""
        match fact:
            case ("who", name):
                return float("inf") if name is None else Wrong.LEAK
            case ("item", pk, version, shelf):
                return self._row("item", pk, version, shelf, window)
            case ("shelf", pk, version):
                return self._row("shelf", pk, version, None if version is None else 0, window)
            case ("list", shelf, rows):
                return self._list(shelf, rows, window)
            case ("sum", shelf, count, total):
                return self._sums(shelf, count, total, window)
        raise ValueError(f"not a fact: {fact}")

    def _row(
        self, kind: str, pk: int, version: int | None, shelf: int | None, window: tuple[float, float]
    ) -> float | Wrong:
        until = self.history.shown(kind, pk, version, shelf, window)
        if until is not None:
            return until
        states = self.history.states(kind, pk)
        known = any(
            state.version == version and state.shelf == shelf
            for state in states
            if state.since[0] <= window[1]
        )
        is_new = version is not None and version > max((state.version or 0 for state in states), default=0)
        return Wrong.UNCOMMITTED if is_new and not known else Wrong.STALE

    def _list(self, shelf: int, rows: dict[int, int], window: tuple[float, float]) -> float | Wrong:
        superseded = float("inf")
        for pk, version in rows.items():
            found = self._row("item", pk, version, shelf, window)
            if isinstance(found, Wrong):
                return found
            superseded = min(superseded, found)
        for pk in self.history.shelves[shelf] - rows.keys():
            until = self.history.away(pk, shelf, window)
            if until is None:
                return Wrong.STALE
            superseded = min(superseded, until)
        return superseded

    def _sums(self, shelf: int, count: int, total: int, window: tuple[float, float]) -> float | Wrong:
        for until, *sums in self.history.sums_possible(shelf, window):
            if sums == [count, total] or sums[0] == ANYTHING:
                return until
        return Wrong.STALE

    def _sees_own(self, answer: Answer, kind: str, pk: int, version: int) -> bool:
        """Whether an answer shows the reader's own version of a row, or a later one, or does not speak of it."""
        shown = _shown(answer.facts, kind, pk)
        if shown is None:
            return True
        states = self.history.states(kind, pk)
        own = next((number for number, state in enumerate(states) if state.version == version), None)
        seen = [number for number, state in enumerate(states) if state.version in shown]
        return own is None or (bool(seen) and max(seen) >= own)


def _shown(facts: list[Fact], kind: str, pk: int) -> set[int] | None:
    """The versions of a row that facts show; None if none of them speaks of it."""
    found = set()
    for fact in facts:
        if fact[0] == kind and fact[1] == pk and fact[2] is not None:
            found.add(fact[2])
        if kind == "item" and fact[0] == "list" and pk in fact[2]:
            found.add(fact[2][pk])
    return found or None
