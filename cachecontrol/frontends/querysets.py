"""Cached querysets, and their instances, which are marked so that a full save does not write old columns back."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.query import ModelIterable

from cachecontrol.core import registry
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.exceptions import FullSaveRefused
from cachecontrol.frontends import rows
from cachecontrol.frontends.instances import CachedModelIterable
from cachecontrol.frontends.queries import TrackedQuery
from cachecontrol.reasons import Outcome, PolicyKind, Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


M = TypeVar("M", bound=models.Model)


class TrackedQuerySet(models.QuerySet[M]):
    """A queryset whose queries report what they depend on. ``cached()`` makes the cache answer them.

    Inherit from it for a queryset class with methods of your own.
    """

    query: TrackedQuery

    def __init__(self, model: Any = None, query: Any = None, using: Any = None, hints: Any = None) -> None:
        super().__init__(
            model, query if query is not None or model is None else TrackedQuery(model), using, hints
        )

    def cached(
        self, name: str = "", *, ttl: float = 3600.0, local: bool = True, enabled: bool = True
    ) -> Self:
        """Return the queryset as one that the cache answers: its rows, ``count()``, ``exists()``, ``aggregate()`` and so on.

        Where no entry is provably fresh, the query runs and its result is stored. Columns of ``ignore`` fields are deferred.
        The instances refuse a full ``save()``, which would write old columns back.

        Args:
            name: name of the policy; empty for the model's label in lower case (``shop.product``).
            ttl: seconds that an entry lives at most.
            local: whether a process may keep the result in its own memory, for readers within ``local_reads``.
            enabled: if False, each read runs the query and counts as a bypass (``disabled``).

        Raises:
            Misconfigured: another policy has this name, such as one of another ``ttl``.

        Example::

            Product.objects.filter(brand=brand).cached("shop.brand", ttl=600)
        """
        queryset: Any = self.all()
        queryset.query.policy = _policy(queryset.model, name, ttl=ttl, local=local, enabled=enabled)
        if queryset._iterable_class is ModelIterable:
            queryset._iterable_class = CachedModelIterable
        return cast("Self", queryset._without_ignored())

    def fetch(
        self, pk: Any, name: str = "", *, ttl: float = 3600.0, local: bool = True, enabled: bool = True
    ) -> M:
        """Return the row with this primary key as ``cached().get(pk=pk)`` does, on a hit without compiling the query.

        Both share their entries. A queryset that is filtered or changed otherwise keeps its restrictions, and compiles.

        Args:
            pk: the primary key, in any form that ``get`` takes.
            name: name of the policy, as in ``cached()``.
            ttl: seconds that an entry lives at most.
            local: as in ``cached()``.
            enabled: if False, each read runs the query and counts as a bypass (``disabled``).

        Raises:
            DoesNotExist: no row of the queryset has this key.
            ValueError: the key cannot be one of this model, as ``get`` raises it.
            Misconfigured: another policy has this name.

        Example::

            product = Product.objects.fetch(5)
        """
        policy = _policy(self.model, name, ttl=ttl, local=local, enabled=enabled)
        has_own_get = type(self).get is not TrackedQuerySet.get
        if not has_own_get and (instance := self._row(policy, pk)) is not None:
            return instance
        return self.cached(name, ttl=ttl, local=local, enabled=enabled).get(pk=pk)

    async def afetch(
        self, pk: Any, name: str = "", *, ttl: float = 3600.0, local: bool = True, enabled: bool = True
    ) -> M:
        """Return what ``fetch`` returns, without blocking the event loop."""
        return await sync_to_async(self.fetch)(pk, name, ttl=ttl, local=local, enabled=enabled)

    def fetch_many(
        self,
        pks: Iterable[Any],
        name: str = "",
        *,
        ttl: float = 3600.0,
        local: bool = True,
        enabled: bool = True,
    ) -> dict[Any, M]:
        """Return the rows with these primary keys, by key, in one round trip to Redis for each 500 of them.

        The entries are those of ``fetch``. What no entry answers is read together, by one query for each ``ROWS_PER_ENTRY``
        rows. Keys that are neither integers nor uuids, and querysets that are filtered or changed otherwise, are answered as
        ``cached().in_bulk(pks)`` does.

        Args:
            pks: primary keys, in any form that ``in_bulk`` takes.
            name: name of the policy, as in ``cached()``.
            ttl: seconds that an entry lives at most.
            local: as in ``cached()``.
            enabled: if False, each read runs the query and counts as a bypass (``disabled``).

        Returns:
            The rows that exist, by primary key, in the order of ``pks``.

        Raises:
            ValueError: a key cannot be one of this model, as ``in_bulk`` raises it.
            Misconfigured: another policy has this name.

        Example::

            products = Product.objects.fetch_many([5, 7, 9])
        """
        keys = [*dict.fromkeys(pks)]
        ignored = tuple(_ignored(self.model, {}))
        found: dict[Any, Any] | None = None
        if keys and rows.can_find(self, keys, ignored):
            policy = _policy(self.model, name, ttl=ttl, local=local, enabled=enabled)
            found = rows.find_many(self, policy, keys, ignored)
        if found is None:
            return self.cached(name, ttl=ttl, local=local, enabled=enabled).in_bulk(keys)
        return found

    async def afetch_many(
        self,
        pks: Iterable[Any],
        name: str = "",
        *,
        ttl: float = 3600.0,
        local: bool = True,
        enabled: bool = True,
    ) -> dict[Any, M]:
        """Return what ``fetch_many`` returns, without blocking the event loop."""
        return await sync_to_async(self.fetch_many)(pks, name, ttl=ttl, local=local, enabled=enabled)

    def get(self, *args: Any, **kwargs: Any) -> M:
        """Return the only row that meets these conditions, as Django does. A cached row is found by its key as ``fetch`` does."""
        policy = getattr(self.query, "policy", None)
        if policy is not None and not args and len(kwargs) == 1:
            ((name, value),) = kwargs.items()
            is_key = name in ("pk", self.model._meta.pk.name)
            if is_key and (instance := self._row(policy, value)) is not None:
                return instance
        return super().get(*args, **kwargs)

    def _row(self, policy: Policy, pk: Any) -> M | None:
        """Return the row with this key without building a query; None if ``get`` has to. Raises DoesNotExist."""
        model: Any = self.model
        ignored = tuple(_ignored(model, {}))
        if not rows.can_find(self, [pk], ignored) or (found := rows.find(self, policy, pk, ignored)) is None:
            return None
        if not found:
            raise model.DoesNotExist(f"{model._meta.object_name} matching query does not exist.")
        return cast("M", found[0])

    def select_related(self, *fields: Any) -> Self:
        return super().select_related(*fields)._without_ignored()

    def _without_ignored(self) -> Self:
        """Return a queryset that defers ``ignore`` fields of the model and of those joined by name. Uncached ones do not."""
        query: Any = self.query
        if self._is_uncached or self._fields is not None or query.combinator:  # type: ignore[attr-defined]
            return self
        joined = query.select_related if isinstance(query.select_related, dict) else {}
        ignored = [*_ignored(self.model, joined)]
        return self.defer(*ignored) if ignored else self

    def uncached(self) -> Self:
        """Return the queryset as one that the database answers."""
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


def _policy(model: Any, name: str, *, ttl: float, local: bool, enabled: bool) -> Policy:
    """Return the policy of a model's cached querysets, which is registered under the name or the model's label."""
    name = name or model._meta.label_lower
    return register_policy(Policy(name=name, kind=PolicyKind.QUERY, ttl=ttl, local=local, enabled=enabled))


def _ignored(model: Any, joined: dict[str, Any]) -> Iterator[str]:
    """Yield the ``ignore`` fields of a model, its parents and the models that are joined to it, as ``defer`` names them."""
    for table in (model, *model._meta.all_parents):
        tracked = registry.find(table._meta.db_table)
        yield from (name for name in (tracked.ignored_fields if tracked else ()) if name not in joined)
    for name, joined_further in joined.items():
        with contextlib.suppress(FieldDoesNotExist):  # a filtered relation
            related = model._meta.get_field(name).related_model
            yield from (f"{name}__{field}" for field in _ignored(related, joined_further))


TrackedManager = models.Manager.from_queryset(TrackedQuerySet, "TrackedManager")
"""The manager of ``TrackedQuerySet``. Set ``base_manager_name``, too, so that related objects are read through it."""


def refuse_full_save(sender: Any, *, instance: Any, update_fields: Iterable[str] | None, **_: Any) -> None:
    """Refuse a full save of an instance that was read from the cache (``pre_save``). Raises FullSaveRefused."""
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
