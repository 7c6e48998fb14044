"""Prepared querysets: a function builds a cached queryset once, with placeholders; later calls only put values in their place.

A call finds its entry by the SQL of the queryset and the values. A miss builds the queryset with the values, and runs it.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, NoReturn, ParamSpec, TypeVar, cast

from asgiref.sync import sync_to_async
from django.db import connections, models
from django.db.models import prefetch_related_objects
from django.db.models.sql.constants import MULTI

from cachecontrol import engine
from cachecontrol.dependencies.databases import database_for
from cachecontrol.exceptions import Misconfigured
from cachecontrol.frontends import compiled_queries
from cachecontrol.frontends.instances import Assembler, CachedModelIterable, has_default_fetch_mode
from cachecontrol.frontends.placeholders import Placeholder, Placeholders
from cachecontrol.frontends.queries import TrackedQuery
from cachecontrol.frontends.query_recipes import QueryRecipe, request_for
from cachecontrol.frontends.query_reports import current_reports
from cachecontrol.frontends.query_structure import structure_of, unknown_part
from cachecontrol.postgres import sessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cachecontrol.frontends.compiled_queries import CompiledQuery
    from cachecontrol.frontends.query_structure import Structure

P = ParamSpec("P")
M = TypeVar("M", bound=models.Model)
_UNNAMED = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


class PreparedQuerySet(Generic[P, M]):
    """A cached queryset that is called with values and returns its rows. ``prepare`` makes it."""

    def __init__(self, build: Callable[P, models.QuerySet[M]]) -> None:
        functools.update_wrapper(cast("Any", self), build)
        self._build: Callable[..., Any] = build
        self._parameters = [*inspect.signature(build).parameters.values()]
        if any(parameter.kind in _UNNAMED for parameter in self._parameters):
            self._refuse("its parameters need names, without * and **")
        self._keywords = [
            each.name for each in self._parameters if each.kind is inspect.Parameter.KEYWORD_ONLY
        ]
        self._template: Any = None
        """The queryset that the function builds with placeholders."""
        self._placeholders = Placeholders()
        self._plans: dict[str, _Plan] = {}
        """By the alias of the database that is asked."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> list[M]:
        """Return the rows of the queryset with these values.

        Raises:
            TypeError: the function does not take these arguments.
            Misconfigured: the queryset cannot be prepared, or it differs in more than the values from one with other values.
        """
        values = self._values(args, kwargs)
        plan = self._plan()
        statement = plan.statement(values) if current_reports() is None else None
        if statement is None:
            return [*self._built(values)]
        if (compiled := plan.find_compiled()) is None:
            return [*self._checked(plan, statement, values)]  # which compiles it
        return plan.rows(statement, compiled, functools.partial(self._compute, plan, statement, values))

    async def acall(self, *args: P.args, **kwargs: P.kwargs) -> list[M]:
        """Return what a call returns, without blocking the event loop."""
        return await sync_to_async(self)(*args, **kwargs)

    def _values(self, args: Sequence[Any], kwargs: dict[str, Any]) -> Sequence[Any]:
        """Return the value of each parameter in a call."""
        if len(args) == len(self._parameters) and not (kwargs or self._keywords):
            return args
        bound = inspect.Signature(self._parameters).bind(*args, **kwargs)
        bound.apply_defaults()
        return [*bound.arguments.values()]

    def _built(self, values: Sequence[Any]) -> Any:
        """Return the queryset that the function builds, given the value of each parameter."""
        first = len(values) - len(self._keywords)
        return self._build(*values[:first], **dict(zip(self._keywords, values[first:], strict=True)))

    def _plan(self) -> _Plan:
        """Return the plan for the database that has to be asked now."""
        if (template := self._template) is None:
            template = self._template = self._make_template()
        database = database_for(template.db)
        if database not in self._plans:
            self._plans[database] = self._make_plan(template, database)
        return self._plans[database]

    def _make_template(self) -> Any:
        """Build the queryset with placeholders. Raises Misconfigured."""
        names = [parameter.name for parameter in self._parameters]
        template = self._built(self._placeholders.of_arguments(names))
        if not isinstance(getattr(template, "query", None), TrackedQuery) or not template.query.policy:
            self._refuse("it does not return a cached queryset: cached() is missing in it")
        is_plain = template._iterable_class is CachedModelIterable and has_default_fetch_mode(template)
        if not is_plain or template._known_related_objects:
            self._refuse("it does not return the instances of a manager's queryset")
        return template

    def _make_plan(self, template: Any, database: str) -> _Plan:
        """Read what the queryset with placeholders asks a database. Raises Misconfigured."""
        query = template.query
        if (structure := structure_of(query, database)) is None:
            part = unknown_part(query, database)
            self._refuse(
                f"its SQL may depend on more than the values that are compared with columns ({part})"
            )
        try:
            low, high = map(self._placeholders.limit, (query.low_mark, query.high_mark))
        except KeyError:
            self._refuse("it is sliced more than once, or by a number that int() made of an argument")
        return _Plan(template=template, database=database, structure=structure, low=low, high=high)

    def _compute(self, plan: _Plan, statement: _Statement, values: Sequence[Any]) -> Any:
        """Run the queryset with these values, and return its rows. Raises Misconfigured."""
        query = self._checked(plan, statement, values).query.chain()
        query.policy = None
        return query.get_compiler(using=plan.database).execute_sql(MULTI)

    def _checked(self, plan: _Plan, statement: _Statement, values: Sequence[Any]) -> Any:
        """Return the queryset with these values. Raises Misconfigured if the prepared one differs in more than the values."""
        queryset = self._built(values)
        query = queryset.query
        structure = structure_of(query, plan.database)
        if structure is None or structure.parts != plan.structure.parts:
            self._refuse("it builds another queryset with some values than with others")
        if (structure.values, query.low_mark, query.high_mark) != statement:
            self._refuse("it passes other values on than those of its arguments, or other ones each time")
        return queryset

    def _refuse(self, why: str) -> NoReturn:
        raise Misconfigured(f"{self._build.__module__}.{self._build.__qualname__} cannot be prepared: {why}")


class _Statement(NamedTuple):
    """What is put into the SQL of a prepared queryset."""

    parameters: list[Any]
    low: int
    high: int | None


@dataclass(slots=True, kw_only=True)
class _Plan:
    """A prepared queryset as it asks one database."""

    template: Any
    database: str
    structure: Structure
    low: int | Placeholder | None
    high: int | Placeholder | None
    compiled: CompiledQuery | None = None

    def find_compiled(self) -> CompiledQuery | None:
        """Return what was compiled; None before that, and if the result must not be stored."""
        if self.compiled is None:
            self.compiled = compiled_queries.find(self.structure)
        return self.compiled

    def statement(self, values: Sequence[Any]) -> _Statement | None:
        """Put values into the SQL; None if Django would pass on others, or raise an error."""
        parameters = [*self.structure.values]
        try:
            for index, placeholder, known in self.structure.placeholders:
                value = parameters[index] = placeholder.compute(values)
                if not known.include(value):
                    return None
            low, high = _limit(self.low, values), _limit(self.high, values)
        except TypeError:
            return None
        if type(low) is not int or low < 0 or not (high is None or (type(high) is int and low < high)):
            return None
        return _Statement(parameters, low, high)

    def rows(self, statement: _Statement, compiled: CompiledQuery, compute: Callable[[], Any]) -> list[Any]:
        """Return the rows from the cache, or as ``compute`` returns them."""
        connection = connections[self.database]
        recipe = QueryRecipe(
            scope=sessions.scope_name(),
            database=self.database,
            sql=compiled.sql + compiled_queries.limits(connection, statement.low, statement.high),
            params=statement.parameters,
            width=compiled.col_count,
            is_single=False,
        )
        chunks = engine.read(request_for(self.template.query.policy, recipe, compute)).value
        assembler = cast("Assembler", compiled.assembler)
        instances = [*assembler.instances(chunks, self.template.db, connection)]
        if lookups := self.template._prefetch_related_lookups:
            prefetch_related_objects(instances, *lookups)
        return instances


def _limit(limit: int | Placeholder | None, values: Sequence[Any]) -> Any:
    return limit.compute(values) if isinstance(limit, Placeholder) else limit


def prepare(build: Callable[P, models.QuerySet[M]]) -> PreparedQuerySet[P, M]:
    """Prepare a cached queryset: it is built and compiled once, and from then on called with values.

    A call returns the rows as a list; ``await prepared.acall(...)`` does so in an event loop. The entries are those of the
    queryset itself. With values of types that Django converts, such as ``None`` or an instance in place of its key, the
    function builds the queryset, which is as fast as without ``prepare``.

    The function is called at first with placeholders, so it must pass its arguments on to filters and slices, and do nothing
    else with them but add, subtract and multiply. The filters may compare columns with values (``=``, ``<``, ``<=``, ``>``,
    ``>=``, ``__in`` with a list of constants, ``__isnull``), across joins, with ``Q`` and ``exclude``.

    Args:
        build: function that returns the cached queryset, given its arguments.

    Returns:
        The prepared queryset, to call with the arguments of the function.

    Raises:
        Misconfigured: when it is called, if the function returns no cached queryset, one that has other parts, such as an
            annotation, or one that depends on anything but the arguments.

    Example::

        @prepare
        def listing(category: int, page: int) -> QuerySet[Product]:
            products = Product.objects.filter(category_id=category).order_by("name")
            return products.cached("shop.listing")[(page - 1) * 24 : page * 24]

        listing(5, page=2)
    """
    return PreparedQuerySet(build)
