"""The database router of the proof: its readers and pages read from the primary and from the replica."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from django.conf import settings

REPLICA_SHARE = 0.3
"""The share of reads that go to the replica while there is one."""


class Router:
    """Chooses a server for each read, also within one page, as a load balancer does."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        """Return the replica or the primary, by chance. The socket of a replica that is away does not exist."""
        socket = Path(settings.DATABASES["replica"]["HOST"])
        is_there = random.random() < REPLICA_SHARE and socket.exists()  # noqa: S311  # chance, not secrecy
        return "replica" if is_there else "default"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"

    def allow_relation(self, *objects: Any, **hints: Any) -> bool:
        return True
