"""The history: which version of which row was visible when, as the observer saw it.

Note [Why bounds, not times]. A commit became visible at some time between the start of the last poll that did not show it and
the end of the first poll that did. So every time in the history is an interval, a few milliseconds long. Each judgement takes
the end of it that favours the answer, so that an answer is called wrong only if it is wrong in every case.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RETENTION = 180.0
"""Seconds for which superseded states are kept."""
LONGEST_SUMS = 2000
"""States of the sums of one shelf that are kept at most."""


class Interval(NamedTuple):
    """A time from ``begin`` to ``end``, in seconds of the machine's monotonic clock."""

    begin: float
    end: float


class RowChange(NamedTuple):
    """A new version of a row, as the database recorded it."""

    xid: int
    application: str
    """``application_name`` of the session that wrote it."""
    kind: str
    pk: int
    version: int
    shelf: int | None
    """None: the row was deleted."""


NEVER = Interval(float("inf"), float("inf"))
BEFORE_ALL = Interval(float("-inf"), float("-inf"))
UNKNOWN_COUNT = -1
"""A count that may have been any."""


@dataclass(slots=True)
class RowState:
    """A version of a row, with the bounds of the times at which it became visible and was superseded."""

    version: int | None
    """None: the row did not exist."""
    shelf: int | None
    visible: Interval
    superseded: Interval = NEVER
    application: str = ""
    xid: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the state in plain values, for a report."""
        return {
            "version": self.version,
            "shelf": self.shelf,
            "visible": self.visible,
            "superseded": self.superseded,
            "by": self.application,
            "xid": self.xid,
        }


@dataclass(frozen=True, slots=True)
class Sums:
    """The number of items on a shelf and the sum of their versions, with the bounds of when that became visible."""

    visible: Interval
    count: int
    total: int


@dataclass(slots=True)
class History:
    """The states of all rows of the proof."""

    rows: dict[tuple[str, int], list[RowState]] = field(default_factory=dict)
    """By kind and pk, the oldest first."""
    shelves: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))
    """The items on each shelf now."""
    sums: defaultdict[int, list[Sums]] = field(default_factory=lambda: defaultdict(list))
    """By shelf, the oldest first."""
    complete_until: float = float("-inf")
    """When the last poll began: every commit that was visible before is recorded."""

    def states(self, kind: str, pk: int) -> list[RowState]:
        """Return the states of a row that are kept, the oldest first."""
        if (states := self.rows.get((kind, pk))) is None:
            states = self.rows[kind, pk] = [RowState(None, None, BEFORE_ALL)]
        return states

    def record(self, poll: Interval, changes: Iterable[RowChange]) -> None:
        """Record the changes, in their order, that a poll was the first to show. See Note [Why bounds, not times]."""
        bounds = Interval(self.complete_until, poll.end)
        transactions: defaultdict[int, set[int]] = defaultdict(set)
        for change in changes:
            if change.kind == "item":
                for shelf in self._move(change.pk, change.shelf):
                    transactions[shelf].add(change.xid)
            self._supersede(change, bounds)
        for shelf, xids in transactions.items():
            self._add_sums(shelf, bounds, commits=len(xids))
        self.complete_until = poll.begin

    def _supersede(self, change: RowChange, bounds: Interval) -> None:
        """Add a state. An earlier version of the same transaction was never visible and is removed."""
        states = self.states(change.kind, change.pk)
        if states[-1].xid == change.xid:
            states.pop()
        states[-1].superseded = bounds
        version = None if change.shelf is None else change.version
        states.append(RowState(version, change.shelf, bounds, application=change.application, xid=change.xid))
        oldest = bounds.end - RETENTION
        if states[0].superseded.end < oldest:
            states[:] = [state for state in states if state.superseded.end >= oldest]

    def _move(self, pk: int, shelf: int | None) -> set[int]:
        """Put an item on a shelf, or on none, and return the shelves whose items changed."""
        before = self.states("item", pk)[-1].shelf
        if before is not None:
            self.shelves[before].discard(pk)
        if shelf is not None:
            self.shelves[shelf].add(pk)
        return {changed for changed in (before, shelf) if changed is not None}

    def _add_sums(self, shelf: int, bounds: Interval, *, commits: int) -> None:
        """Record the sums of a shelf. Between several commits of one poll they may have been any."""
        versions = [self.rows["item", pk][-1].version or 0 for pk in self.shelves[shelf]]
        sums = self.sums[shelf]
        if commits > 1:
            sums.append(Sums(bounds, UNKNOWN_COUNT, 0))
        sums.append(Sums(bounds, len(versions), sum(versions)))
        if len(sums) > LONGEST_SUMS:
            del sums[: LONGEST_SUMS // 2]

    def superseded_at(
        self, kind: str, pk: int, version: int | None, shelf: int | None, window: Interval
    ) -> float | None:
        """Return when the latest state of a row with this version and shelf was superseded, at the latest.

        None if the row had no such state within ``window``, the time of which the answer may speak.
        """
        for state in reversed(self.states(kind, pk)):
            if state.superseded.end < window.begin:
                return None
            if state.version == version and state.shelf == shelf and state.visible.begin <= window.end:
                return state.superseded.end
        return None

    def absence_superseded_at(self, pk: int, shelf: int, window: Interval) -> float | None:
        """Return the same for the latest state in which an item was not on a shelf."""
        for state in reversed(self.states("item", pk)):
            if state.superseded.end < window.begin:
                return None
            if state.shelf != shelf and state.visible.begin <= window.end:
                return state.superseded.end
        return None

    def sums_within(self, shelf: int, window: Interval) -> Iterator[tuple[float, Sums]]:
        """Yield the sums that a shelf had within ``window``, each with when it was superseded, at the latest."""
        superseded = float("inf")
        for sums in reversed(self.sums[shelf]):
            if superseded < window.begin:
                return
            if sums.visible.begin <= window.end:
                yield superseded, sums
            superseded = sums.visible.end
        if superseded >= window.begin:
            yield superseded, Sums(BEFORE_ALL, 0, 0)
