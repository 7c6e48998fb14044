"""Counts in how many products each lexeme is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from catalog.models import SearchStatistics

COUNT = (Path(__file__).resolve().parent.parent / "sql" / "count_lexemes.sql").read_text()
CHANGES = "SELECT n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relid = 'catalog_product'::regclass"
LOCK = "SELECT pg_try_advisory_xact_lock(hashtext('catalog_lexeme'))"
COUNTED_ROW = 1  # the primary key of the only row of SearchStatistics

# So many changes are worth a count: a hundredth of the products, or any after an hour.
CHANGES_PER_PRODUCT = 0.01
LONGEST_WAIT = timedelta(hours=1)


def count_if_changed() -> bool:
    """Count the lexemes if enough products have changed since the last count, and return whether they were counted."""
    last = SearchStatistics.objects.filter(pk=COUNTED_ROW).first()
    with connection.cursor() as cursor:
        changes = _changes(cursor)
    if last and changes == last.changes:
        return False
    if last and timezone.now() - last.counted_at < LONGEST_WAIT:
        # A number that has become smaller says that the server began to count anew.
        new_changes = abs(changes - last.changes)
        if new_changes < max(1, CHANGES_PER_PRODUCT * last.products):
            return False
    return count_lexemes()


def count_lexemes() -> bool:
    """Count in how many products each lexeme is; return False, and count nothing, while another process counts."""
    with transaction.atomic(), connection.cursor() as cursor:
        if not _value(cursor, LOCK):
            return False
        changes = _changes(cursor)
        cursor.execute(COUNT)
        products = _value(cursor, "SELECT count(*) FROM catalog_product")
        SearchStatistics.objects.update_or_create(
            pk=COUNTED_ROW, defaults={"products": products, "changes": changes, "counted_at": timezone.now()}
        )
    return True


def _changes(cursor: Any) -> int:
    return _value(cursor, CHANGES) or 0


def _value(cursor: Any, sql: str) -> Any:
    cursor.execute(sql)
    row = cursor.fetchone()
    return row[0] if row else None
