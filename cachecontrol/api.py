"""The public interface: everything that a project imports in order to use the cache. ``docs/how-to.md`` shows it in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from django.db import models

from cachecontrol.dependencies import statements
from cachecontrol.dependencies.collection import expire_at
from cachecontrol.dependencies.declarations import independent
from cachecontrol.drain import catch_up
from cachecontrol.engine import bypass
from cachecontrol.frontends.front import ASGIFront, WSGIFront
from cachecontrol.frontends.pages import cached_page
from cachecontrol.frontends.prepared import prepare
from cachecontrol.frontends.querysets import TrackedManager, TrackedQuerySet
from cachecontrol.local.tier import local_reads
from cachecontrol.postgres import tracked_models

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Callable, Iterable, Sequence

M = TypeVar("M", bound=models.Model)

__all__ = [
    "ASGIFront",
    "TrackedManager",
    "TrackedQuerySet",
    "WSGIFront",
    "bypass",
    "cached_page",
    "depends_on",
    "expire_at",
    "independent",
    "invalidate",
    "local_reads",
    "prepare",
    "track",
]


def track(*, slices: Sequence[str] = (), ignore: Sequence[str] = ()) -> Callable[[type[M]], type[M]]:
    """Return a class decorator that lets the cache know every change of a model's table.

    ``manage.py migrate`` creates the triggers. The many-to-many tables that Django creates for the model are tracked, too. The
    model needs a ``TrackedManager``, so that its queries report what they depend on.

    Args:
        slices: names of fields, the most selective first. A query that filters one of them by equality depends on the rows
            with this value and not on the whole table. Possible are integers, UUIDs, booleans, text, and foreign keys to
            those.
        ignore: names of fields whose changes make no entry stale. Cached querysets defer them, and the result of a query
            that filters or orders by one is not stored.

    Returns:
        The decorator. It returns the model itself.

    Raises:
        Misconfigured: when it decorates, if a field does not exist or cannot be a slice, or if the model has no table or no
            single primary key of its own.

    Example::

        @track(slices=["category", "slug"], ignore=["popularity"])
        class Product(models.Model):
            objects = TrackedManager()
    """

    def decorate(model: type[M]) -> type[M]:
        tracked_models.track(model, slices=slices, ignore=ignore)
        return model

    return decorate


def depends_on(*models: type[models.Model]) -> contextlib.AbstractContextManager[None]:
    """Return a context manager within which raw SQL reads the tables of these models and no others.

    What is computed with this SQL may be stored, and depends on the tables as a whole. Without it, the result of raw SQL is
    served and not stored (refusal ``uncovered``).

    Args:
        models: tracked models. The tables of many-to-many relations and of parents are separate: name their models, too.

    Raises:
        Misconfigured: when the block begins, if a model is not tracked.

    Example::

        with depends_on(Product, Brand), connection.cursor() as cursor:
            cursor.execute("SELECT … FROM shop_product JOIN shop_brand …")
    """
    return statements.reading_tables([model._meta.db_table for model in models])


def invalidate(tags: Iterable[str]) -> None:
    """Make every entry stale that depends on one of these tags.

    For changes that no trigger can see, such as those of a file. They count as changes of the transaction that is open now:
    they take effect when it is committed, at once outside of a transaction, and never if it is rolled back.

    Args:
        tags: names of tables (``"shop_product"``), rows (``"shop_product#5"``) or slices (``"shop_product.category_id=5"``).

    Example::

        invalidate([f"shop_product#{product.pk}"])
    """
    catch_up.invalidate(list(tags))
