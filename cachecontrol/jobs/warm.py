"""Warm: fill the pages that visitors ask for most before anyone finds them missing, moved or at their end."""

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
    called with their number so far and in all. Raises StoreDown if Redis does not answer.
    """
    with runs.exclusive("warm", seconds=seconds) as run, recording.muted():
        if run is None:
            return None
        recipes.declare_policies()
        _warm(run, candidates(policies, limit), progress)
        return run.done


def candidates(policies: Iterable[Policy] | None, limit: int) -> list[HotKey]:
    """The hottest keys of these policies, or of all that are to be kept warm, hottest first."""
    chosen = warmable() if policies is None else policies
    found = [entry for each in chosen for entry in hot_keys.hottest(each.name, limit)]
    return sorted(found, key=lambda entry: -entry.score)[:limit]


def warmable() -> list[Policy]:
    """The policies whose pages are kept warm."""
    return [each for each in all_policies() if each.kind == PolicyKind.PAGE and each.warm and each.enabled]


def _warm(run: RunningJob, entries: list[HotKey], progress: Callable[[int, int], None]) -> None:
    for index, entry in enumerate(entries):
        if run.is_over_budget:
            run.note(f"out of time after {index} of {len(entries)}")
            return
        try:
            _fill(run, entry)
        except StoreDown:
            raise  # no other page could be stored either
        except CacheControlError as error:
            run.failed(f"{entry.key}: {error}")
        except Exception as error:
            logger.exception("the entry %s could not be warmed", entry.key)
            run.failed(f"{entry.key}: {type(error).__name__}: {error}")
        progress(index + 1, len(entries))


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
    """Whether the entry is missing, moved or near its end. Raises StoreDown."""
    lookup = engine.look_up(key)
    if lookup.verdict is not Verdict.FRESH or lookup.entry is None:
        return True
    left = Head.unpack(lookup.entry.head).expires - lookup.now
    return left < policy.ttl * NEAR_END * MICROSECONDS
