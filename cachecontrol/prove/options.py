"""The options of a proof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a proof runs. Times are in seconds."""

    seed: int
    """Of all random numbers."""
    seconds: float = 60.0
    """How long faults are injected."""
    faults: tuple[str, ...] = ()
    """Names of the faults to choose from."""
    rule: str = ""
    """The rule of the protocol that is switched off; empty: none. Such a proof stops at the first violation."""
    max_lag: float = 2.0
    max_cost: float = 0.1
    """What an answer may cost in addition to its computation."""
    readers: int = 3
    burst: int = 1
    """Pages that a reader requests at once."""
    writer_pause: float = 0.15
    """Between two writes of a writer, on average."""
    fault_pause: float = 4.0
    """Between two faults, at most."""
