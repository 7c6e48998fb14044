"""Cached queries: rows as the compiler returns them, so that instances, values, annotations and unions are served alike.

Every query of a tracked model, cached or not, reports what it depends on to the collection around it.
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db import connections
from django.db.models.expressions import Subquery
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import CURSOR, MULTI, SINGLE
from django.db.models.sql.query import Query
from psycopg.types.json import Jsonb

from cachecontrol import engine
from cachecontrol.core import codec
from cachecontrol.core.reading import ReadRequest
from cachecontrol.core.recipe import Recipe
from cachecontrol.dependencies import query_walk, tracker
from cachecontrol.dependencies.query_walk import QueryDependencies, QueryWalk
from cachecontrol.dependencies.trusted_sql import overrides_nothing
from cachecontrol.exceptions import DamagedData, UnknownType
from cachecontrol.frontends import frontend
from cachecontrol.postgres import sessions
from cachecontrol.reasons import Outcome, PolicyKind, Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cachecontrol.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecipe(Recipe):
    """A compiled query."""

    kind: ClassVar[str] = PolicyKind.QUERY
    database: str
    """Alias of the database that runs it."""
    sql: str
    params: list[Any]
    """Parameters as values that the codec knows."""
    width: int
    """Columns of a stored row: Django drops those that it selects only to order by them."""
    is_single: bool
    """Whether the value is one row or None."""


@dataclass(slots=True)
class _Reports:
    """The dependences of the query that runs now, which its compilations add."""

    found: list[QueryDependencies] = field(default_factory=list)
    walks: list[QueryWalk] = field(default_factory=list)
    """The walks in progress: inner queries are compiled while outer ones are."""


_reports: ContextVar[_Reports | None] = ContextVar("cachecontrol_reports", default=None)


class TrackedQuery(Query):
    """A query that reports what it depends on and, given a policy, is answered from the cache."""

    reports = True
    """Whether the query reports its dependences. False for a subclass that overrides anything."""
    policy: Policy | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.reports = overrides_nothing(cls, TrackedQuery, but=frozenset({"policy", "reports"}))

    def get_compiler(
        self, using: str | None = None, connection: Any = None, elide_empty: bool = True
    ) -> SQLCompiler:
        using = using and tracker.database_for(using)
        compiler = super().get_compiler(using, connection, elide_empty)
        compiler.__class__ = _tracked(type(compiler))  # type: ignore[arg-type]
        return cast("SQLCompiler", compiler)

    def get_aggregation(self, using: Any, aggregate_exprs: dict[str, Any]) -> Any:
        """Count and aggregate. Django may wrap this query in one that knows nothing of tags, so it is covered here."""
        if not aggregate_exprs or _reports.get() is not None:
            return super().get_aggregation(using, aggregate_exprs)
        cover = functools.partial(self._aggregate, using, aggregate_exprs)
        policy, self.policy = self.policy, None  # Django may run this very query for it
        if policy is None:
            return cover()
        try:
            key = codec.encode(self._aggregation(using, aggregate_exprs))
        except EmptyResultSet:
            return cover()
        except UnknownType:
            recording.record_read(policy.name, Outcome.BYPASS, Reason.UNKNOWN_TYPE, 0.0)
            return cover()
        return _read(policy, using, key, cover, None, lambda value: type(value) is dict)

    def _aggregate(self, using: str, aggregate_exprs: dict[str, Any]) -> Any:
        """Aggregate a copy, since Django changes what it aggregates and the primary may be asked after a replica.

        Django may compile the aggregates in a query around this one, so they are looked at apart.
        """
        using = tracker.database_for(using)

        def compute() -> Any:
            query = self.chain()
            aggregates = _resolved(query, aggregate_exprs)
            cast("_TrackedCompiler", query.get_compiler(using)).look_at(aggregates.values())
            return Query.get_aggregation(self.clone(), using, aggregate_exprs)

        return _covered(using, compute)

    def _aggregation(self, using: str, aggregate_exprs: dict[str, Any]) -> list[Any]:
        """The SQL of what is aggregated, and of each aggregate."""
        query = self.chain()
        query.select_for_update = False  # as Django does: an aggregate locks no rows
        aggregates = _resolved(query, aggregate_exprs)
        compiler = query.get_compiler(using)
        return [
            _written(compiler.as_sql()),
            [(alias, _written(compiler.compile(aggregate))) for alias, aggregate in aggregates.items()],
        ]


class _TrackedCompiler(SQLCompiler):
    """Mixed into the compiler of a tracked query."""

    query: TrackedQuery
    _walk: QueryWalk | None = None

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        if (reports := _reports.get()) is None:
            return super().as_sql(*args, **kwargs)
        with self._walking(reports) as walk:
            compiled = super().as_sql(*args, **kwargs)
            reports.found.append(query_walk.dependencies_of(self, walk))
        return compiled

    def look_at(self, expressions: Iterable[Any]) -> None:
        """Report the dependences of expressions, in addition to the tables of this query."""
        if (reports := _reports.get()) is None:
            return
        with self._walking(reports) as walk:
            for expression in expressions:
                with contextlib.suppress(EmptyResultSet, FullResultSet):
                    self.compile(expression)
            reports.found.append(QueryDependencies(refusal=walk.refusal))

    def get_distinct(self) -> Any:
        if self._walk is None:
            return super().get_distinct()
        return self._walk.within(query_walk.DISTINCT_ON, super().get_distinct)

    def get_group_by(self, *args: Any) -> Any:
        if self._walk is None:
            return super().get_group_by(*args)
        return self._walk.within(query_walk.GROUP_BY, functools.partial(super().get_group_by, *args))

    @contextlib.contextmanager
    def _walking(self, reports: _Reports) -> Iterator[QueryWalk]:
        """Visit each part of the query that is compiled within this block."""
        walk = self._walk = QueryWalk(self.connection)
        self.compile = self._compile_seen  # type: ignore[method-assign]  # not a method: a hit does not pay for it
        reports.walks.append(walk)
        _check(self.query, walk)
        try:
            yield walk
        finally:
            reports.walks.pop()
            del self.compile
            self._walk = None
        if reports.walks:
            reports.walks[-1].aliases |= walk.aliases

    def _compile_seen(self, node: Any) -> Any:
        walk = cast("QueryWalk", self._walk)
        inner = _reporting(node)
        _check(inner if isinstance(inner, Query) else getattr(inner, "query", None), walk)
        return walk.compile(inner, super().compile)

    def execute_sql(
        self, result_type: Any = MULTI, chunked_fetch: bool = False, chunk_size: int = 100
    ) -> Any:
        """Answer from the cache, or run the query and report its tags to the collection around it."""
        run = functools.partial(super().execute_sql, result_type, chunk_size=chunk_size)
        if _reports.get() is not None or result_type == CURSOR or self.query.explain_info:
            return run(chunked_fetch)
        if self.query.policy is not None and result_type in (MULTI, SINGLE):
            return self._cached(self.query.policy, run, result_type)
        rows_of = None if chunked_fetch else result_type
        return _covered(self.using, functools.partial(run, chunked_fetch), rows_of=rows_of)

    def _cached(self, policy: Policy, run: Callable[[], Any], result_type: str) -> Any:
        # Compiling a union adds what it is ordered by to its columns, each time: what runs is a copy from before.
        source = _copied(self.query) if self.query.combinator else self.query
        compute = functools.partial(self._compute, source, run, result_type)
        if reason := self._uncacheable():
            recording.record_read(policy.name, Outcome.BYPASS, reason, 0.0)
            return compute()
        try:
            sql, params = self.as_sql()
            recipe = QueryRecipe(
                scope=sessions.scope_name(),
                database=str(self.using),
                sql=sql,
                params=[*map(_frozen, params)],
                width=self.col_count or 0,
                is_single=result_type == SINGLE,
            )
            key = recipe.encode()
        except EmptyResultSet:
            return run()
        except UnknownType:
            recording.record_read(policy.name, Outcome.BYPASS, Reason.UNKNOWN_TYPE, 0.0)
            return compute()
        return _read(policy, self.using, key, compute, recipe, _is_row if recipe.is_single else _is_chunks)

    def _compute(self, source: TrackedQuery, run: Callable[[], Any], result_type: str) -> Any:
        using = tracker.database_for(str(self.using))
        if using == self.using and source is self.query:
            return _covered(using, run, rows_of=result_type)
        query = _copied(source)
        query.policy = None
        return query.get_compiler(using=using).execute_sql(result_type)  # type: ignore[call-overload]

    def _uncacheable(self) -> Reason | None:
        if self.query.select_for_update:
            return Reason.FOR_UPDATE
        return None


@functools.cache
def _tracked(compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    return type(f"Tracked{compiler.__name__}", (_TrackedCompiler, compiler), {})


def _check(query: Any, walk: QueryWalk) -> None:
    if isinstance(query, Query) and not getattr(query, "reports", False):
        walk.refuse(Reason.UNCOVERED, f"the query class {type(query).__name__}")


def _reporting(node: Any) -> Any:
    """The node, with an inner query of Django's class ``Query`` replaced by one that reports its dependences."""
    if type(node) is Query:
        return node.chain(TrackedQuery)
    if isinstance(node, Subquery) and type(node.query) is Query:
        node = node.copy()
        node.query = node.query.chain(TrackedQuery)
    return node


def _copied(query: Query) -> TrackedQuery:
    """A copy that shares nothing with a combined query which compiling it would change."""
    copied = cast("TrackedQuery", query.chain())
    copied.selected = dict(query.selected) if query.selected else query.selected
    copied.combined_queries = tuple(map(_copied, query.combined_queries))
    return copied


def _resolved(query: Query, aggregate_exprs: dict[str, Any]) -> dict[str, Any]:
    """Aggregates as expressions of a query, which gets the joins that they need. Each may refer to those before it."""
    mask = query.annotation_select_mask
    for alias, expression in aggregate_exprs.items():
        query.append_annotation_mask([alias])
        query.annotations[alias] = expression.resolve_expression(query, allow_joins=True, summarize=True)
    aggregates = {alias: query.annotations.pop(alias) for alias in aggregate_exprs}
    query.set_annotation_mask(mask)
    return aggregates


def _written(compiled: tuple[str, Iterable[Any]]) -> list[Any]:
    """Compiled SQL as a value that the codec knows."""
    sql, params = compiled
    return [sql, [*map(_frozen, params)]]


def _covered(alias: Any, run: Callable[[], Any], *, rows_of: Any = None) -> Any:
    """Run a query and report what it depended on to the collection around it."""
    collection = tracker.current()
    if collection is None or not tracker.is_captured(alias):
        return run()
    collection.read_point(alias)
    reports = _Reports()
    token = _reports.set(reports)
    try:
        with tracker.covering():
            result = run()
    finally:
        _reports.reset(token)
    # The rows at hand are those of the outermost query, which is compiled last.
    for dependence in reports.found[:-1]:
        _report(collection, alias, dependence, result, None)
    for dependence in reports.found[-1:]:
        _report(collection, alias, dependence, result, rows_of)
    return _fetched_later(collection, result) if isinstance(result, GeneratorType) else result


def _fetched_later(collection: tracker.Collection, chunks: Any) -> Iterator[Any]:
    """Chunks of rows that a cursor fetches on demand. Each fetch is covered in the collection that the query reported to."""
    try:
        while True:
            with tracker.covering() if tracker.current() is collection else contextlib.nullcontext():
                chunk = next(chunks, None)
            if chunk is None:
                return
            yield chunk
    finally:
        with tracker.covering():  # closing the cursor reads nothing
            chunks.close()


def _report(
    collection: tracker.Collection, alias: str, dependence: QueryDependencies, result: Any, rows_of: Any
) -> None:
    if dependence.refusal:
        collection.refuse(*dependence.refusal)
    if rows_of == MULTI and isinstance(result, list):
        collection.add(alias, dependence.of_rows(row for chunk in result for row in chunk))
    elif rows_of == SINGLE:
        collection.add(alias, dependence.of_rows([result] if result else []))
    else:
        collection.add(alias, dependence.of_tables())


def _read(
    policy: Policy,
    database: Any,
    key: bytes,
    compute: Callable[[], Any],
    recipe: QueryRecipe | None,
    is_sound: Callable[[Any], bool],
) -> Any:
    request = ReadRequest(
        policy=policy,
        key=frontend.entry_key(policy, sessions.scope_name(), database, key),
        compute=compute,
        database=database,
        recipe=recipe,
        is_sound=is_sound,
    )
    return engine.read(request).value


def _is_row(value: Any) -> bool:
    return value is None or type(value) is tuple


def _is_chunks(value: Any) -> bool:
    """Whether these are rows as ``execute_sql`` returns them: lists of tuples."""
    return type(value) is list and all(
        type(chunk) is list and all(type(row) is tuple for row in chunk) for chunk in value
    )


def _frozen(parameter: Any) -> Any:
    """A query parameter as a value that the codec knows."""
    match parameter:
        case Jsonb():
            dumps = parameter.dumps or repr
            return {"jsonb": dumps(parameter.obj)}
        case bool() | None:
            return parameter
        case int():
            return int(parameter)
        case str():
            return str.__str__(parameter)
        case list() | tuple():
            return [*map(_frozen, parameter)]
        case _:
            return parameter


class QueryFrontEnd:
    """Queries as the jobs see them."""

    recipe_type = QueryRecipe

    def request(self, policy: Policy, recipe: QueryRecipe) -> ReadRequest[list[Any]]:
        """Return how to run the query again. The computed value is a list of rows as the cursor returns them."""
        return ReadRequest(
            policy=policy,
            key=frontend.entry_key(policy, recipe.scope, recipe.database, recipe.encode()),
            compute=functools.partial(_run_again, recipe),
            database=recipe.database,
            recipe=recipe,
        )

    def is_same(self, recipe: QueryRecipe, stored: Any, computed: list[Any]) -> bool:
        """Whether stored rows are those that the query returned now. Rows whose order the query leaves open may differ in it.

        Raises DamagedData if the stored value has not the form of rows.
        """
        if not (_is_row if recipe.is_single else _is_chunks)(stored):
            raise DamagedData("not rows")
        rows = [stored] if recipe.is_single else [row for chunk in stored for row in chunk]
        width = len(rows[0] or ()) if rows else 0  # ordering may add columns, which are not stored
        return _multiset(rows) == _multiset([row and row[:width] for row in computed])


frontend.register(QueryFrontEnd())


def _multiset(rows: list[Any]) -> Counter[bytes]:
    return Counter(map(codec.encode, rows))


def _run_again(recipe: QueryRecipe) -> list[Any]:
    params = [_thawed(parameter) for parameter in recipe.params]
    with tracker.covering(), connections[recipe.database].cursor() as cursor:
        cursor.execute(recipe.sql, params)
        return [cursor.fetchone()] if recipe.is_single else cursor.fetchall()


def _thawed(parameter: Any) -> Any:
    if isinstance(parameter, dict):
        return Jsonb(parameter["jsonb"], dumps=str)
    return parameter
