"""Queries of many shapes. Each takes a queryset of items, a shelf and an item, and returns the facts that it read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Sum
from django.db.models.expressions import RawSQL

from cachecontrol.frontends.prepared import prepare
from cachecontrol.prove.models import Item, Shelf

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from django.db.models import QuerySet

    from cachecontrol.prove.facts import Fact

    Query = Callable[[QuerySet[Item], int, int], list[Fact]]


def items(*, cached: bool) -> QuerySet[Item]:
    """Return all items, as a cached queryset or as one that asks the database."""
    return Item.objects.cached("prove.items") if cached else Item.objects.all()


def item(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    row = queryset.filter(pk=pk).first()
    return [_item_fact(pk, row)]


def items_of_shelf(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    return [_list_fact(shelf, queryset.filter(shelf=shelf))]


def values_of_shelf(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    rows = queryset.filter(shelf_id=shelf).order_by("note", "pk").values_list("pk", "version")
    return [("list", shelf, dict(rows))]


def sums_of_shelf(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    sums = queryset.filter(shelf=shelf).aggregate(count=Count("pk"), total=Sum("version"))
    return [("sum", shelf, sums["count"], sums["total"] or 0)]


def items_with_shelves(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """Read three items in a join with their shelves."""
    pks = [pk, pk + 1, pk + 2]
    rows = {row.pk: row for row in queryset.filter(pk__in=pks).select_related("shelf")}
    shelves: list[Fact] = [("shelf", row.shelf_id, row.shelf.version) for row in rows.values()]
    return [*shelves, *(_item_fact(number, rows.get(number)) for number in pks)]


def items_in_bulk(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    pks = [pk, pk + 7]
    rows = queryset.in_bulk(pks)
    return [_item_fact(number, rows.get(number)) for number in pks]


def union(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """Read the items of a shelf by a join, combined with a query that finds nothing."""
    joined = queryset.filter(shelf__note__gte="", shelf__pk=shelf)
    return [_list_fact(shelf, joined.union(queryset.filter(shelf=shelf, note="none such")))]


def raw_subquery(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """Read one row, and another that only SQL of the project's own names."""
    version = RawSQL("(SELECT version FROM prove_item AS other WHERE other.id = %s)", [pk + 1])
    other_shelf = RawSQL("(SELECT shelf_id FROM prove_item AS other WHERE other.id = %s)", [pk + 1])
    row = queryset.filter(pk=pk).annotate(other_version=version, other_shelf=other_shelf).first()
    if row is None:
        return [_item_fact(pk, None)]
    return [_item_fact(pk, row), ("item", pk + 1, row.other_version, row.other_shelf)]


def first_of_shelf(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """Read the first item of a shelf: its version is shown, and decides nothing."""
    rows = queryset.filter(shelf=shelf).order_by("pk").values_list("pk", "version")[:1]
    return [("item", number, version, shelf) for number, version in rows]


def shelf_with_items(queryset: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """Read the items of a shelf through the shelf: only the columns of the join tell which they are."""
    shelves = Shelf.objects.cached("prove.shelves") if _is_cached(queryset) else Shelf.objects.all()
    rows = shelves.filter(pk=shelf).values_list("item__pk", "item__version")
    return [("list", shelf, {number: version for number, version in rows if number is not None})]


QUERIES: tuple[Query, ...] = (
    item,
    items_of_shelf,
    values_of_shelf,
    sums_of_shelf,
    items_with_shelves,
    items_in_bulk,
    union,
    raw_subquery,
    first_of_shelf,
    shelf_with_items,
)


def shelf_row(pk: int, *, cached: bool) -> list[Fact]:
    """Return the fact of one shelf."""
    shelves = Shelf.objects.cached("prove.shelves") if cached else Shelf.objects.all()
    row = shelves.filter(pk=pk).first()
    return [("shelf", pk, row.version if row else None)]


def fetched_item(pk: int) -> list[Fact]:
    """Fetch one item by its primary key."""
    try:
        return [_item_fact(pk, Item.objects.fetch(pk, "prove.items"))]
    except Item.DoesNotExist:
        return [_item_fact(pk, None)]


def fetched_items(pk: int) -> list[Fact]:
    """Fetch three items by their primary keys together."""
    pks = [pk, pk + 3, pk + 7]
    rows = Item.objects.fetch_many(pks, "prove.items")
    return [_item_fact(number, rows.get(number)) for number in pks]


@prepare
def _items_of_shelf(shelf: int) -> QuerySet[Item]:
    return Item.objects.filter(shelf=shelf).cached("prove.items")


def prepared_items(shelf: int) -> list[Fact]:
    """Read the items of a shelf through a prepared queryset, which shares its entries with ``items_of_shelf``."""
    return [_list_fact(shelf, _items_of_shelf(shelf))]


def random_query(rng: random.Random, shelf: int, pk: int) -> list[Fact]:
    """Run a cached query of a shape that is drawn."""
    if rng.random() < 0.1:
        return shelf_row(shelf, cached=True)
    if rng.random() < 0.3:
        read, number = rng.choice([(fetched_item, pk), (fetched_items, pk), (prepared_items, shelf)])
        return read(number)
    return rng.choice(QUERIES)(items(cached=True), shelf, pk)


def _is_cached(queryset: QuerySet[Item]) -> bool:
    return getattr(queryset.query, "policy", None) is not None


def _item_fact(pk: int, row: Item | None) -> Fact:
    return ("item", pk, row.version, row.shelf_id) if row else ("item", pk, None, None)


def _list_fact(shelf: int, rows: Iterable[Item]) -> Fact:
    return "list", shelf, {row.pk: row.version for row in rows}
