"""What can be read of the shelf, and how a writer changes each of it."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db import connection

from cachecontrol.api import prepare
from tests.shelf.models import Item

if TYPE_CHECKING:
    from django.db.models import QuerySet


class Subject(StrEnum):
    """One thing to read: each depends on another kind of tag."""

    ROW = "row"
    LIST = "list"
    COUNT = "count"
    MISSING = "missing"
    TABLE = "table"


CHANGES = {
    Subject.ROW: "UPDATE shelf_item SET price = price + 1 WHERE id = 1",
    Subject.LIST: "UPDATE shelf_item SET shelf_id = 1, price = price + 1 WHERE id = 3",
    Subject.COUNT: "INSERT INTO shelf_item (shelf_id, name, price, looks) VALUES (1, 'new', 7, 0)",
    Subject.MISSING: "INSERT INTO shelf_item (id, shelf_id, name, price, looks) VALUES (99, 2, 'found', 9, 0)",
    Subject.TABLE: "DELETE FROM shelf_item WHERE id = 2",
}
"""For each subject a statement after which it reads differently."""


def write(subject: str) -> None:
    """Change what the subject reads, on this process' own connection."""
    with connection.cursor() as cursor:
        cursor.execute(CHANGES[Subject(subject)])


def read_batch(subject: str) -> Any:
    """Read the subject with ``fetch_many`` if it names rows, else with a cached query."""
    rows = Item.objects.fetch_many([1, 2, 99], "shelf.batch", ttl=3600)
    match Subject(subject):
        case Subject.ROW:
            return rows[1].price
        case Subject.MISSING:
            return [rows[99].price] if 99 in rows else []
        case _:
            return read(subject, cached=True)


@prepare
def _items_of(shelf: int) -> QuerySet[Item]:
    return Item.objects.filter(shelf=shelf).order_by("pk").cached("shelf.query", ttl=3600)


def read(subject: str, *, cached: bool = False) -> Any:
    """Read the subject as plain values, from the cache if told to."""
    items = Item.objects.cached("shelf.query", ttl=3600) if cached else Item.objects.all()
    match Subject(subject):
        case Subject.ROW:
            return items.get(pk=1).price
        case Subject.LIST:
            found = _items_of(1) if cached else items.filter(shelf=1).order_by("pk")
            return [item.price for item in found]
        case Subject.COUNT:
            return items.filter(shelf=1).count()
        case Subject.MISSING:
            return [item.price for item in items.filter(pk=99)]
        case Subject.TABLE:
            return sorted(items.values_list("price", flat=True))
