"""Staging: a race's rival acts exactly before or after a named call, so that nothing is left to chance."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Act = Callable[[], object]


@contextmanager
def staged(owner: Any, name: str, *, before: Act | None = None, after: Act | None = None) -> Iterator[None]:
    """Run the rival's act once, before or after the first call of ``owner.name`` within this block.

    Fails if nobody called it, since nothing was raced then.
    """
    original, acts = getattr(owner, name), [(before, after)]

    def call(*args: Any, **kwargs: Any) -> Any:
        first, then = acts.pop() if acts else (None, None)
        if first:
            first()
        result = original(*args, **kwargs)
        if then:
            then()
        return result

    with mock.patch.object(owner, name, call):
        yield
    assert not acts, f"nobody called {name}"
