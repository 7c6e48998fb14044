"""Reads of every shape. Each returns the facts that it found; ``cached`` says whether it asks the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Count, Sum
from django.db.models.expressions import RawSQL

from cachecontrol.prove.models import Item, Shelf

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from django.db.models import QuerySet

    from cachecontrol.prove.facts import Fact

    Shape = Callable[[QuerySet[Item], int, int], list[Fact]]


def items(*, cached: bool) -> QuerySet[Item]:
    return Item.objects.cached("prove.items") if cached else Item.objects.all()


def item_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    item = found.filter(pk=pk).first()
    return [("item", pk, item.version if item else None, item.shelf_id if item else None)]


def list_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    return [("list", shelf, {item.pk: item.version for item in found.filter(shelf=shelf)})]


def values_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    rows = found.filter(shelf_id=shelf).order_by("note", "pk").values_list("pk", "version")
    return [("list", shelf, dict(rows))]


def sum_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    said = found.filter(shelf=shelf).aggregate(count=Count("pk"), total=Sum("version"))
    return [("sum", shelf, said["count"], said["total"] or 0)]


def joined_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    rows = list(found.filter(pk__in=[pk, pk + 1, pk + 2]).select_related("shelf"))
    there = {item.pk: item for item in rows}
    facts: list[Fact] = [("shelf", item.shelf_id, item.shelf.version) for item in rows]
    for number in (pk, pk + 1, pk + 2):
        item = there.get(number)
        facts.append(("item", number, item.version if item else None, item.shelf_id if item else None))
    return facts


def bulk_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    there = found.in_bulk([pk, pk + 7])
    return [
        (
            "item",
            number,
            *((there[number].version, there[number].shelf_id) if number in there else (None, None)),
        )
        for number in (pk, pk + 7)
    ]


def reverse_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    rows = found.filter(shelf__note__gte="", shelf__pk=shelf).union(
        found.filter(shelf=shelf, note="none such")
    )
    return [("list", shelf, {item.pk: item.version for item in rows})]


def hidden_of(found: QuerySet[Item], shelf: int, pk: int) -> list[Fact]:
    """One row, and another that only SQL of the project's own names."""
    other = RawSQL("(SELECT version FROM prove_item AS other WHERE other.id = %s)", [pk + 1])
    place = RawSQL("(SELECT shelf_id FROM prove_item AS other WHERE other.id = %s)", [pk + 1])
    item = found.filter(pk=pk).annotate(other=other, place=place).first()
    if item is None:
        return [("item", pk, None, None)]
    return [("item", pk, item.version, item.shelf_id), ("item", pk + 1, item.other, item.place)]


SHAPES: tuple[Shape, ...] = (item_of, list_of, values_of, sum_of, joined_of, bulk_of, reverse_of, hidden_of)


def shelf_of(pk: int, *, cached: bool) -> list[Fact]:
    shelves = Shelf.objects.cached("prove.shelves") if cached else Shelf.objects.all()
    shelf = shelves.filter(pk=pk).first()
    return [("shelf", pk, shelf.version if shelf else None)]


def any_of(chance: random.Random, shelf: int, pk: int) -> list[Fact]:
    """A cached read of some shape."""
    if chance.random() < 0.1:
        return shelf_of(shelf, cached=True)
    return chance.choice(SHAPES)(items(cached=True), shelf, pk)
