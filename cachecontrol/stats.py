"""Count what the cache did, off the read path.

Recording appends one tuple to a deque (0.3 µs): no lock, no round trip, nothing that can raise. A daemon
thread in each process sends the counts to Redis each second (see ``recorder``).
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cachecontrol import recorder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True, slots=True)
class Read:
    """One read of the cache, as the trace of a request shows it."""

    policy: str
    outcome: str
    reason: str
    seconds: float
    key: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One computed value that was not stored."""

    policy: str
    reason: str
    detail: str


@dataclass(slots=True)
class Trace:
    """Everything recorded in this context since the trace began."""

    reads: list[Read] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)


_trace: ContextVar[Trace | None] = ContextVar("cachecontrol_trace", default=None)
_muted: ContextVar[bool] = ContextVar("cachecontrol_muted", default=False)


def record(
    policy: str,
    outcome: str,
    reason: str,
    seconds: float,
    *,
    key: str = "",
    recipe: dict[str, Any] | None = None,
    tags: Iterable[str] = (),
) -> None:
    """Count one read of the cache that took ``seconds``.

    ``recipe`` (plain values: path, params, vary) is what it takes to warm the entry ``key``; without it the
    key does not compete for the hot keys. ``tags`` serve the trace alone. Never raises, never waits.
    """
    if _muted.get():
        return
    recorder.reads.append((policy, outcome, reason, seconds, key, recipe))
    trace = _trace.get()
    if trace is not None:
        trace.reads.append(Read(policy, outcome, reason, seconds, key, tuple(tags)))
    recorder.wake()


def refused(policy: str, reason: str, detail: str = "") -> None:
    """Count a computed value that was not stored; the last ``detail``, such as the SQL to blame, is kept."""
    if _muted.get():
        return
    recorder.others.append((recorder.add_refusal, policy, reason, detail))
    trace = _trace.get()
    if trace is not None:
        trace.refusals.append(Refusal(policy, reason, detail))
    recorder.wake()


def count(name: str, n: int = 1) -> None:
    """Add to a named counter."""
    recorder.others.append((recorder.add_count, name, n))
    recorder.wake()


@contextmanager
def muted() -> Iterator[None]:
    """Count no reads and refusals in this context: those of the keepers are no visitor's. Counters go on."""
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
    """Send what is counted so far; return whether Redis has all of it."""
    return recorder.flush()
