"""Unshared pages: pages that differ for each visitor. Each process remembers them for a minute and does not ask the cache."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    from cachecontrol.reasons import Reason


SECONDS = 60.0
"""How long a page is remembered. After that, the next request checks whether it can be shared now."""
PAGES = 1000
"""How many pages are remembered at most, so that requests for invented paths cannot use up the memory."""


class UnsharedPages:
    """The pages that this process recently found to be unshared, each with the reason."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reasons: dict[Hashable, tuple[float, Reason | None]] = {}

    def reason(self, page: Hashable) -> Reason | None:
        """Return why this page is unshared; None if that is not known of it."""
        if not self._reasons:
            return None
        until, reason = self._reasons.get(page, (0.0, None))
        return reason if time.monotonic() < until else None

    def remember(self, page: Hashable, reason: Reason) -> None:
        """Remember that this page is unshared, and why. If there are too many, the one remembered first is forgotten."""
        with self._lock:
            self._reasons.pop(page, None)
            while len(self._reasons) >= PAGES:
                del self._reasons[next(iter(self._reasons))]
            self._reasons[page] = (time.monotonic() + SECONDS, reason)
