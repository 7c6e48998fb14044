"""What the proof tells each process that it starts, in variables of the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Any, Self

VARIABLES = {
    "rule": "LARDER_PROVE_BREAK",
    "clock_shift": "LARDER_PROVE_SHIFT",
    "drain_pause": "LARDER_PROVE_PAUSE",
    "max_lag": "LARDER_PROVE_MAX_LAG",
    "redis_url": "LARDER_PROVE_REDIS_URL",
    "replica_url": "LARDER_PROVE_REPLICA",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnvironment:
    """The variables of one process. A variable that is missing or empty has the default."""

    rule: str = ""
    """The rule of the protocol that is switched off; empty: none."""
    clock_shift: float = 0.0
    """Seconds that the wall clock of the process is wrong by."""
    drain_pause: float = 0.0
    """Seconds that each drain pauses before it moves tags."""
    max_lag: float = 2.0
    """``MAX_LAG``, in seconds."""
    redis_url: str = ""
    """The Redis of the cache; empty: the one that the project's settings name."""
    replica_url: str = ""
    """The replica that the process reads from as well; empty: none."""

    def variables(self) -> dict[str, str]:
        """Return the variables by name."""
        return {VARIABLES[field.name]: str(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def read(cls) -> Self:
        """Return what the environment of this process says."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            if text := os.environ.get(VARIABLES[field.name]):
                values[field.name] = float(text) if isinstance(field.default, float) else text
        return cls(**values)
