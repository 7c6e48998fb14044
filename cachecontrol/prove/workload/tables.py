"""The rows of the proof's tables."""

from __future__ import annotations

from django.db import connection, transaction

from cachecontrol.prove.facts import ITEMS, SHELVES

INSERT_ITEMS = (
    f"INSERT INTO prove_item SELECT n, 1 + n % {SHELVES}, 0, 'loaded' FROM generate_series(1, {ITEMS}) AS n"  # noqa: S608
)


def load() -> None:
    """Replace all rows by those that a proof begins with."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM prove_shelf")
        cursor.execute(f"INSERT INTO prove_shelf (id) SELECT generate_series(1, {SHELVES})")
        cursor.execute(INSERT_ITEMS)
