"""The front door: everything that a project using the cache imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import models

from cachecontrol.dependencies import tracker
from cachecontrol.dependencies.tracker import expire_at, independent
from cachecontrol.drain import catch_up
from cachecontrol.engine import bypass
from cachecontrol.frontends.pages import cached_page
from cachecontrol.frontends.querysets import TrackedManager, TrackedQuerySet
from cachecontrol.postgres import tracked_models

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

M = TypeVar("M", bound=models.Model)

__all__ = [
    "TrackedManager",
    "TrackedQuerySet",
    "bypass",
    "cached_page",
    "depends_on",
    "expire_at",
    "independent",
    "invalidate",
    "track",
]


def track(*, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> Callable[[type[M]], type[M]]:
    """Capture every change of a model's table, and collect what its queries depend on (class decorator).

    ``slices`` are fields whose equality filters get a tag of their own, the most selective first: integers, uuids,
    booleans, text or keys to those. ``ignore`` are fields whose changes move no tag; cached reads defer them.
    Raises Misconfigured for a field that is unfit.
    """

    def decorate(model: type[M]) -> type[M]:
        tracked_models.track(model, slices=slices, ignore=ignore)
        return model

    return decorate


def depends_on(*models: type[models.Model]) -> contextlib.AbstractContextManager[None]:
    """Declare the tables that raw SQL within this block reads. Raises Misconfigured for a model that is not tracked."""
    return tracker.declaring([model._meta.db_table for model in models])


def invalidate(tags: Iterable[str]) -> None:
    """Move tags by hand, as if their rows had changed in this transaction."""
    catch_up.invalidate(list(tags))
