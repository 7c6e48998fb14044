"""Rows by primary key: the entry of ``cached().get(pk=…)``, found without compiling the query.

The SQL is compiled once for each model and database, and serves only to find the entry. A miss runs the ordinary query, so
entries, dependencies and recipes are those of ``get``.
"""

from __future__ import annotations

import functools
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from django.db import connections, models
from django.db.models.query import MAX_GET_RESULTS, ModelIterable
from django.db.models.sql.constants import MULTI

from cachecontrol import engine
from cachecontrol.batches import Item, read_many
from cachecontrol.core import tags
from cachecontrol.dependencies.databases import database_for
from cachecontrol.frontends.instances import Assembler, CachedModelIterable, has_default_fetch_mode
from cachecontrol.frontends.queries import TrackedQuery
from cachecontrol.frontends.query_recipes import QueryRecipe, request_for, to_plain
from cachecontrol.frontends.query_reports import current_reports
from cachecontrol.frontends.query_structure import is_passed_on
from cachecontrol.postgres import sessions

if TYPE_CHECKING:
    from cachecontrol.core.policy import Policy
    from cachecontrol.core.reading import ReadRequest


class _Shape(NamedTuple):
    """The compiled query for one row of a model."""

    sql: str
    width: int
    key_index: int
    """Index of the primary key in a row."""
    assembler: Assembler


_UNIMPORTANT = frozenset(
    {
        "policy",
        "deferred_loading",
        "used_aliases",
        "filter_is_sticky",
        "base_table",
        "_annotation_select_cache",
    }
)
"""Attributes of a query that do not restrict it, or that are compared separately."""
_TRUE = frozenset({"model", "alias_cols", "default_cols", "default_ordering", "standard_ordering"})
"""Attributes that are true unless a queryset was changed. All others are empty then."""

_shapes: dict[tuple[Any, ...], _Shape | None] = {}


def can_find(queryset: Any, pks: list[Any], ignored: tuple[str, ...]) -> bool:
    """Whether rows may be found by these keys: the queryset restricts and adds nothing, and Django would pass the keys on.

    ``ignored`` names the fields that the instances defer.
    """
    cls, query = type(queryset), queryset.query
    return (
        type(query) is TrackedQuery
        and all(is_passed_on(pk, queryset.model._meta.pk, queryset.db) for pk in pks)
        and _is_unrestricted(query, ignored)
        and queryset._iterable_class in (ModelIterable, CachedModelIterable)
        and not (queryset._prefetch_related_lookups or queryset._known_related_objects)
        and has_default_fetch_mode(queryset)
        and all(getattr(cls, name) is getattr(models.QuerySet, name) for name in ("filter", "order_by"))
        and current_reports() is None
    )


def _is_unrestricted(query: TrackedQuery, ignored: tuple[str, ...]) -> bool:
    """Whether a query reads all rows of its model, in the columns that cached querysets read."""
    deferred, are_deferred = query.deferred_loading
    if not are_deferred or {*deferred} != {*(ignored if query.policy else ())}:
        return False
    return all(name in _UNIMPORTANT or bool(value) is (name in _TRUE) for name, value in vars(query).items())


def find(queryset: Any, policy: Policy, pk: Any, ignored: tuple[str, ...]) -> list[Any] | None:
    """Return the instances with this key, none or one, from the cache or the database; None if the shape is unknown.

    ``ignored`` names the fields that the instances defer.
    """
    rows = _Rows.of(queryset, policy, pk, ignored)
    return None if rows is None else rows.instances(engine.read(rows.request(pk)).value)


def find_many(
    queryset: Any, policy: Policy, pks: list[Any], ignored: tuple[str, ...]
) -> dict[Any, Any] | None:
    """Return the instances with these keys, by key, in one round trip to Redis; None if the keys cannot be read together.

    All keys are of one type. What no entry answers is read from the database together. A text may be equal to another one in
    the database, so only integers and uuids are compared here. A model with a parent reads several tables.
    """
    model, rows = queryset.model, _Rows.of(queryset, policy, pks[0], ignored)
    if rows is None or model._meta.parents or not isinstance(pks[0], int | uuid.UUID):
        return None
    items = {pk: Item(rows.request(pk), str(tags.row(model._meta.db_table, pk))) for pk in pks}
    pk_of = {item.request.key: pk for pk, item in items.items()}
    chunks = read_many(
        [*items.values()], lambda some: rows.compute_many([pk_of[item.request.key] for item in some])
    )
    found = {pk: rows.instances(value) for pk, value in zip(items, chunks, strict=True)}
    return {pk: instance for pk, instances in found.items() for instance in instances}


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows of a model as one policy reads them from one database, each by its key."""

    queryset: Any
    policy: Policy
    database: str
    ignored: tuple[str, ...]
    shape: _Shape

    @classmethod
    def of(cls, queryset: Any, policy: Policy, pk: Any, ignored: tuple[str, ...]) -> Self | None:
        """Return the rows of a queryset; None if the shape of the query for one row is unknown."""
        database = database_for(queryset.db)
        shape_key = (queryset.model, database, ignored)
        if shape_key not in _shapes:
            _shapes[shape_key] = _compile(_query(queryset, pk, ignored), database, pk)
        shape = _shapes[shape_key]
        return None if shape is None else cls(queryset, policy, database, ignored, shape)

    def request(self, pk: Any) -> ReadRequest[Any]:
        """Return the request for the row with this key."""
        recipe = QueryRecipe(
            scope=sessions.scope_name(),
            database=self.database,
            sql=self.shape.sql,
            params=[pk],
            width=self.shape.width,
            is_single=False,
        )
        compute = functools.partial(_compute, self.queryset, self.database, pk, self.ignored)
        return request_for(self.policy, recipe, compute)

    def compute_many(self, pks: list[Any]) -> list[list[Any]]:
        """Return for each key what the query for its row returns, by one query for all of them."""
        rows = self.queryset.filter(pk__in=pks).order_by().defer(*self.ignored)
        chunks = rows.query.get_compiler(using=self.database).execute_sql(MULTI)
        row_of = {row[self.shape.key_index]: row for chunk in chunks for row in chunk}
        return [[[row_of[pk]]] if pk in row_of else [] for pk in pks]

    def instances(self, chunks: Any) -> list[Any]:
        """Return the instances of the rows of a value."""
        connection = connections[self.database]
        return [*self.shape.assembler.instances(chunks, self.queryset.db, connection)]


def _query(queryset: Any, pk: Any, ignored: tuple[str, ...]) -> TrackedQuery:
    """Return the query that ``get(pk=pk)`` runs."""
    rows = queryset.filter(pk=pk).order_by().defer(*ignored)
    rows.query.set_limits(high=MAX_GET_RESULTS)
    rows.query.policy = None
    return cast("TrackedQuery", rows.query)


def _compute(queryset: Any, database: str, pk: Any, ignored: tuple[str, ...]) -> Any:
    compiler: Any = _query(queryset, pk, ignored).get_compiler(using=database)
    return compiler.execute_sql(MULTI)


def _compile(query: TrackedQuery, database: str, pk: Any) -> _Shape | None:
    """Compile the query; None if the key is not its only parameter."""
    compiler: Any = query.get_compiler(using=database)
    sql, params = compiler.as_sql()
    if [*map(to_plain, params)] != [pk]:
        return None
    assembler = cast("Assembler", Assembler.of(compiler))
    key = query.get_meta().pk.attname
    return _Shape(
        sql=sql,
        width=compiler.col_count,
        key_index=assembler.model.attnames.index(key),
        assembler=assembler,
    )
