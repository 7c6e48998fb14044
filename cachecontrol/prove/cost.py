"""The cost of an answer: the time that the cache takes in addition to the computation, measured in the process that answers.

Note [Why the cost is measured where the answer is made]. Each read of the cache is timed, and the time of its computation is
subtracted. The costs of
nested reads are added up. Three times do not count: waiting for a fill of the same process, since this is the computation of
the answer; waiting that is charged to the budget, which has its own limit; and times in which the process was not scheduled,
which a background thread measures by how late it wakes up.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cachecontrol import engine
from cachecontrol.limits import budget
from cachecontrol.redis import leases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    StartResponse = Callable[..., Any]
    Application = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

HEADER = "X-Cache-Cost"
HEARTBEAT = 0.005
"""Seconds between two heartbeats of the thread that notices when the process gets no processor."""


@dataclass(slots=True)
class Cost:
    """Seconds that the reads of one answer took in addition to their computations."""

    added: float = 0.0
    """Without ``waited``, once the measurement has ended."""
    waited: float = 0.0
    """Charged to the waiting budget."""

    def __str__(self) -> str:
        return f"{self.added:.6f} {self.waited:.6f}"

    @classmethod
    def parse(cls, text: str) -> Cost:
        """Return the cost that ``str`` wrote. An empty text is no cost."""
        return cls(*map(float, text.split()))


class _Current(threading.local):
    def __init__(self) -> None:
        self.cost = Cost()


_current = _Current()
_stalls: deque[tuple[float, float]] = deque(maxlen=2000)
"""When the process was scheduled again, and for how many seconds it had not been."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure the cost of this thread's reads within the block.

    See Note [Why the cost is measured where the answer is made].
    """
    _current.cost = cost = Cost()
    begun = time.monotonic()
    yield cost
    cost.added = max(0.0, cost.added - cost.waited - _stalled(begun, time.monotonic()))


def install() -> None:
    """Time every read of this process from now on."""
    engine.read = _timed(engine.read)  # type: ignore[assignment]
    engine.find = _timed_find(engine.find)
    leases.RunningFill.wait = _uncharged(leases.RunningFill.wait)  # type: ignore[method-assign]
    budget.charge = _recorded(budget.charge)  # type: ignore[assignment]
    threading.Thread(target=_measure_stalls, name="heartbeat", daemon=True).start()


def with_cost_header(application: Application) -> Application:
    """Return a WSGI application whose responses have a header with their cost."""

    def wrapper(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        start: list[Any] = []
        with measured() as cost:
            body = application(environ, lambda *arguments: start.extend(arguments))
        status, headers, *rest = start
        start_response(status, [*headers, (HEADER, str(cost))], *rest)
        return body

    return wrapper


def _timed(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Let ``engine.read`` add its time to the cost, without that of the computation."""

    def timed(request: Any) -> Any:
        computing = 0.0

        def compute() -> Any:
            nonlocal computing
            begun = time.monotonic()
            try:
                return request.compute()
            finally:
                computing += time.monotonic() - begun

        begun = time.monotonic()
        try:
            return read(replace(request, compute=compute))
        finally:
            _current.cost.added += time.monotonic() - begun - computing

    return timed


def _timed_find(find: Callable[..., Any]) -> Callable[..., Any]:
    """Let ``engine.find``, which computes nothing, add its time to the cost."""

    def timed(*arguments: Any, **named: Any) -> Any:
        begun = time.monotonic()
        try:
            return find(*arguments, **named)
        finally:
            _current.cost.added += time.monotonic() - begun

    return timed


def _uncharged(wait: Callable[..., None]) -> Callable[..., None]:
    """Subtract from the cost what a thread waits for a fill of its process."""

    def waiting(fill: leases.RunningFill, seconds: float) -> None:
        begun = time.monotonic()
        wait(fill, seconds)
        _current.cost.added -= time.monotonic() - begun

    return waiting


def _recorded(charge: Callable[[float], None]) -> Callable[[float], None]:
    """Record what is charged to the waiting budget."""

    def recorded(seconds: float) -> None:
        _current.cost.waited += seconds
        charge(seconds)

    return recorded


def _measure_stalls() -> None:
    while True:
        begun = time.monotonic()
        time.sleep(HEARTBEAT)
        ended = time.monotonic()
        if ended - begun > 2 * HEARTBEAT:
            _stalls.append((ended, ended - begun - HEARTBEAT))


def _stalled(begun: float, ended: float) -> float:
    """Return the seconds between these times in which the process was not scheduled."""
    overlaps = (min(at, ended) - max(at - lag, begun) for at, lag in list(_stalls) if at > begun)
    return sum(seconds for seconds in overlaps if seconds > 0)
