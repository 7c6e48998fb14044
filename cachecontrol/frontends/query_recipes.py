"""Recipes of cached queries: the compiled SQL, with which the jobs run the query again."""

from __future__ import annotations

import functools
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections
from psycopg.types.json import Jsonb

from cachecontrol.core import codec
from cachecontrol.core.reading import ReadRequest
from cachecontrol.core.recipe import Recipe
from cachecontrol.dependencies import declarations
from cachecontrol.exceptions import DamagedData
from cachecontrol.frontends import frontend
from cachecontrol.reasons import PolicyKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from cachecontrol.core.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryRecipe(Recipe):
    """A compiled query."""

    kind: ClassVar[str] = PolicyKind.QUERY
    database: str
    """Alias of the database that runs it."""
    sql: str
    params: list[Any]
    """Parameters as ``to_plain`` returns them."""
    width: int
    """Columns of a stored row: Django drops those that it selects only to order by them."""
    is_single: bool
    """Whether the value is one row or None."""

    def has_form(self, value: Any) -> bool:
        """Whether a value has the form of this query's results."""
        return is_row(value) if self.is_single else is_chunks(value)


class QueryFrontEnd:
    """Queries as the jobs see them."""

    recipe_type = QueryRecipe

    def request(self, policy: Policy, recipe: QueryRecipe) -> ReadRequest[list[Any]]:
        """Return how to run the query again. The computed value is a list of rows as the cursor returns them."""
        return request_for(policy, recipe, functools.partial(_run_again, recipe))

    def is_same(self, recipe: QueryRecipe, stored: Any, computed: list[Any]) -> bool:
        """Whether the stored rows are those that the query returned now, in any order.

        If the query leaves the order of some rows open, it may differ each time. Raises DamagedData if the stored value does
        not have the form of rows.
        """
        if not recipe.has_form(stored):
            raise DamagedData("not rows")
        rows = [stored] if recipe.is_single else [row for chunk in stored for row in chunk]
        width = len(rows[0] or ()) if rows else 0  # ordering may add columns, which are not stored
        return _multiset(rows) == _multiset([row and row[:width] for row in computed])


frontend.register(QueryFrontEnd())


def request_for(policy: Policy, recipe: QueryRecipe, compute: Callable[[], Any]) -> ReadRequest[Any]:
    """Return the request for the entry that a recipe describes. Raises UnknownType if a parameter is no plain value."""
    return ReadRequest(
        policy=policy,
        key=frontend.entry_key(policy, recipe.scope, recipe.database, recipe.encode()),
        compute=compute,
        database=recipe.database,
        recipe=recipe,
        is_sound=recipe.has_form,
    )


def is_row(value: Any) -> bool:
    """Whether this is one row as ``execute_sql`` returns it, or None."""
    return value is None or type(value) is tuple


def is_chunks(value: Any) -> bool:
    """Whether these are rows as ``execute_sql`` returns them: lists of tuples."""
    return type(value) is list and all(
        type(chunk) is list and all(type(row) is tuple for row in chunk) for chunk in value
    )


def to_plain(parameter: Any) -> Any:
    """Return a parameter of a query as a value that the codec knows, as far as possible."""
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
            return [*map(to_plain, parameter)]
        case _:
            return parameter


def _of_plain(parameter: Any) -> Any:
    if isinstance(parameter, dict):
        return Jsonb(parameter["jsonb"], dumps=str)
    return parameter


def _run_again(recipe: QueryRecipe) -> list[Any]:
    params = [_of_plain(parameter) for parameter in recipe.params]
    with declarations.reported(), connections[recipe.database].cursor() as cursor:
        cursor.execute(recipe.sql, params)
        return [cursor.fetchone()] if recipe.is_single else cursor.fetchall()


def _multiset(rows: list[Any]) -> Counter[bytes]:
    return Counter(map(codec.encode, rows))
