"""Declarations: what the running code has said about the SQL that it sends. They hold for the current context.

``statements`` checks SQL according to them.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_is_reported: ContextVar[bool] = ContextVar("cachecontrol_is_reported", default=False)
_tables: ContextVar[tuple[str, ...]] = ContextVar("cachecontrol_declared_tables", default=())
_is_independent: ContextVar[bool] = ContextVar("cachecontrol_is_independent", default=False)


class Declared:
    """A block for which something is declared. A generator in its place would take three times as long, for each statement."""

    __slots__ = ("_tokens", "_values")

    def __init__(self, *values: tuple[ContextVar[Any], Any]) -> None:
        self._values = values

    def __enter__(self) -> None:
        self._tokens = [variable.set(value) for variable, value in self._values]

    def __exit__(self, *_: object) -> None:
        for (variable, _value), token in zip(self._values, self._tokens, strict=True):
            variable.reset(token)


def reported(*tables: str) -> Declared:
    """Return a block for SQL whose dependencies the caller reports, so that its statements are not checked.

    ``tables`` are those that raw SQL within the block reads. Each of its statements depends on them.
    """
    return Declared((_is_reported, True), (_tables, tables))


def not_reported() -> Declared:
    """Return a block whose statements are checked again. Tables that were declared outside of it remain declared."""
    return Declared((_is_reported, False))


def is_reported() -> bool:
    """Whether the caller reports the dependencies of the SQL that runs now."""
    return _is_reported.get()


def tables() -> tuple[str, ...]:
    """Return the tables that the raw SQL of this context was declared to read."""
    return _tables.get()


@contextlib.contextmanager
def independent() -> Iterator[None]:
    """Declare that what this block reads belongs to no fill of another thread.

    A program that reads the database in threads of its own, beside fills of the same process, wraps the work of these
    threads in it. Otherwise the cache cannot tell whether they read for a fill, and stores none of the fills that are open
    at that moment (refusal ``thread``). Requests need no declaration: the middleware makes it.

    Example::

        def work():  # what the thread runs
            with independent():
                export(Product.objects.all())
    """
    with Declared((_is_independent, True)):
        yield


def mark_independent() -> None:
    """Declare the same as ``independent`` for the rest of this context, which serves a request or runs a task."""
    _is_independent.set(True)


def is_independent() -> bool:
    """Whether this context works for no fill except those that it opens itself."""
    return _is_independent.get()
