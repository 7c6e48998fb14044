"""Instances from stored rows: what ``ModelIterable`` makes of them, with everything but the rows prepared once for each query.

The instances are marked as read from the cache, so that a full save does not write old columns back.
"""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, cast

from django.db.models import Model, query
from django.db.models.base import ModelState
from django.db.models.expressions import ColPairs
from django.db.models.fields.files import FileDescriptor
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import ModelIterable, get_related_populators
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from django.db.models.sql.compiler import SQLCompiler

DEFAULT_FETCH_MODE: Any = getattr(query, "DEFAULT_FETCH_MODE", None)
"""How instances load what was deferred, since Django 6.1; None before."""
_related_populators: Any = (
    get_related_populators
    if DEFAULT_FETCH_MODE is None
    else functools.partial(get_related_populators, fetch_mode=DEFAULT_FETCH_MODE)
)
_PLAIN_DESCRIPTORS = (DeferredAttribute, FileDescriptor, ForeignKeyDeferredAttribute)
"""Attributes to which a value is assigned for the first time by putting it into the instance's dictionary."""
_MODEL_METHODS = ("__init__", "__new__", "__setattr__")


def has_default_fetch_mode(queryset: Any) -> bool:
    """Whether the instances of a queryset load one by one what was deferred, as they do by default."""
    return getattr(queryset, "_fetch_mode", DEFAULT_FETCH_MODE) is DEFAULT_FETCH_MODE


def mark(instance: Model, of_caller: set[int]) -> None:
    """Mark an instance and those that were joined to it as read from the cache.

    ``of_caller`` identifies instances that the caller had before, such as ``author`` in ``author.books.cached()``.
    """
    if id(instance) in of_caller or getattr(instance._state, "from_cache", False):
        return
    instance._state.from_cache = True  # type: ignore[attr-defined]
    for joined in instance._state.fields_cache.values():
        if isinstance(joined, Model):
            mark(joined, of_caller)


class CachedModelIterable(ModelIterable):  # type: ignore[type-arg]
    """Marks the instances of a cached queryset."""

    def __iter__(self) -> Iterator[Any]:
        queryset: Any = self.queryset
        annotations = queryset.query.annotation_select.values()
        has_pairs = any(isinstance(annotation, ColPairs) for annotation in annotations)
        is_plain = not (has_pairs or queryset._known_related_objects or self.chunked_fetch)
        if not (is_plain and has_default_fetch_mode(queryset)):
            return self._marked()
        compiler = queryset.query.get_compiler(using=queryset.db)
        chunks = compiler.execute_sql()
        return cast("Iterator[Any]", compiler.assembler().instances(chunks, queryset.db, compiler.connection))

    def _marked(self) -> Iterator[Any]:
        related = self.queryset._known_related_objects.values()  # type: ignore[attr-defined]
        of_caller = {id(instance) for instances in related for instance in instances.values()}
        for instance in super().__iter__():
            mark(instance, of_caller)
            yield instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembler:
    """Makes the instances of one query from its rows."""

    model: _ModelColumns
    converters: list[tuple[int, Any, Any]]
    """Index of a column, the functions that convert its values, and its expression."""
    annotations: list[tuple[str, int]]
    """Names of attributes that annotations give to instances, with the indexes of their columns."""

    @classmethod
    def of(cls, compiler: SQLCompiler) -> Self | None:
        """Return the assembler of a query, given its compiler after compilation; None if it selects no instances."""
        klass_info: Any = compiler.klass_info
        columns: Any = [expression for expression, _, _ in (compiler.select or ())[: compiler.col_count]]
        if not klass_info:
            return None
        fields = klass_info["select_fields"]
        populators = _related_populators(klass_info, compiler.select, str(compiler.using))
        take = slice(fields[0], fields[-1] + 1)
        model = _ModelColumns(
            model=klass_info["model"],
            attnames=[column.target.attname for column in columns[take]],
            take=itemgetter(take),
            joins=[*map(_Join.of, populators)],
        )
        return cls(
            model=model,
            converters=[(index, *found) for index, found in compiler.get_converters(columns).items()],
            annotations=[*(compiler.annotation_col_map or {}).items()],
        )

    def instances(self, chunks: Iterable[Any], database: str, connection: Any) -> Iterator[Any]:
        """Yield the instance of each row.

        Args:
            chunks: lists of rows, as ``execute_sql`` returns them.
            database: alias of the database that the instances belong to.
            connection: for the functions that convert values.
        """
        rows = chain.from_iterable(chunks)
        make = self.model.maker(database)
        for row in self._converted(rows, connection) if self.converters else rows:
            instance = make(row)
            for name, index in self.annotations:
                setattr(instance, name, row[index])
            yield instance

    def _converted(self, rows: Iterable[Any], connection: Any) -> Iterator[Any]:
        for row in rows:
            values = [*row]
            for index, functions, expression in self.converters:
                value = values[index]
                for convert in functions:
                    value = convert(value, expression, connection)
                values[index] = value
            yield values


@dataclass(frozen=True, slots=True, kw_only=True)
class _ModelColumns:
    """The columns of a row that make an instance of one model, and the instances that are joined to it."""

    model: Any
    attnames: list[str]
    take: Callable[[Any], Any]
    """Takes the values of the attributes from a row."""
    joins: list[_Join]

    def maker(self, database: str) -> Callable[[Any], Any]:
        """Return a function that makes the instance of a row that was read from this database."""
        create = _plain_instance if _is_plain(self.model) else _instance
        model, attnames, take = self.model, self.attnames, self.take
        joins = [(join, join.columns.maker(database)) for join in self.joins]

        def make(row: Any) -> Any:
            instance = create(model, attnames, take(row), database)
            for join, make_joined in joins:
                join.add_to(instance, row, make_joined)
            return instance

        return make


@dataclass(frozen=True, slots=True, kw_only=True)
class _Join:
    """How an instance gets the one that is joined to it. Django's ``RelatedPopulator`` tells."""

    columns: _ModelColumns
    key_index: int
    """Index of the primary key among the values of the joined model: None if no row is joined."""
    local_setter: Callable[[Any, Any], None]
    remote_setter: Callable[[Any, Any], None]

    @classmethod
    def of(cls, populator: Any) -> Self:
        columns = _ModelColumns(
            model=populator.model_cls,
            attnames=populator.init_list,
            take=populator.reorder_for_init or itemgetter(slice(populator.cols_start, populator.cols_end)),
            joins=[*map(cls.of, populator.related_populators)],
        )
        return cls(
            columns=columns,
            key_index=populator.pk_idx,
            local_setter=populator.local_setter,
            remote_setter=populator.remote_setter,
        )

    def add_to(self, instance: Any, row: Any, make: Callable[[Any], Any]) -> None:
        """Join what ``make`` makes of the row to an instance."""
        joined = None if self.columns.take(row)[self.key_index] is None else make(row)
        self.local_setter(instance, joined)
        if joined is not None:
            self.remote_setter(joined, instance)


def _instance(model: Any, attnames: list[str], values: Any, database: str) -> Any:
    instance = model.from_db(database, attnames, values)
    mark(instance, set())
    return instance


def _plain_instance(model: Any, attnames: list[str], values: Any, database: str) -> Any:
    """Return what ``Model.from_db`` returns, if the model adds nothing to it."""
    instance, state = model.__new__(model), ModelState()
    state.adding, state.db = False, database
    state.from_cache = True  # type: ignore[attr-defined]
    attributes = instance.__dict__
    attributes["_state"] = state
    attributes.update(zip(attnames, values, strict=True))
    return instance


def _is_plain(model: Any) -> bool:
    """Whether creating an instance of this model from a row does nothing but assign attributes."""
    return _has_plain_class(model) and not (pre_init.has_listeners(model) or post_init.has_listeners(model))


@functools.cache
def _has_plain_class(model: Any) -> bool:
    return (
        model.from_db.__func__ is Model.from_db.__func__  # type: ignore[attr-defined]
        and all(getattr(model, name) is getattr(Model, name) for name in _MODEL_METHODS)
        and all(
            type(inspect.getattr_static(model, field.attname)) in _PLAIN_DESCRIPTORS
            for field in model._meta.concrete_fields
        )
    )
