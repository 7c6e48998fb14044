"""Warm: fill the pages that visitors ask for most, before visitors find them missing, moved or expired."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from cachecontrol import engine
from cachecontrol.core.entry import Head
from cachecontrol.core.policy import all_policies
from cachecontrol.exceptions import CacheControlError, StoreDown
from cachecontrol.frontends import recipes
from cachecontrol.jobs import runs
from cachecontrol.reasons import PolicyKind, Reason, Verdict
from cachecontrol.redis.protocol import MICROSECONDS
from cachecontrol.stats import hot_keys, recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cachecontrol.core.policy import Policy
    from cachecontrol.jobs.runs import RunningJob
    from cachecontrol.stats.hot_keys import HotKey


logger = logging.getLogger("cachecontrol")


SECONDS = 20.0
PAGES = 200
"""The budget of a run of the schedule."""
NEAR_END = 0.1
"""An entry is filled again when a smaller share than this of its policy's ttl is left."""


def warm(
    policies: Iterable[Policy] | None = None,
    *,
    seconds: float = SECONDS,
    limit: int = PAGES,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int | None:
    """Fill the hottest pages that need it, of these policies or of all ``warmable`` ones.

    Looks at ``limit`` pages at most, for ``seconds`` at most. ``progress`` is called with the pages looked at so far and in all.
    Returns the number of pages filled; None if another process runs this job now. Raises StoreDown.
    """
    with runs.exclusive("warm", seconds=seconds) as run, recording.muted():
        if run is None:
            return None
        recipes.declare_policies()
        _warm(run, candidates(policies, limit), progress)
        return run.done


def candidates(policies: Iterable[Policy] | None, limit: int) -> list[HotKey]:
    """Return the hottest keys of these policies or of all ``warmable`` ones, hottest first. Raises StoreDown."""
    chosen = warmable() if policies is None else policies
    candidates = [hot_key for policy in chosen for hot_key in hot_keys.hottest(policy.name, limit)]
    return sorted(candidates, key=lambda hot_key: -hot_key.score)[:limit]


def warmable() -> list[Policy]:
    """Return the policies whose pages are kept warm."""
    return [
        policy
        for policy in all_policies()
        if policy.kind == PolicyKind.PAGE and policy.warm and policy.enabled
    ]


def _warm(run: RunningJob, pages: list[HotKey], progress: Callable[[int, int], None]) -> None:
    for index, hot_key in enumerate(pages):
        if run.is_over_budget:
            run.note(f"out of time after {index} of {len(pages)}")
            return
        try:
            _fill(run, hot_key)
        except StoreDown:
            raise  # no other page could be stored either
        except CacheControlError as error:
            run.error(f"{hot_key.key}: {error}")
        except Exception as error:
            logger.exception("the entry %s could not be warmed", hot_key.key)
            run.error(f"{hot_key.key}: {type(error).__name__}: {error}")
        progress(index + 1, len(pages))


def _fill(run: RunningJob, hot_key: HotKey) -> None:
    """Fill a page if it needs it. It counts if it was stored; if not, the run notes the status that the cache returned.

    Raises StoreDown, and the errors of the computation.
    """
    recomputation = recipes.recomputation(hot_key.key, hot_key.recipe)
    if recomputation is None or not needs_filling(recomputation.request.policy, hot_key.key):
        return
    with engine.refilling(hot_key.key):
        response = recomputation.request.compute()
    status = response.headers.get("Cache-Status", "not a cached page on this host")
    if status.endswith("stored"):
        run.step()
    elif status.endswith(Reason.REDIS_DOWN):
        raise StoreDown("it fell silent while a page was computed")
    else:
        run.note(f"{hot_key.label}: {status}")


def needs_filling(policy: Policy, key: str) -> bool:
    """Whether the entry of this key is missing, moved or near the end of the policy's ttl. Raises StoreDown."""
    lookup = engine.look_up(key)
    if lookup.verdict is not Verdict.FRESH or lookup.entry is None:
        return True
    left = Head.unpack(lookup.entry.head).expires - lookup.now
    return left < policy.ttl * NEAR_END * MICROSECONDS
