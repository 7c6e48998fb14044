"""Records into the database, a batch at a time: COPY into staging tables, then one statement an effect."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DataError, IntegrityError, connection, transaction

from catalog.importing.batch import NULL
from catalog.importing.places import Places
from catalog.importing.records import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from catalog.importing.batch import Batch
    from catalog.importing.records import ProductRecord

BATCH = 2000
LOCK = 0x6C61726465720001  # "larder", 1
SQL = Path(__file__).resolve().parent.parent / "sql"
STAGING = (SQL / "stage.sql").read_text()
STATEMENTS = dict(
    re.findall(r"^-- name: (\w+)\n(.*?;)$", (SQL / "upsert.sql").read_text(), re.MULTILINE | re.DOTALL)
)

OF_KNOWN = {
    "products_updated": "products_known",
    "variants_updated": "variants_known",
    "variants_retired": "products_known",
    "images_updated": "products_known",
}
"""Statements that find nothing to do where no row of the other statement was there before."""
ANALYZE_STAGED = "ANALYZE staged_product (sku, slug), staged_variant (sku, product_sku), staged_image (product_sku, position)"
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

    def load(self, batch: Batch) -> None:
        """Write the batch; where the database refuses it, halve it until the rows to blame stand alone."""
        try:
            self._write(batch)
        except (IntegrityError, DataError) as error:
            if len(batch) == 1:
                self.report(_refused(batch.records[0], error))
                return
            for half in batch.halves():
                self.load(half)

    def settle(self) -> None:
        """Tell the planner of the new rows, and put their words where searches need not read them one by one."""
        if self.dry_run or not self.counts["products_created"] + self.counts["products_updated"]:
            return
        with connection.cursor() as cursor:
            for index in PENDING:
                cursor.execute("SELECT gin_clean_pending_list(%s::regclass)", [index])
            cursor.execute(f"ANALYZE {', '.join(LOADED)}")

    def _write(self, batch: Batch) -> None:
        counts: Counter[str] = Counter(
            products=len(batch), variants=sum(len(record.variants) for record in batch.records)
        )
        with self.places.unless_undone() as keep, transaction.atomic(), connection.cursor() as cursor:
            self.places.make_brands(record.brand for record in batch.records)
            self.places.make_categories(record.category for record in batch.records)
            cursor.execute(STAGING)
            _copy(cursor, "staged_product", self._products(batch))
            _copy(cursor, "staged_variant", [batch.variants])
            _copy(cursor, "staged_image", [batch.images])
            if not self.counts:
                # What the planner learns of the first batch holds for all; their sizes it sees by itself. Not of `id`:
                # whether rows are known is another matter in each.
                cursor.execute(ANALYZE_STAGED)
            for name, statement in STATEMENTS.items():
                if name in OF_KNOWN and not counts[OF_KNOWN[name]]:
                    continue
                cursor.execute(statement)
                counts[name] = cursor.rowcount
            if self.dry_run:
                transaction.set_rollback(True)
            else:
                keep()
        self.counts += counts

    def _products(self, batch: Batch) -> Iterator[str]:
        for record, product in zip(batch.records, batch.products, strict=True):
            brand = self.places.brand(record.brand) or NULL
            yield f"{brand}\t{self.places.category(record.category)}\t{product}"


def _copy(cursor: Any, table: str, lines: Iterable[str]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for said in lines:
            copy.write(said)


def _refused(record: ProductRecord, error: Exception) -> Problem:
    reason = str(error).splitlines()[0]
    return Problem(line=record.line, column="sku", value=record.sku, reason=reason)
