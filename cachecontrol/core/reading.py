"""A read of the cache: the question and the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from cachecontrol.core.dependency import Dependency
    from cachecontrol.core.entry import LocalEntry
    from cachecontrol.core.policy import Policy
    from cachecontrol.core.recipe import Recipe
    from cachecontrol.reasons import Outcome, Reason

T = TypeVar("T")


def never(value: Any) -> bool:
    """Return False."""
    return False


def always(value: Any) -> bool:
    """Return True."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRequest(Generic[T]):
    """One question to the cache: the key, how to compute the value, and the recipe to compute it again."""

    policy: Policy
    key: str
    compute: Callable[[], T]
    database: str
    """Alias of the database that the computation reads first."""
    recipe: Recipe | None
    """None for a value that nothing but its own code can compute."""
    is_hot: Callable[[Any], bool] = never
    """Whether the key counts among the hot keys that the warm job fills, given the value."""
    is_shared: bool = False
    """Whether all readers may share one value, since none changes it. Else each gets a value of its own."""
    is_sound: Callable[[Any], bool] = always
    """Whether a stored value has the form of the results of ``compute``; any other value counts as damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResult(Generic[T]):
    """The value, and how the read ended."""

    value: T
    outcome: Outcome
    reason: Reason | None = None
    age: float = 0.0
    """Seconds since the value was stored; 0 for a value that was just computed."""
    is_stored: bool = False
    refusal: Reason | None = None
    """Why a computed value was not stored."""
    tags: Iterable[Dependency] = ()
    """What the value depends on."""
    local_entry: LocalEntry | None = None
    """The entry of the local tier that answered."""
