"""Pages that are not shared: each visitor's own request has to be answered. A process remembers them for a while."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

SECONDS = 60.0
"""How long a page is remembered. Then one request finds out whether it may be shared by now."""
PAGES = 1000
"""How many are remembered at most, so that a flood of invented paths fills no memory."""


class Personal:
    """The pages of one process that were found not to be shared lately, each with the reason."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[Hashable, tuple[float, str]] = {}

    def reason(self, page: Hashable) -> str:
        """Why this page is not shared; empty if it may be."""
        if not self._reasons:
            return ""
        until, reason = self._reasons.get(page, (0.0, ""))
        return reason if time.monotonic() < until else ""

    def remember(self, page: Hashable, reason: str) -> None:
        """Note that this page is not shared. The one that was noted longest ago makes room."""
        with self._lock:
            self._reasons.pop(page, None)
            while len(self._reasons) >= PAGES:
                del self._reasons[next(iter(self._reasons))]
            self._reasons[page] = (time.monotonic() + SECONDS, reason)
