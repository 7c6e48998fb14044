"""Tracked models: describes the tables of Django's models for the registry of tracked tables and for the triggers."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib.postgres.fields import ArrayField, CITextField
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models

from cachecontrol.conf import conf
from cachecontrol.core import registry
from cachecontrol.core.registry import TrackedTable
from cachecontrol.exceptions import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    Field = models.Field[Any, Any]

SLICEABLE = (models.IntegerField, models.UUIDField, models.BooleanField, models.CharField, models.TextField)
"""Fields whose values have one written form, the same in SQL and in Python, as Django itself defines them."""

_CONVERSIONS = ("db_type", "get_prep_value", "get_db_prep_value", "to_python")
"""The methods of a field that convert its values. A project's own field that overrides one may write a value in two ways."""


def track(model: type[models.Model], *, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
    """Track a model's own table and its automatic many-to-many tables.

    ``slices`` and ``ignore`` are names of fields. Raises Misconfigured for a model or a field that cannot be tracked so.
    """
    _require_trackable(model, (*slices, *ignore), slices)
    registry.add(_tracked_table(model, slices, ignore))
    for many in model._meta.local_many_to_many:
        through: Any = many.remote_field.through
        if not isinstance(through, str) and through._meta.auto_created:
            track(through, slices=[f.name for f in through._meta.local_concrete_fields if f.is_relation])


def _tracked_table(model: type[models.Model], slices: Sequence[str], ignore: Sequence[str]) -> TrackedTable:
    fields = {field.name: field for field in model._meta.local_concrete_fields}
    columns = {name: str(field.column) for name, field in fields.items()}
    return TrackedTable(
        relation=model._meta.db_table,
        label=model._meta.label,
        pk=_pk_column(model),
        columns=tuple(columns[name] for name in fields if name not in ignore and _is_stored(fields[name])),
        slices=tuple(columns[name] for name in slices),
        ignored_fields=tuple(ignore),
        ignored_columns=frozenset(columns[name] for name in ignore),
        known_columns=frozenset(columns.values()),
        forms=ModelColumns(model),
    )


@dataclass(frozen=True, slots=True)
class ModelColumns:
    """How the values of the columns of a model's table are written. It is asked when all models are loaded."""

    model: type[models.Model]

    def database_type(self, column: str) -> str:
        """Return the type of the column in the database that ``DATABASE`` names."""
        return str(_field(self.model, column).db_type(connections[conf.database]) or "")

    def is_text(self, column: str) -> bool:
        """Return whether the values of this column are text."""
        return isinstance(_target(_field(self.model, column)), models.CharField | models.TextField)

    def is_written_alike(self, column: str) -> bool:
        """Return whether Python and the database write the values of this column in the same way."""
        return _is_written_alike(self.model, column)


def is_written_alike(field: Field) -> bool:
    """Return whether Python and the database convert the values of this field to the same text."""
    return _may_have_written_form(field, is_resolved=True)


def _require_trackable(model: type[models.Model], names: Iterable[str], slices: Iterable[str]) -> None:
    options = model._meta
    registered = registry.find(options.db_table)
    if options.proxy or (registered and registered.label != options.label):
        tracked = registered.label if registered else options.concrete_model
        raise Misconfigured(f"track {tracked}, not {options.label}")
    fields = {field.name: field for field in options.local_concrete_fields}
    for name in names:
        if name not in fields:
            raise Misconfigured(f"{options.label} has no column of its own for the field {name!r}")
    if {*options.db_table} & {*'#.*"'}:
        raise Misconfigured(
            f"the table name {options.db_table!r} has a letter that separates the parts of a tag"
        )
    for name in slices:
        if not _may_have_written_form(fields[name]):
            raise Misconfigured(f"{fields[name]} cannot be a slice: integers, uuids, booleans and text can")


def _pk_column(model: type[models.Model]) -> str:
    pk = model._meta.pk
    if pk is None or pk.column is None:
        raise Misconfigured(f"{model._meta.label} needs a primary key of one column to be tracked")
    return str(pk.column)


def _is_stored(field: Field) -> bool:
    return bool(getattr(field, "db_persist", True))


@functools.cache
def _is_written_alike(model: type[models.Model], column: str) -> bool:
    return is_written_alike(_field(model, column))


def _field(model: type[models.Model], column: str) -> Field:
    return next(field for field in model._meta.local_concrete_fields if field.column == column)


def _target(field: Field) -> Field | None:
    """Return the field itself, or the field that a foreign key finally refers to. None while that model is not loaded."""
    target: Any = field
    while isinstance(target, models.ForeignKey):
        try:
            target = target.target_field
        except (FieldDoesNotExist, ValueError, AttributeError):
            return None
    return cast("Field", target)


def _may_have_written_form(field: Field, *, is_resolved: bool = False) -> bool:
    """Return whether the values of a field have one written form.

    A foreign key to a model that is not loaded yet is assumed to have one, except with ``is_resolved``.
    """
    target = _target(field)
    if target is None:
        return not is_resolved
    if target is not field and not _converts_as_django(type(field)):  # type: ignore[arg-type]
        return False
    if not isinstance(target, SLICEABLE) or isinstance(target, CITextField | ArrayField):
        return False
    # Another collation may call two texts equal that are written differently.
    return not getattr(target, "db_collation", None) and _converts_as_django(type(target))  # type: ignore[arg-type]


@functools.cache
def _converts_as_django(field_class: Any) -> bool:
    """Return whether a field class converts values as the class of Django does that it inherits from."""
    django = next(base for base in field_class.__mro__ if base.__module__.startswith("django.db.models."))
    return all(getattr(field_class, name) is getattr(django, name) for name in _CONVERSIONS)
