"""The front door: everything that a project using the cache imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db import models

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

M = TypeVar("M", bound=models.Model)


class TrackedQuerySet(models.QuerySet[M]):
    """A queryset whose queries report what they depend on, and that can be ``cached()``."""

    def cached(self) -> TrackedQuerySet[M]:
        return self


class TrackedManager(models.Manager.from_queryset(TrackedQuerySet)):  # type: ignore[misc]
    """The manager of a tracked model."""


def track(*, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> Callable[[type[M]], type[M]]:
    return lambda model: model


def cached_page(
    policy: str,
    *,
    ttl: float = 3600,
    stale_for: float = 0,
    params: Sequence[str] = (),
    vary: Sequence[str] = (),
) -> Callable[[Any], Any]:
    return lambda view: view
