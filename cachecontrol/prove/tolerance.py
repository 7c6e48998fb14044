"""What the proof tolerates because of the faults that were active, and because of a machine that had no processor left."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cachecontrol.prove.checker import Limits
from cachecontrol.prove.faults.injector import Effect

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cachecontrol.prove.checker import Answer
    from cachecontrol.prove.faults.injector import FaultWindow
    from cachecontrol.prove.history import Interval

GRACE = {
    Effect.NO_DATABASE: 10.0,
    Effect.MOVES_LOST: 10.0,
    Effect.WEB_SUSPENDED: 0.0,
    Effect.REDIS_SILENT: 5.0,
    Effect.REDIS_FULL: 0.0,
}
"""Seconds after a fault in which its effects are still tolerated."""
SILENCE = 0.5
"""Seconds that a silent Redis may cost an answer: two timeouts of a connection."""
LEARNING = 1.0
"""Seconds after which every process knows that Redis is full."""


def was_affected(windows: Iterable[FaultWindow], effect: Effect, answer: Answer) -> bool:
    """Whether a fault with this effect was active between the question and the answer, or until shortly before."""
    return any(
        window.has(effect)
        and window.begun <= answer.received_at
        and answer.asked_at <= window.ended + GRACE[effect]
        for window in windows
    )


def cost_limits(windows: Iterable[FaultWindow], answer: Answer, usual: Limits) -> Limits:
    """Return the limits for an answer, by the faults that were active in its time.

    Without a database there is none. A silent Redis may cost its timeouts. While Redis is full nothing is waited for, since the
    fills of others could not be stored.
    """
    if was_affected(windows, Effect.NO_DATABASE, answer):
        return Limits(cost=math.inf, waited=math.inf)
    if was_affected(windows, Effect.REDIS_SILENT, answer):
        return replace(usual, cost=usual.cost + SILENCE)
    if any(
        window.has(Effect.REDIS_FULL)
        and window.begun + LEARNING < answer.asked_at < answer.received_at < window.ended
        for window in windows
    ):
        return replace(usual, waited=0.0)
    return usual


def stalled_seconds(slow_polls: Iterable[Interval], answer: Answer) -> float:
    """Return the seconds of an answer's time in which the servers got no processor: a poll of the observer was slow too."""
    return sum(_overlap(answer, poll.begin, poll.end) for poll in slow_polls)


def suspended_seconds(windows: Iterable[FaultWindow], answer: Answer) -> float:
    """Return the seconds of an answer's time in which a worker of the web server was suspended, if the answer is a page."""
    if not answer.request.startswith("/"):
        return 0.0
    suspended = (window for window in windows if window.has(Effect.WEB_SUSPENDED))
    return sum(_overlap(answer, window.begun, window.ended) for window in suspended)


def _overlap(answer: Answer, begin: float, end: float) -> float:
    return max(0.0, min(end, answer.received_at) - max(begin, answer.asked_at))
