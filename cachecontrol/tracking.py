"""Tracking: which models' changes are captured, by which columns they are watched and sliced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.fields import ArrayField, CITextField
from django.core.exceptions import FieldDoesNotExist
from django.db import models

from cachecontrol.exceptions import Misconfigured

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SLICEABLE = (models.IntegerField, models.UUIDField, models.BooleanField, models.CharField, models.TextField)
"""Fields whose values have one written form, the same in SQL and in Python."""


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


_trackings: dict[str, Tracking] = {}


def add(model: type[models.Model], *, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> None:
    """Track a model's own table and its automatic many-to-many tables. Raises Misconfigured for an unfit field."""
    options = model._meta
    fields = {field.name: field for field in options.local_concrete_fields}
    for name in (*slices, *ignore):
        if name not in fields:
            raise Misconfigured(f"{options.label} has no column of its own for the field {name!r}")
    for name in slices:
        _check_slice(fields[name])
    _trackings[options.db_table] = Tracking(
        relation=options.db_table,
        model=model,
        pk=_pk_column(model),
        columns=tuple(
            str(field.column) for name, field in fields.items() if name not in ignore and _is_stored(field)
        ),
        slices=tuple(str(fields[name].column) for name in slices),
        ignored=tuple(ignore),
    )
    for many in options.local_many_to_many:
        through: Any = many.remote_field.through
        if not isinstance(through, str) and through._meta.auto_created:
            add(through, slices=[f.name for f in through._meta.local_concrete_fields if f.is_relation])


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


def _check_slice(field: models.Field[Any, Any]) -> None:
    target: Any = field
    while isinstance(target, models.ForeignKey):
        try:
            target = target.target_field
        except (FieldDoesNotExist, ValueError, AttributeError):
            return
    if not isinstance(target, SLICEABLE) or isinstance(target, CITextField | ArrayField):
        raise Misconfigured(f"{field} cannot be a slice: integers, uuids, booleans and text can")
