"""The cost of an answer: what it took beyond its computation, measured in the process that answered.

Note [How the cost is measured]. Each read of the cache is timed, and the time of its computation is subtracted. The costs of
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
BEAT = 0.005
"""Seconds between two beats of the thread that notices when the process gets no processor."""


@dataclass(slots=True)
class Cost:
    """Seconds that the reads of one answer took beyond their computations."""

    own: float = 0.0
    waited: float = 0.0
    """Of these, paid from the budget of waiting."""

    def __str__(self) -> str:
        return f"{self.own:.6f} {self.waited:.6f}"

    @classmethod
    def parse(cls, text: str) -> Cost:
        """Read what ``str`` wrote; an empty text is no cost."""
        return cls(*map(float, text.split()))


class _Current(threading.local):
    def __init__(self) -> None:
        self.cost = Cost()


_current = _Current()
_stalls: deque[tuple[float, float]] = deque(maxlen=2000)
"""When the process got no processor, and for how many seconds."""


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure what the reads of this thread cost within the block."""
    _current.cost = cost = Cost()
    begun = time.monotonic()
    yield cost
    cost.own = max(0.0, cost.own - cost.waited - _stalled(begun, time.monotonic()))


def install() -> None:
    """Measure every read of this process from now on."""
    engine.read = _timed(engine.read)  # type: ignore[assignment]
    leases.RunningFill.wait = _free(leases.RunningFill.wait)  # type: ignore[method-assign]
    budget.charge = _counted(budget.charge)  # type: ignore[assignment]
    threading.Thread(target=_beat, name="heartbeat", daemon=True).start()


def told_by(application: Application) -> Application:
    """Let each response of a WSGI application tell its cost in a header."""

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, (HEADER, str(cost))], *rest)

        with measured() as cost:
            told: list[Any] = []
            body = application(environ, lambda *arguments: told.extend(arguments))
        start(*told)
        return body

    return answer


def _timed(get: Callable[[Any], Any]) -> Callable[[Any], Any]:
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
            return get(replace(request, compute=compute))
        finally:
            _current.cost.own += time.monotonic() - begun - computing

    return timed


def _free(wait: Callable[..., None]) -> Callable[..., None]:
    def waiting(fill: leases.RunningFill, seconds: float) -> None:
        begun = time.monotonic()
        wait(fill, seconds)
        _current.cost.own -= time.monotonic() - begun

    return waiting


def _counted(charge: Callable[[float], None]) -> Callable[[float], None]:
    def counted(seconds: float) -> None:
        _current.cost.waited += seconds
        charge(seconds)

    return counted


def _beat() -> None:
    while True:
        begun = time.monotonic()
        time.sleep(BEAT)
        ended = time.monotonic()
        if ended - begun > 2 * BEAT:
            _stalls.append((ended, ended - begun - BEAT))


def _stalled(begun: float, ended: float) -> float:
    """Seconds of this time in which the process got no processor."""
    overlaps = (min(at, ended) - max(at - lag, begun) for at, lag in list(_stalls) if at > begun)
    return sum(filter(lambda seconds: seconds > 0, overlaps))
