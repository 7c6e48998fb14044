"""Declarations: what the running code has said about the SQL that it sends. They hold for the current context.

``statements`` checks SQL according to them.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_is_reported: ContextVar[bool] = ContextVar("cachecontrol_is_reported", default=False)
_tables: ContextVar[tuple[str, ...]] = ContextVar("cachecontrol_declared_tables", default=())
_is_independent: ContextVar[bool] = ContextVar("cachecontrol_is_independent", default=False)


@contextlib.contextmanager
def reported(*tables: str) -> Iterator[None]:
    """Run SQL whose dependencies the caller reports, so that its statements are not checked.

    ``tables`` are those that raw SQL within the block reads. Each of its statements depends on them.
    """
    with _set(_is_reported, True), _set(_tables, tables):
        yield


@contextlib.contextmanager
def not_reported() -> Iterator[None]:
    """Check statements again within this block. Tables that were declared outside of it remain declared."""
    with _set(_is_reported, False):
        yield


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
    with _set(_is_independent, True):
        yield


def mark_independent() -> None:
    """Declare the same as ``independent`` for the rest of this context, which serves a request or runs a task."""
    _is_independent.set(True)


def is_independent() -> bool:
    """Whether this context works for no fill except those that it opens itself."""
    return _is_independent.get()


@contextlib.contextmanager
def _set(variable: ContextVar[T], value: T) -> Iterator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
