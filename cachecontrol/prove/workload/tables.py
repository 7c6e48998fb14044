"""The rows of the proof's tables, and which of them are popular."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection, transaction

from cachecontrol.prove.facts import ITEMS, SHELVES

if TYPE_CHECKING:
    import random

INSERT_ITEMS = (
    f"INSERT INTO prove_item SELECT n, 1 + n % {SHELVES}, 0, 'loaded' FROM generate_series(1, {ITEMS}) AS n"  # noqa: S608
)


def popular(rng: random.Random, last: int) -> int:
    """Return a number from 1 to ``last``. As in a shop, few rows are popular: half of the reads are of a 32nd of them."""
    return 1 + int(last * rng.random() ** 5)


def load() -> None:
    """Replace all rows by those that a proof begins with."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prove_shelf")
        cursor.execute(f"INSERT INTO prove_shelf (id) SELECT generate_series(1, {SHELVES})")
        cursor.execute(INSERT_ITEMS)
