"""Warm: fill the pages that visitors ask for most before anyone finds them missing, moved or at their end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cachecontrol import fetch, hot, keeper, policy, recipes, stats
from cachecontrol.entry import Head
from cachecontrol.exceptions import CacheControlError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cachecontrol.hot import Hot
    from cachecontrol.keeper import Run
    from cachecontrol.policy import Policy

logger = logging.getLogger("cachecontrol")

SECONDS = 20.0
PAGES = 200
"""What one run may take."""
NEAR_END = 0.1
"""The share of a policy's ttl that is too little to leave to an entry."""


def warm(
    policies: Iterable[Policy] | None = None,
    *,
    seconds: float = SECONDS,
    limit: int = PAGES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int | None:
    """Fill the hottest pages that need it; return how many, or None where another process does it already.

    Without ``policies``, those of all that are to be kept warm. At most ``limit`` pages are looked at; ``progress`` is
    called with their number so far and in all. Raises RedisError if Redis does not answer.
    """
    with keeper.alone("warm", seconds=seconds) as run, stats.muted():
        if run is None:
            return None
        recipes.declare()
        _warm(run, candidates(policies, limit), progress)
        return run.done


def candidates(policies: Iterable[Policy] | None, limit: int) -> list[Hot]:
    """The hottest keys of these policies, or of all that are to be kept warm, hottest first."""
    chosen = warmable() if policies is None else policies
    found = [entry for each in chosen for entry in hot.hottest(each.name, limit)]
    return sorted(found, key=lambda entry: -entry.score)[:limit]


def warmable() -> list[Policy]:
    """The policies whose pages are kept warm."""
    return [each for each in policy.policies() if each.kind == "page" and each.warm and each.enabled]


def _warm(run: Run, entries: list[Hot], progress: Callable[[int, int], None]) -> None:
    for index, entry in enumerate(entries):
        if run.is_over_budget:
            run.note(f"out of time after {index} of {len(entries)}")
            return
        try:
            _fill(run, entry)
        except CacheControlError as error:
            run.failed(f"{entry.key}: {error}")
        except Exception as error:
            logger.exception("the entry %s could not be warmed", entry.key)
            run.failed(f"{entry.key}: {type(error).__name__}: {error}")
        progress(index + 1, len(entries))


def _fill(run: Run, entry: Hot) -> None:
    """Fill an entry if it needs it. Counted if it was stored; if not, the run says what the cache said."""
    page = recipes.page_of(entry.key, entry.recipe)
    if page is None or not needs_filling(page.policy, entry.key):
        return
    with fetch.refilling(entry.key):
        said = recipes.asked(page).headers.get("Cache-Status", "not a cached page on this host")
    if said.endswith("stored"):
        run.step()
    else:
        run.note(f"{page.path}: {said}")


def needs_filling(known: Policy, key: str) -> bool:
    """Whether the entry is missing, moved or near its end. Raises StoreDown."""
    reading = fetch.peek(key)
    if reading.judgement != "hit":
        return True
    left = Head.unpack(reading.head).expires - reading.now
    return left < known.ttl * NEAR_END * 1e6
