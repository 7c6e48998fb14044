"""The degraded answer: what to do where Redis or PostgreSQL does not answer and the caller can go on without."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import DatabaseError

from cachecontrol.exceptions import StoreDown

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
D = TypeVar("D")


def failsafe(function: Callable[[], T], otherwise: D = None) -> T | D:  # type: ignore[assignment]  # the default of D
    """Return the result of ``function``; ``otherwise`` if Redis or PostgreSQL does not answer."""
    try:
        return function()
    except (StoreDown, DatabaseError):
        return otherwise
