"""Tracking: which models' changes are captured, by which columns they are watched and sliced."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.contrib.postgres.fields import ArrayField, CITextField
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from cachecontrol.exceptions import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SLICEABLE = (models.IntegerField, models.UUIDField, models.BooleanField, models.CharField, models.TextField)
"""Fields whose values have one written form, the same in SQL and in Python, as Django itself defines them."""

_CONVERSIONS = ("db_type", "get_prep_value", "get_db_prep_value", "to_python")
"""What a field of a project's own may do differently, so that its values are written in two ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """What is captured of one table. Columns are names in the database."""

    relation: str
    model: type[models.Model]
    pk: str
    columns: tuple[str, ...]
    """Watched columns: a row moved if one of them differs."""
    slices: tuple[str, ...]
    ignored: tuple[str, ...]
    """Names of the fields that cached reads defer."""
    blind: frozenset[str] = frozenset()
    """Columns of those fields: their changes move nothing."""

    def can_name(self, column: str | None) -> bool:
        """Whether the values of this column are written the same by Python and by the trigger, so that tags may hold them."""
        return (column == self.pk or column in self.slices) and _is_written_alike(self, column)

    def is_text(self, column: str) -> bool:
        """Whether the values of this column are text."""
        return isinstance(_target(_fields(self)[column]), models.CharField | models.TextField)


_trackings: dict[str, Tracking] = {}


def add(model: type[models.Model], *, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
    """Track a model's own table and its automatic many-to-many tables. Raises Misconfigured for an unfit field."""
    options = model._meta
    fields = {field.name: field for field in options.local_concrete_fields}
    known = _trackings.get(options.db_table)
    if options.proxy or (known and known.model._meta.label != options.label):
        raise Misconfigured(
            f"track {known.model._meta.label if known else options.concrete_model}, not {options.label}"
        )
    for name in (*slices, *ignore):
        if name not in fields:
            raise Misconfigured(f"{options.label} has no column of its own for the field {name!r}")
    if {*options.db_table} & {*'#.*"'}:
        raise Misconfigured(
            f"the table name {options.db_table!r} has a letter that separates the parts of a tag"
        )
    for name in slices:
        if not _may_have_written_form(fields[name]):
            raise Misconfigured(f"{fields[name]} cannot be a slice: integers, uuids, booleans and text can")
    schema.cache_clear()
    _trackings[options.db_table] = Tracking(
        relation=options.db_table,
        model=model,
        pk=_pk_column(model),
        columns=tuple(
            str(field.column) for name, field in fields.items() if name not in ignore and _is_stored(field)
        ),
        slices=tuple(str(fields[name].column) for name in slices),
        ignored=tuple(ignore),
        blind=frozenset(str(fields[name].column) for name in ignore),
    )
    for many in options.local_many_to_many:
        through: Any = many.remote_field.through
        if not isinstance(through, str) and through._meta.auto_created:
            add(through, slices=[f.name for f in through._meta.local_concrete_fields if f.is_relation])


@functools.cache
def schema() -> str:
    """Which columns this code reads: a part of every key, so that entries of code with other columns are not seen."""
    columns = repr([(t.relation, t.pk, t.columns, t.slices) for t in trackings()])
    return hashlib.blake2b(columns.encode(), digest_size=16).hexdigest()


def find(relation: str) -> Tracking | None:
    """The tracking of that table, or None."""
    return _trackings.get(relation)


def trackings() -> list[Tracking]:
    """Every tracking, by table."""
    return sorted(_trackings.values(), key=lambda tracking: tracking.relation)


def untracked(relations: Iterable[str]) -> list[str]:
    """Which of these tables are not tracked."""
    return sorted({relation for relation in relations if relation not in _trackings})


def _pk_column(model: type[models.Model]) -> str:
    pk = model._meta.pk
    if pk is None or pk.column is None:
        raise Misconfigured(f"{model._meta.label} needs a primary key of one column to be tracked")
    return str(pk.column)


def _is_stored(field: models.Field[Any, Any]) -> bool:
    return bool(getattr(field, "db_persist", True))


@functools.cache
def _is_written_alike(tracked: Tracking, column: str | None) -> bool:
    return is_written_alike(_fields(tracked)[column])


def is_written_alike(field: models.Field[Any, Any]) -> bool:
    """Whether Python and the database convert the values of this field to the same text."""
    return _may_have_written_form(field, is_resolved=True)


def _fields(tracked: Tracking) -> dict[str | None, models.Field[Any, Any]]:
    return {field.column: field for field in tracked.model._meta.local_concrete_fields}


def _target(field: models.Field[Any, Any]) -> models.Field[Any, Any] | None:
    """The field itself, or the field that a foreign key finally refers to. None while that model is not loaded."""
    target: Any = field
    while isinstance(target, models.ForeignKey):
        try:
            target = target.target_field
        except (FieldDoesNotExist, ValueError, AttributeError):
            return None
    return cast("models.Field[Any, Any]", target)


def _may_have_written_form(field: models.Field[Any, Any], *, is_resolved: bool = False) -> bool:
    """Whether a column's values have one written form. A foreign key to a model that is not loaded yet is assumed to have one."""
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
def _converts_as_django(kind: Any) -> bool:
    django = next(base for base in kind.__mro__ if base.__module__.startswith("django.db.models."))
    return all(getattr(kind, name) is getattr(django, name) for name in _CONVERSIONS)
