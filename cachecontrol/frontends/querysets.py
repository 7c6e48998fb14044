"""Cached querysets, and their instances, which know that they may be old."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.query import ModelIterable

from cachecontrol.core import registry
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.exceptions import FullSaveRefused
from cachecontrol.frontends.queries import TrackedQuery
from cachecontrol.reasons import Outcome, PolicyKind, Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


M = TypeVar("M", bound=models.Model)


class _CachedModelIterable(ModelIterable):  # type: ignore[type-arg]
    """Instances that may be old, and know it."""

    def __iter__(self) -> Iterator[Any]:
        known = self.queryset._known_related_objects.values()  # type: ignore[attr-defined]
        own = {id(instance) for instances in known for instance in instances.values()}
        for instance in super().__iter__():
            _mark(instance, own)
            yield instance


def _mark(instance: models.Model, own: set[int]) -> None:
    """Mark an instance and those that were joined to it, but not the caller's ``own``."""
    if id(instance) in own or getattr(instance._state, "from_cache", False):
        return
    instance._state.from_cache = True  # type: ignore[attr-defined]
    for joined in instance._state.fields_cache.values():
        if isinstance(joined, models.Model):
            _mark(joined, own)


class TrackedQuerySet(models.QuerySet[M]):
    """A queryset whose queries report what they depend on, and that can be ``cached()``."""

    query: TrackedQuery

    def __init__(self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(
            model, query if query is not None or model is None else TrackedQuery(model), using, hints
        )

    def cached(self, name: str = "", *, ttl: float = 3600.0, enabled: bool = True) -> Self:
        """Answer from the cache where that is provably fresh, and fill it where not.

        ``name`` is the policy's (default: the model's label in lower case); ``ttl`` is in seconds. Ignored columns are
        deferred. Instances refuse a full ``save()``, which would write old columns back.
        """
        queryset: Any = self.all()
        name = name or queryset.model._meta.label_lower
        queryset.query.policy = register_policy(
            Policy(name=name, kind=PolicyKind.QUERY, ttl=ttl, enabled=enabled)
        )
        if queryset._iterable_class is ModelIterable:
            queryset._iterable_class = _CachedModelIterable
        return cast("Self", queryset._without_ignored())

    def select_related(self, *fields: Any) -> Self:
        return super().select_related(*fields)._without_ignored()

    def _without_ignored(self) -> Self:
        """If cached, defer the ignored columns of the model and of those that are joined by name."""
        query: Any = self.query
        if self._is_uncached or self._fields is not None or query.combinator:  # type: ignore[attr-defined]
            return self
        joined = query.select_related if isinstance(query.select_related, dict) else {}
        ignored = [*_ignored(self.model, joined)]
        return self.defer(*ignored) if ignored else self

    def uncached(self) -> Self:
        """Ask the database itself."""
        queryset: Any = self.all()
        if queryset.query.policy is not None:
            queryset.query.policy = None
            queryset._iterable_class = ModelIterable if queryset._fields is None else queryset._iterable_class
        return cast("Self", queryset)

    def raw(self, *args: Any, **kwargs: Any) -> Any:
        if self.query.policy is not None:
            recording.record_read(self.query.policy.name, Outcome.BYPASS, Reason.RAW, 0.0)
        return super().raw(*args, **kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        return super().delete() if self._is_uncached else self.uncached().delete()

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def get_or_create(self, defaults: Any = None, **kwargs: Any) -> tuple[M, bool]:
        if self._is_uncached:
            return super().get_or_create(defaults, **kwargs)
        return self.uncached().get_or_create(defaults, **kwargs)

    def update_or_create(
        self, defaults: Any = None, create_defaults: Any = None, **kwargs: Any
    ) -> tuple[M, bool]:
        if self._is_uncached:
            return super().update_or_create(defaults, create_defaults, **kwargs)
        return self.uncached().update_or_create(defaults, create_defaults, **kwargs)

    @property
    def _is_uncached(self) -> bool:
        return getattr(self.query, "policy", None) is None


def _ignored(model: Any, joined: dict[str, Any]) -> Iterator[str]:
    """The ignored fields of a model, its parents and the models that are joined to it, as ``defer`` names them."""
    for table in (model, *model._meta.all_parents):
        tracked = registry.find(table._meta.db_table)
        yield from (name for name in (tracked.ignored_fields if tracked else ()) if name not in joined)
    for name, deeper in joined.items():
        with contextlib.suppress(FieldDoesNotExist):  # a filtered relation
            related = model._meta.get_field(name).related_model
            yield from (f"{name}__{inner}" for inner in _ignored(related, deeper))


TrackedManager = models.Manager.from_queryset(TrackedQuerySet, "TrackedManager")


def refuse_full_save(sender: Any, *, instance: Any, update_fields: Iterable[str] | None, **_: Any) -> None:
    """Let no instance of a cached read write old columns back (``pre_save``). Raises FullSaveRefused."""
    if not getattr(instance._state, "from_cache", False) or instance._state.adding:
        return
    # A full save of an instance with deferred columns names all others itself, as Django calls them.
    loaded = {
        f.attname for f in sender._meta.concrete_fields if f.attname in vars(instance) and not f.primary_key
    }
    if update_fields is None or set(update_fields) >= loaded:
        raise FullSaveRefused(
            f"{sender._meta.label} {instance.pk} was read from the cache; save with update_fields"
        )
