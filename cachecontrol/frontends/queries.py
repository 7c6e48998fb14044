"""Tracked queries: they report what they depend on and, given a policy, are answered from the cache.

The cached value is the rows as Django's compiler returns them, so that instances, ``values()``, annotations and unions are served
alike.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import EmptyResultSet, FullResultSet
from django.db.models.expressions import Subquery
from django.db.models.sql.compiler import SQLCompiler
from django.db.models.sql.constants import CURSOR, MULTI, SINGLE
from django.db.models.sql.query import Query

from cachecontrol import engine
from cachecontrol.core import codec
from cachecontrol.core.reading import ReadRequest
from cachecontrol.dependencies import known_shapes, query_walk
from cachecontrol.dependencies.databases import database_for
from cachecontrol.dependencies.known_shapes import KnownQuery
from cachecontrol.dependencies.query_dependencies import QueryDependencies, dependencies_of
from cachecontrol.dependencies.query_shapes import shape_of
from cachecontrol.dependencies.query_walk import QueryWalk
from cachecontrol.dependencies.trusted_sql import is_backend_known, overrides_nothing
from cachecontrol.exceptions import UnknownType
from cachecontrol.frontends import compiled_queries, frontend
from cachecontrol.frontends.instances import Assembler
from cachecontrol.frontends.query_recipes import QueryRecipe, request_for, to_plain
from cachecontrol.frontends.query_reports import CompiledPart, current_reports, reporting, run_reported
from cachecontrol.frontends.query_structure import structure_of
from cachecontrol.postgres import sessions
from cachecontrol.reasons import Outcome, Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cachecontrol.core.policy import Policy
    from cachecontrol.frontends.compiled_queries import CompiledQuery
    from cachecontrol.frontends.query_reports import Reports
    from cachecontrol.frontends.query_structure import Structure


class TrackedQuery(Query):
    """A query that reports what it depends on and, given a policy, is answered from the cache."""

    reports = True
    """Whether the query reports what it depends on. False for a subclass that overrides anything."""
    policy: Policy | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.reports = overrides_nothing(cls, TrackedQuery, but=frozenset({"policy", "reports"}))

    def get_compiler(
        self, using: str | None = None, connection: Any = None, elide_empty: bool = True
    ) -> SQLCompiler:
        using = using and database_for(using)
        compiler = super().get_compiler(using, connection, elide_empty)
        compiler.__class__ = _tracked(type(compiler))  # type: ignore[arg-type]
        return cast("SQLCompiler", compiler)

    def get_aggregation(self, using: Any, aggregate_exprs: dict[str, Any]) -> Any:
        """Count or aggregate. Django may wrap this query in another one, which reports nothing, so it is reported here."""
        if not aggregate_exprs or current_reports() is not None:
            return super().get_aggregation(using, aggregate_exprs)
        compute = functools.partial(self._aggregate, using, aggregate_exprs)
        policy, self.policy = self.policy, None  # Django may run this very query for it
        if policy is None:
            return compute()
        try:
            key = codec.encode(self._compiled_aggregation(using, aggregate_exprs))
        except EmptyResultSet:
            return compute()
        except UnknownType:
            return _bypass(policy, Reason.UNKNOWN_TYPE, compute)
        request: ReadRequest[Any] = ReadRequest(
            policy=policy,
            key=frontend.entry_key(policy, sessions.scope_name(), using, key),
            compute=compute,
            database=using,
            recipe=None,
            is_sound=lambda value: type(value) is dict,
        )
        return engine.read(request).value

    def _aggregate(self, using: str, aggregate_exprs: dict[str, Any]) -> Any:
        """Aggregate a copy, since Django changes what it aggregates and the primary may be asked after a replica.

        Django may compile the aggregates in a query around this one, so they are reported separately.
        """
        using = database_for(using)

        def compute() -> Any:
            query = self.chain()
            aggregates = _resolved(query, aggregate_exprs)
            cast("_TrackedCompiler", query.get_compiler(using)).report(aggregates.values())
            return Query.get_aggregation(self.clone(), using, aggregate_exprs)

        return run_reported(using, compute)

    def _compiled_aggregation(self, using: str, aggregate_exprs: dict[str, Any]) -> list[Any]:
        """Return the SQL and parameters of this query and of each aggregate, as values that the codec knows."""
        query = self.chain()
        query.select_for_update = query.select_related = False  # as Django does
        aggregates = _resolved(query, aggregate_exprs)
        compiler = cast("_TrackedCompiler", query.get_compiler(using))
        return [
            [*compiler.compiled()],
            [(alias, _plain_sql(compiler.compile(aggregate))) for alias, aggregate in aggregates.items()],
        ]


class _TrackedCompiler(SQLCompiler):
    """Mixed into the compiler of a tracked query."""

    query: TrackedQuery
    _walk: QueryWalk | None = None
    _known: CompiledQuery | None = None

    def as_sql(self, *args: Any, **kwargs: Any) -> Any:
        if (reports := current_reports()) is None:
            return super().as_sql(*args, **kwargs)
        if reports.unwalked is not None:
            return self._compile_unwalked(reports.unwalked, *args, **kwargs)
        if reports.walks:
            return self._compile_walked(reports, *args, **kwargs)
        structure = None if args or kwargs else self._structure()
        if structure and (known := self._report_known(reports, structure)):
            return known
        compiled = self._compile_known(reports, *args, **kwargs)
        if compiled is None:
            first = len(reports.walked)
            compiled = self._compile_walked(reports, *args, **kwargs)
            known_shapes.remember(compiled[0], reports.walked[first:])
        if structure and not any(query.refusal for query in reports.dependencies):
            compiled_queries.remember(structure, self, *compiled)
        return compiled

    def _structure(self) -> Structure | None:
        return structure_of(self.query, str(self.using)) if self.query.reports else None

    def _report_known(self, reports: Reports, structure: Structure) -> Any:
        """Return the SQL of a query with this structure, and report what it depends on. None if it has to be compiled."""
        if (known := compiled_queries.find(structure)) is None or not is_backend_known(self.connection):
            return None
        text, parameters = known.prepare(self), known.parameters(structure.values)
        if (shapes := known_shapes.find(text, parameters, [text])) is None:
            return None
        if not any(self.query.alias_refcount.values()):
            self.query.get_initial_alias()  # as a compilation does
        reports.dependencies.append(dependencies_of(self.query, shapes[0]))
        return text, parameters

    def _compile_walked(self, reports: Reports, *args: Any, **kwargs: Any) -> Any:
        """Compile, visit each part, and report what the query depends on."""
        with self._walking(reports) as walk:
            compiled = super().as_sql(*args, **kwargs)
            shape = shape_of(self, walk)
            reports.walked.append(KnownQuery(compiled[0], shape))
            reports.dependencies.append(dependencies_of(self.query, shape))
        return compiled

    def _compile_known(self, reports: Reports, *args: Any, **kwargs: Any) -> Any:
        """Compile without a walk, and report what the queries of this statement depend on if their shapes are known.

        Return None if they are not.
        """
        if not is_backend_known(self.connection):
            return None
        queries: list[CompiledPart] = []
        reports.unwalked = queries
        try:
            text, parameters = self._compile_unwalked(queries, *args, **kwargs)
        except _ChangesWhenCompiled:
            return None
        finally:
            reports.unwalked = None
        shapes = known_shapes.find(text, parameters, [query.text for query in queries])
        if shapes is None:
            return None
        for (query, _), shape in zip(queries, shapes, strict=True):
            reports.dependencies.append(dependencies_of(query, shape))
        return text, parameters

    def _compile_unwalked(self, queries: list[CompiledPart], *args: Any, **kwargs: Any) -> Any:
        """Compile, and note the query. Raises _ChangesWhenCompiled for a union, which can be compiled only once."""
        if self.query.combinator:
            raise _ChangesWhenCompiled
        compiled = super().as_sql(*args, **kwargs)
        queries.append(CompiledPart(self.query, compiled[0]))
        return compiled

    def report(self, expressions: Iterable[Any]) -> None:
        """Report whether expressions refuse the result. The tables that they read are those of this query."""
        if (reports := current_reports()) is None:
            return
        with self._walking(reports) as walk:
            for expression in expressions:
                with contextlib.suppress(EmptyResultSet, FullResultSet):
                    self.compile(expression)
            reports.dependencies.append(QueryDependencies(refusal=walk.refusal))

    def get_distinct(self) -> Any:
        if self._walk is None:
            return super().get_distinct()
        return self._walk.within(query_walk.DISTINCT_ON, super().get_distinct)

    def get_group_by(self, *args: Any) -> Any:
        if self._walk is None:
            return super().get_group_by(*args)
        return self._walk.within(query_walk.GROUP_BY, functools.partial(super().get_group_by, *args))

    @contextlib.contextmanager
    def _walking(self, reports: Reports) -> Iterator[QueryWalk]:
        """Visit each part of the query that is compiled within this block."""
        walk = self._walk = QueryWalk(self.connection)
        self.compile = self._compile_visited  # type: ignore[method-assign]  # set here, so that it costs a hit nothing
        reports.walks.append(walk)
        _refuse_unreported(self.query, walk)
        try:
            yield walk
        finally:
            reports.walks.pop()
            del self.compile
            self._walk = None
        if reports.walks:
            reports.walks[-1].add_inner(walk)

    def _compile_visited(self, node: Any) -> Any:
        walk = cast("QueryWalk", self._walk)
        node = _with_reporting_query(node)
        _refuse_unreported(node if isinstance(node, Query) else getattr(node, "query", None), walk)
        return walk.compile(node, super().compile)

    def execute_sql(
        self, result_type: Any = MULTI, chunked_fetch: bool = False, chunk_size: int = 100
    ) -> Any:
        """Answer from the cache, or run the query and report what it depends on."""
        run = functools.partial(super().execute_sql, result_type, chunk_size=chunk_size)
        if current_reports() is not None or result_type == CURSOR or self.query.explain_info:
            return run(chunked_fetch)
        if self.query.policy is not None and result_type in (MULTI, SINGLE):
            return self._read(self.query.policy, run, result_type)
        run = functools.partial(run, chunked_fetch)
        return run_reported(str(self.using), run, result_type=None if chunked_fetch else result_type)

    def _read(self, policy: Policy, run: Callable[[], Any], result_type: str) -> Any:
        """Answer from the cache, or run the query and fill."""
        # Compiling a union adds the columns that it is ordered by, each time: a copy from before is run.
        source = _copied(self.query) if self.query.combinator else self.query
        compute = functools.partial(self._compute, source, run, result_type)
        if self.query.select_for_update:
            return _bypass(policy, Reason.FOR_UPDATE, compute)
        try:
            request = request_for(policy, self._recipe(result_type), compute)
        except EmptyResultSet:
            return run()
        except UnknownType:
            return _bypass(policy, Reason.UNKNOWN_TYPE, compute)
        return engine.read(request).value

    def _recipe(self, result_type: str) -> QueryRecipe:
        sql, params = self.compiled()
        return QueryRecipe(
            scope=sessions.scope_name(),
            database=str(self.using),
            sql=sql,
            params=params,
            width=self.col_count or 0,
            is_single=result_type == SINGLE,
        )

    def compiled(self) -> tuple[str, list[Any]]:
        """Return the SQL of this query and its parameters as plain values. A query with a known structure is not compiled."""
        structure = self._structure()
        if structure and (known := compiled_queries.find(structure)):
            self._known = known
            return known.prepare(self), [*map(to_plain, structure.values)]
        # Only what reports is remembered, since it is known then whether it may be stored. Reporting costs a walk.
        with reporting() if structure else contextlib.nullcontext():
            sql, params = self.as_sql()
        return sql, [*map(to_plain, params)]

    def assembler(self) -> Assembler:
        """Return what makes instances of the rows of this query, which was compiled or executed."""
        assembler = self._known.assembler if self._known else Assembler.of(self)
        return cast("Assembler", assembler)

    def _compute(self, source: TrackedQuery, run: Callable[[], Any], result_type: str) -> Any:
        using = database_for(str(self.using))
        if using == self.using and source is self.query:
            return run_reported(using, run, result_type=result_type)
        query = _copied(source)
        query.policy = None
        return query.get_compiler(using=using).execute_sql(result_type)  # type: ignore[call-overload]


class _ChangesWhenCompiled(Exception):
    """The query would be another one after its compilation."""


@functools.cache
def _tracked(compiler: type[SQLCompiler]) -> type[SQLCompiler]:
    return type(f"Tracked{compiler.__name__}", (_TrackedCompiler, compiler), {})


def _bypass(policy: Policy, reason: Reason, compute: Callable[[], Any]) -> Any:
    """Compute without the cache, and count it. The query reports what it depends on as always."""
    recording.record_read(policy.name, Outcome.BYPASS, reason, 0.0)
    return compute()


def _refuse_unreported(query: Any, walk: QueryWalk) -> None:
    """Refuse the result if it contains a query that does not report what it depends on."""
    if isinstance(query, Query) and not getattr(query, "reports", False):
        walk.refuse(Reason.UNCOVERED, f"the query class {type(query).__name__}")


def _with_reporting_query(node: Any) -> Any:
    """Return the node with an inner query of Django's class ``Query`` replaced by one that reports what it depends on."""
    if type(node) is Query:
        return node.chain(TrackedQuery)
    if isinstance(node, Subquery) and type(node.query) is Query:
        node = node.copy()
        node.query = node.query.chain(TrackedQuery)
    return node


def _copied(query: Query) -> TrackedQuery:
    """Return a copy that shares no combined query with the original, since compiling would change it."""
    copied = cast("TrackedQuery", query.chain())
    copied.selected = dict(query.selected) if query.selected else query.selected
    copied.combined_queries = tuple(map(_copied, query.combined_queries))
    return copied


def _resolved(query: Query, aggregate_exprs: dict[str, Any]) -> dict[str, Any]:
    """Return aggregates as expressions of a query, which gets the joins that they need. Each may refer to those before it."""
    mask = query.annotation_select_mask
    for alias, expression in aggregate_exprs.items():
        query.append_annotation_mask([alias])
        query.annotations[alias] = expression.resolve_expression(query, allow_joins=True, summarize=True)
    aggregates = {alias: query.annotations.pop(alias) for alias in aggregate_exprs}
    query.set_annotation_mask(mask)
    return aggregates


def _plain_sql(compiled: tuple[str, Iterable[Any]]) -> list[Any]:
    """Return compiled SQL as a value that the codec knows, as far as possible."""
    sql, params = compiled
    return [sql, [*map(to_plain, params)]]
