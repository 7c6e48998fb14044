"""History: which version of which row was visible when, as an observer saw it from outside.

Note [Why bounds, not times]. When a commit became visible is known only as lying between the beginning of the last look that
did not show it and the end of the first that did. Every judgement takes the bound that is kinder to the answer, so that
a violation is one beyond doubt; looks are a few milliseconds apart.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEPT = 180.0
"""Seconds for which what was superseded is remembered."""


@dataclass(slots=True)
class State:
    """One version of one row and the bounds of when it became visible and when it was superseded."""

    version: int | None
    """None: the row is not there."""
    shelf: int | None
    since: tuple[float, float]
    until: tuple[float, float] = (float("inf"), float("inf"))
    who: str = ""
    xid: int = 0

    def told(self) -> dict[str, Any]:
        """The state in plain values, for a report."""
        return {
            "version": self.version,
            "shelf": self.shelf,
            "visible": self.since,
            "superseded": self.until,
            "by": self.who,
            "xid": self.xid,
        }


ANYTHING = -1
"""A count that fits every answer."""
BEFORE_ALL = (float("-inf"), float("-inf"))


@dataclass(slots=True)
class History:
    """All rows of the proof. Times are seconds of the machine's monotonic clock."""

    rows: dict[tuple[str, int], list[State]] = field(default_factory=dict)
    shelves: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The items on each shelf now."""
    sums: defaultdict[int, list[tuple[float, float, int, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Of each shelf: from when to when (bounds) it had how many items with how much in versions."""
    looked: float = float("-inf")
    """When the last look began."""

    def states(self, kind: str, pk: int) -> list[State]:
        """All remembered states of a row, the oldest first."""
        if (states := self.rows.get((kind, pk))) is None:
            states = self.rows[kind, pk] = [State(None, None, BEFORE_ALL)]
        return states

    def see(
        self, begun: float, ended: float, changes: Iterable[tuple[int, str, str, int, int, int | None]]
    ) -> None:
        """Take in what a look from ``begun`` to ``ended`` found new: xid, who, kind, pk, version and shelf, in order."""
        bounds = (self.looked, ended)
        touched: defaultdict[int, set[int]] = defaultdict(set)
        for xid, who, kind, pk, version, shelf in changes:
            states = self.states(kind, pk)
            last = states[-1]
            if kind == "item":
                for place in self._move(pk, last.shelf, shelf):
                    touched[place].add(xid)
            if last.xid == xid:  # nobody ever saw what the same transaction wrote before
                states.pop()
                last = states[-1]
            last.until = bounds
            states.append(State(None if shelf is None else version, shelf, bounds, who=who, xid=xid))
            if states[0].until[1] < ended - KEPT:
                states[:] = [state for state in states if state.until[1] >= ended - KEPT]
        for place, transactions in touched.items():
            self._sum(place, bounds, steps=len(transactions))
        self.looked = begun

    def _move(self, pk: int, old: int | None, new: int | None) -> set[int]:
        if old is not None:
            self.shelves[old].discard(pk)
        if new is not None:
            self.shelves[new].add(pk)
        return {shelf for shelf in (old, new) if shelf is not None}

    def _sum(self, shelf: int, bounds: tuple[float, float], *, steps: int) -> None:
        """Note the sums of a shelf. Within one look nobody knows what several commits came to one by one: anything goes."""
        versions = [self.rows["item", pk][-1].version or 0 for pk in self.shelves[shelf]]
        sums = self.sums[shelf]
        if steps > 1:
            sums.append((*bounds, ANYTHING, 0))
        sums.append((*bounds, len(versions), sum(versions)))
        if len(sums) > 2000:
            del sums[:1000]

    def shown(
        self, kind: str, pk: int, version: int | None, shelf: int | None, window: tuple[float, float]
    ) -> float | None:
        """When the latest such state of a row was superseded (the later bound); None: it was in no time of the window.

        ``window`` is when an answer may have been true: from as long ago as it may be stale, to its arrival.
        """
        for state in reversed(self.states(kind, pk)):
            if state.until[1] < window[0]:
                return None
            if state.version == version and state.shelf == shelf and state.since[0] <= window[1]:
                return state.until[1]
        return None

    def away(self, pk: int, shelf: int, window: tuple[float, float]) -> float | None:
        """The same of the latest state in which an item was not on a shelf."""
        for state in reversed(self.states("item", pk)):
            if state.until[1] < window[0]:
                return None
            if state.shelf != shelf and state.since[0] <= window[1]:
                return state.until[1]
        return None

    def sums_possible(self, shelf: int, window: tuple[float, float]) -> Iterator[tuple[float, int, int]]:
        """The sums that a shelf had in the window, each with when it was superseded (the later bound)."""
        until = float("inf")
        for since, seen, count, total in reversed(self.sums[shelf]):
            if until < window[0]:
                return
            if since <= window[1]:
                yield until, count, total
            until = seen
        if until >= window[0]:
            yield until, 0, 0
