"""Records into the database, a batch at a time: COPY into staging tables, then one statement an effect."""

from __future__ import annotations

import json
import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DataError, IntegrityError, connection, transaction

from catalog.importing.places import Places
from catalog.importing.records import Problem, seed_of, slug_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from catalog.importing.records import ProductRecord

BATCH = 2000
LOCK = 0x6C61726465720001  # "larder", 1
SQL = Path(__file__).resolve().parent.parent / "sql"
STAGING = (SQL / "stage.sql").read_text()
STATEMENTS = dict(
    re.findall(r"^-- name: (\w+)\n(.*?;)$", (SQL / "upsert.sql").read_text(), re.MULTILINE | re.DOTALL)
)

OF_KNOWN = ("variants_retired", "images_updated")
"""Statements that find nothing to do for products that were not there before."""
PENDING = ("product_search", "product_name_trigrams")
LOADED = ("catalog_product", "catalog_variant", "catalog_productimage", "catalog_category", "catalog_brand")


class ImportBusyError(Exception):
    """Another import is running: wait for it, or stop it."""


@contextmanager
def exclusive() -> Iterator[None]:
    """Hold the right to load, which one process at a time has; PostgreSQL takes it back from who dies.

    Commits do not wait for the disk meanwhile: what a crash of the server loses, the next run brings again. Words of many
    products go into the search indexes at once, which takes a third less than batch by batch.

    Raises:
        ImportBusyError: another process is loading.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
        if not cursor.fetchone()[0]:
            raise ImportBusyError
        cursor.execute("SET synchronous_commit = off; SET gin_pending_list_limit = '32MB'")
        try:
            yield
        finally:
            cursor.execute("RESET synchronous_commit; RESET gin_pending_list_limit")
            cursor.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


class Loader:
    """Writes batches of records and counts what they did.

    Each batch is one transaction, and a row that is already as it shall be is left alone. So a load that
    was cut off anywhere is finished by running it again, and running it once too often changes nothing.
    """

    def __init__(self, *, report: Callable[[Problem], None], dry_run: bool = False) -> None:
        self.report = report
        self.dry_run = dry_run
        self.counts: Counter[str] = Counter()
        self.places = Places()

    def load(self, batch: Sequence[ProductRecord]) -> None:
        """Write the batch; where the database refuses it, halve it until the rows to blame stand alone."""
        try:
            self._write(batch)
        except (IntegrityError, DataError) as error:
            if len(batch) == 1:
                self.report(_refused(batch[0], error))
                return
            middle = len(batch) // 2
            self.load(batch[:middle])
            self.load(batch[middle:])

    def settle(self) -> None:
        """Tell the planner of the new rows, and put their words where searches need not read them one by one."""
        if self.dry_run or not self.counts["products_created"] + self.counts["products_updated"]:
            return
        with connection.cursor() as cursor:
            for index in PENDING:
                cursor.execute("SELECT gin_clean_pending_list(%s::regclass)", [index])
            cursor.execute(f"ANALYZE {', '.join(LOADED)}")

    def _write(self, batch: Sequence[ProductRecord]) -> None:
        counts: Counter[str] = Counter(
            products=len(batch), variants=sum(len(record.variants) for record in batch)
        )
        with self.places.unless_undone() as keep, transaction.atomic(), connection.cursor() as cursor:
            # Brands and categories are made here, before a COPY has the connection to itself.
            products = list(self._products(batch))
            cursor.execute(STAGING)
            _copy(cursor, "staged_product", products)
            _copy(cursor, "staged_variant", _variants(batch))
            _copy(cursor, "staged_image", _images(batch))
            cursor.execute("ANALYZE staged_product, staged_variant, staged_image")
            for name, statement in STATEMENTS.items():
                if name in OF_KNOWN and counts["products_created"] == len(batch):
                    continue
                cursor.execute(statement)
                counts[name] = cursor.rowcount
            if self.dry_run:
                transaction.set_rollback(True)
            else:
                keep()
        self.counts += counts

    def _products(self, batch: Sequence[ProductRecord]) -> Iterator[tuple[Any, ...]]:
        for record in batch:
            yield (
                record.line,
                record.sku,
                record.name,
                slug_of(record.name),
                record.description,
                self.places.brand(record.brand),
                self.places.category(record.category),
                record.price,
                record.sale_price,
                record.currency,
                record.status,
                record.publish_at,
                record.unpublish_at,
                json.dumps(record.attributes, ensure_ascii=False),
            )


def _variants(batch: Sequence[ProductRecord]) -> Iterator[tuple[Any, ...]]:
    for record in batch:
        for position, variant in enumerate(record.variants):
            yield (
                record.sku,
                variant.sku,
                variant.option,
                variant.value,
                variant.price,
                variant.gtin,
                position,
                variant.active,
                variant.stock,
            )


def _images(batch: Sequence[ProductRecord]) -> Iterator[tuple[Any, ...]]:
    for record in batch:
        for position, alt in enumerate(record.images):
            yield record.sku, alt, seed_of(record.sku, position), position


def _copy(cursor: Any, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def _refused(record: ProductRecord, error: Exception) -> Problem:
    reason = str(error).splitlines()[0]
    return Problem(line=record.line, column="sku", value=record.sku, reason=reason)
