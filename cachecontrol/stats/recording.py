"""Count what the cache did, off the read path.

To record appends one tuple to a deque (0.3 µs): no lock, no round trip, nothing that can raise. A daemon thread in each
process sends the counts to Redis each second (see ``sender``).
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cachecontrol.stats import sender
from cachecontrol.stats.batch import Batch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from cachecontrol.core.dependency import Dependency
    from cachecontrol.core.recipe import Recipe


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """One read of the cache, as the trace of a request shows it."""

    policy: str
    outcome: str
    reason: str
    seconds: float
    key: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RefusalRecord:
    """One computed value that was not stored."""

    policy: str
    reason: str
    detail: str


@dataclass(slots=True)
class Trace:
    """Everything recorded in this context since the trace began."""

    reads: list[ReadRecord] = field(default_factory=list)
    refusals: list[RefusalRecord] = field(default_factory=list)


_trace: ContextVar[Trace | None] = ContextVar("cachecontrol_trace", default=None)
_muted: ContextVar[bool] = ContextVar("cachecontrol_muted", default=False)


def record_read(
    policy: str,
    outcome: str,
    reason: str | None,
    seconds: float,
    *,
    key: str = "",
    recipe: Recipe | None = None,
    tags: Iterable[Dependency] = (),
) -> None:
    """Count one read of the cache that took ``seconds``. Never raises, never waits.

    Without a ``recipe``, by which the warm job can fill the entry, the key does not count among the hot keys. ``tags`` appear
    in the trace of a request alone.
    """
    if _muted.get():
        return
    sender.reads.append((policy, outcome, reason or "", seconds, key, recipe))
    trace = _trace.get()
    if trace is not None:
        trace.reads.append(ReadRecord(policy, outcome, reason or "", seconds, key, tuple(map(str, tags))))
    sender.keep_up()


def record_refusal(policy: str, reason: str, detail: str = "") -> None:
    """Count a computed value that was not stored. The dashboard shows the last ``detail``, such as the SQL at fault."""
    if _muted.get():
        return
    sender.additions.append((Batch.add_refusal, policy, reason, detail))
    trace = _trace.get()
    if trace is not None:
        trace.refusals.append(RefusalRecord(policy, reason, detail))
    sender.keep_up()


def count(name: str, n: int = 1) -> None:
    """Add ``n`` to a named counter."""
    sender.additions.append((Batch.add_count, name, n))
    sender.keep_up()


@contextmanager
def muted() -> Iterator[None]:
    """Count no reads and refusals within this block, as those of jobs are no visitor's. Named counters go on."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


@contextmanager
def trace() -> Iterator[Trace]:
    """Collect what is recorded in this context until the end of the block."""
    token = _trace.set(collected := Trace())
    try:
        yield collected
    finally:
        _trace.reset(token)


def flush() -> bool:
    """Send all that was recorded so far. Return whether Redis has all of it."""
    return sender.flush()
