"""Reports of queries: while a tracked query runs, its compilations report what it depends on to the collection around it."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import GeneratorType
from typing import TYPE_CHECKING, Any, NamedTuple

from django.db.models.sql.constants import MULTI, SINGLE

from cachecontrol.dependencies import declarations
from cachecontrol.dependencies.collection import current_collection
from cachecontrol.dependencies.databases import is_captured

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models.sql.query import Query

    from cachecontrol.dependencies.collection import Collection
    from cachecontrol.dependencies.known_shapes import KnownQuery
    from cachecontrol.dependencies.query_dependencies import QueryDependencies
    from cachecontrol.dependencies.query_walk import QueryWalk


class CompiledPart(NamedTuple):
    """A query and the text that it was compiled to."""

    query: Query
    text: str


@dataclass(slots=True)
class Reports:
    """What the query that runs now depends on."""

    dependencies: list[QueryDependencies] = field(default_factory=list)
    """One of each compilation, in the order in which they ended: inner queries before the outermost."""
    walks: list[QueryWalk] = field(default_factory=list)
    """The walks in progress, the innermost last: inner queries are compiled while outer ones are."""
    walked: list[KnownQuery] = field(default_factory=list)
    """The queries that were walked, in the order in which their compilation ended."""
    unwalked: list[CompiledPart] | None = None
    """While a statement is compiled whose shapes may be known: its queries, in the same order."""


_current: ContextVar[Reports | None] = ContextVar("cachecontrol_reports", default=None)


def current_reports() -> Reports | None:
    """Return where compilations report to; None if no query runs whose dependencies matter."""
    return _current.get()


class Reporting:
    """A block in which the queries that are compiled report what they depend on. Its value is where they report it."""

    __slots__ = ("_token",)

    def __enter__(self) -> Reports:
        reports = Reports()
        self._token = _current.set(reports)
        return reports

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def reporting() -> Reporting:
    """Return a block in which the queries that are compiled report what they depend on."""
    return Reporting()


def run_reported(alias: str, run: Callable[[], Any], *, result_type: str | None = None) -> Any:
    """Run a query, and add what it depends on to the collection around it. Return the result of ``run``.

    Args:
        alias: of the database.
        run: compiles the query and returns its result.
        result_type: Django's ``MULTI`` or ``SINGLE`` if the result consists of rows that are at hand, otherwise None.
    """
    collection = current_collection()
    if collection is None or not is_captured(alias):
        return run()
    collection.read_point(alias)
    with reporting() as reports, declarations.reported():
        result = run()
    for dependencies in reports.dependencies[:-1]:
        _add(collection, alias, dependencies, result, None)
    for dependencies in reports.dependencies[-1:]:  # the rows at hand are those of the outermost query
        _add(collection, alias, dependencies, result, result_type)
    return _fetch_reported(collection, result) if isinstance(result, GeneratorType) else result


def _add(
    collection: Collection,
    alias: str,
    dependencies: QueryDependencies,
    result: Any,
    result_type: str | None,
) -> None:
    if dependencies.refusal:
        collection.refuse(*dependencies.refusal)
    if result_type == MULTI and isinstance(result, list):
        found = dependencies.of_rows([row for chunk in result for row in chunk])
    elif result_type == SINGLE:
        found = dependencies.of_rows([result] if result else [])
    else:
        found = dependencies.without_rows()
    collection.add(alias, found)


def _fetch_reported(collection: Collection, chunks: Any) -> Iterator[Any]:
    """Yield chunks of rows that a cursor fetches on demand. In the collection that the query reported to, they are reported."""
    try:
        while True:
            is_reported = current_collection() is collection
            with declarations.reported() if is_reported else contextlib.nullcontext():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
    finally:
        with declarations.reported():  # closing the cursor reads nothing
            chunks.close()
