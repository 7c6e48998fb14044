"""Records into the database, a batch at a time: COPY into staging tables, then one statement an effect."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from catalog.importing.batch import NULL
from catalog.importing.places import Places
from catalog.importing.records import Problem, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from catalog.importing.batch import Batch
    from catalog.importing.records import ProductRecord

BATCH = 2000
ATTEMPTS = 5
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


# Classes of SQLSTATE for which no row is to blame: errors of the connection, the transaction, privileges, missing objects,
# resources, and interventions of the operator. Without a SQLSTATE the connection is lost.
NOT_OF_A_ROW = ("", "08", "0L", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0")
MISSING, SHUTDOWN, RIVALRY, TOO_LARGE = "42P01", "57P", "40", "54"


class ImportBusyError(Exception):
    """Another import is running: wait for it, or stop it."""


class ImportStoppedError(Exception):
    """The database cannot continue, for a reason that lies in no row. Fix what the text names, and run the import again."""


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
            if connection.is_usable():
                # A session with temporary tables cannot use the cache, and this connection may serve other reads later.
                cursor.execute("DROP TABLE IF EXISTS staged_product, staged_variant, staged_image")
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
        """Write the batch; where the database refuses it, halve it until the rows to blame stand alone.

        Raises:
            ImportStoppedError: the rows are not to blame.
        """
        try:
            self._write_beside_others(batch)
        except DatabaseError as error:
            _raise_unless_of_a_row(error)
            if len(batch) == 1:
                self.report(_refused(batch.records[0], error))
                return
            for half in batch.halves():
                self.load(half)

    def _write_beside_others(self, batch: Batch) -> None:
        """Write the batch. Try again if PostgreSQL ended the transaction in favour of another one (a deadlock)."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._write(batch)
                return
            except DatabaseError as error:
                if attempt == ATTEMPTS or not _sqlstate(error).startswith(RIVALRY):
                    raise

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
        with self.places.unless_undone() as keep:
            with transaction.atomic(), connection.cursor() as cursor:
                self.places.make_brands(record.brand for record in batch.records)
                self.places.make_categories(record.category for record in batch.records)
                self._stage(cursor, batch)
                for name, statement in STATEMENTS.items():
                    if name in OF_KNOWN and not counts[OF_KNOWN[name]]:
                        continue
                    cursor.execute(statement)
                    counts[name] = cursor.rowcount
                if self.dry_run:
                    transaction.set_rollback(True)
            if not self.dry_run:  # only after the commit, which checks deferred constraints
                keep()
        self.counts += counts

    def _stage(self, cursor: Any, batch: Batch) -> None:
        cursor.execute(STAGING)
        _copy(cursor, "staged_product", self._products(batch))
        _copy(cursor, "staged_variant", [batch.variants])
        _copy(cursor, "staged_image", [batch.images])
        if not self.counts:
            # What the planner learns of the first batch holds for all; their sizes it sees by itself. Not of `id`:
            # whether rows are known is another matter in each.
            cursor.execute(ANALYZE_STAGED)

    def _products(self, batch: Batch) -> Iterator[str]:
        for record, product in zip(batch.records, batch.products, strict=True):
            brand = self.places.brand(record.brand) or NULL
            yield f"{brand}\t{self.places.category(record.category)}\t{product}"


def _copy(cursor: Any, table: str, lines: Iterable[str]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for said in lines:
            copy.write(said)


def _sqlstate(error: DatabaseError) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


def _reason(error: DatabaseError) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _raise_unless_of_a_row(error: DatabaseError) -> None:
    state = _sqlstate(error)
    if state[:2] not in NOT_OF_A_ROW:
        return
    if not state or state == MISSING or state.startswith(SHUTDOWN):
        raise error
    raise ImportStoppedError(_reason(error)) from error


def _refused(record: ProductRecord, error: DatabaseError) -> Problem:
    """Return the problem of a row that passed all checks but the database's."""
    if _sqlstate(error).startswith(TOO_LARGE):
        texts = {"description": record.description}
        texts |= {f"attributes.{name}": str(value) for name, value in record.attributes.items()}
        column = max(texts, key=lambda name: len(texts[name]))
        reason = _(
            "The product has more text than can be searched; this is the longest: %(length)d characters."
        )
        return Problem(
            line=record.line,
            column=column,
            value=excerpt(texts[column]),
            reason=reason % {"length": len(texts[column])},
        )
    reason = _("The database refuses this product: %(reason)s.") % {"reason": _reason(error)}
    return Problem(line=record.line, column="sku", value=record.sku, reason=reason)
