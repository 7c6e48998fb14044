"""Writes batches of records to the database: COPY into staging tables, then one statement for each effect."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db import DatabaseError, connection, transaction
from django.utils.translation import gettext as _

from catalog.importing.batch import NULL
from catalog.importing.exceptions import ImportStoppedError
from catalog.importing.records import Problem, excerpt
from catalog.importing.references import References
from catalog.search.statistics import count_lexemes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from catalog.importing.batch import Batch
    from catalog.importing.records import ProductRecord

BATCH_SIZE = 2000  # records
DEADLOCK_ATTEMPTS = 5
SQL = Path(__file__).resolve().parent.parent / "sql"
CREATE_STAGING_TABLES = (SQL / "stage.sql").read_text()
STATEMENTS = dict(
    re.findall(r"^-- name: (\w+)\n(.*?;)$", (SQL / "upsert.sql").read_text(), re.MULTILINE | re.DOTALL)
)

EXISTING_ROWS = {
    "products_updated": "products_existing",
    "variants_updated": "variants_existing",
    "variants_retired": "products_existing",
    "images_updated": "products_existing",
}
"""For statements that change existing rows, the statement that counts them. At a count of zero they are skipped."""
ANALYZE_STAGED = "ANALYZE staged_product (sku, slug), staged_variant (sku, product_sku), staged_image (product_sku, position)"
SEARCH_INDEXES = ("product_search", "product_name_trigrams")
ANALYZED_TABLES = (
    "catalog_product",
    "catalog_variant",
    "catalog_productimage",
    "catalog_category",
    "catalog_brand",
)

# Classes of SQLSTATE that no row causes: errors of the connection, the transaction, privileges, missing objects and
# resources, and interventions of the operator. An error without a SQLSTATE means that the connection is lost.
CLASSES_WITHOUT_A_ROW = ("", "08", "0L", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58", "F0")
UNDEFINED_TABLE, SHUTDOWN, ROLLBACK, LIMIT_EXCEEDED = "42P01", "57P", "40", "54"


class Loader:
    """Writes batches and counts the rows that they changed.

    Each batch is one transaction, and a row that already has the imported values is not written. So an import that was
    interrupted at any point is finished by running it again, and another run after that changes nothing.

    Args:
        report: called with the problem of each row that the database refuses.
        dry_run: roll back every batch.
    """

    def __init__(self, *, report: Callable[[Problem], None], dry_run: bool = False) -> None:
        self.report = report
        self.dry_run = dry_run
        self.counts: Counter[str] = Counter()
        self.references = References()

    def load(self, batch: Batch) -> None:
        """Write the batch. If the database refuses it, divide it until each refused row is alone, and report those.

        Raises:
            ImportStoppedError: no row is the cause of the error.
            DatabaseError: the connection is lost, the server shuts down, or the tables do not exist.
        """
        try:
            self._write_with_retries(batch)
        except DatabaseError as error:
            _raise_unless_a_row_is_the_cause(error)
            if len(batch) == 1:
                self.report(_problem_of(batch.records[0], error))
                return
            for half in batch.halves():
                self.load(half)

    def finish(self) -> None:
        """Update the planner's statistics and those of search, and move new words from the pending lists into its indexes."""
        if self.dry_run or not self.counts["products_created"] + self.counts["products_updated"]:
            return
        with connection.cursor() as cursor:
            for index in SEARCH_INDEXES:
                cursor.execute("SELECT gin_clean_pending_list(%s::regclass)", [index])
            cursor.execute(f"ANALYZE {', '.join(ANALYZED_TABLES)}")
        count_lexemes()

    def _write_with_retries(self, batch: Batch) -> None:
        """Write the batch. Try again if PostgreSQL rolled the transaction back in favour of another one (a deadlock)."""
        for attempt in range(1, DEADLOCK_ATTEMPTS + 1):
            try:
                self._write(batch)
                return
            except DatabaseError as error:
                if attempt == DEADLOCK_ATTEMPTS or not _sqlstate(error).startswith(ROLLBACK):
                    raise

    def _write(self, batch: Batch) -> None:
        with self.references.restored_on_rollback() as commit:
            with transaction.atomic(), connection.cursor() as cursor:
                self.references.create_brands(record.brand for record in batch.records)
                self.references.create_categories(record.category for record in batch.records)
                self._stage(cursor, batch)
                counts = _execute_statements(cursor)
                if self.dry_run:
                    transaction.set_rollback(True)
            if not self.dry_run:  # only after the commit, which checks deferred constraints
                commit()
        variants = sum(len(record.variants) for record in batch.records)
        self.counts += counts + Counter(products=len(batch), variants=variants)

    def _stage(self, cursor: Any, batch: Batch) -> None:
        cursor.execute(CREATE_STAGING_TABLES)
        _copy(cursor, "staged_product", self._product_lines(batch))
        _copy(cursor, "staged_variant", [batch.variants])
        _copy(cursor, "staged_image", [batch.images])
        if not self.counts:
            # The statistics of the first batch are good for all batches, since the planner reads the size of a table by
            # itself. `id` is left out: how many of its values are NULL differs from batch to batch.
            cursor.execute(ANALYZE_STAGED)

    def _product_lines(self, batch: Batch) -> Iterator[str]:
        for record, line in zip(batch.records, batch.products, strict=True):
            brand_id = self.references.brand_id(record.brand) or NULL
            yield f"{brand_id}\t{self.references.category_id(record.category)}\t{line}"


def _execute_statements(cursor: Any) -> Counter[str]:
    """Write the staged rows to the catalog and return the number of rows of each statement."""
    counts: Counter[str] = Counter()
    for name, statement in STATEMENTS.items():
        if name in EXISTING_ROWS and not counts[EXISTING_ROWS[name]]:
            continue
        cursor.execute(statement)
        counts[name] = cursor.rowcount
    return counts


def _copy(cursor: Any, table: str, chunks: Iterable[str]) -> None:
    with cursor.copy(f"COPY {table} FROM STDIN") as copy:
        for chunk in chunks:
            copy.write(chunk)


def _sqlstate(error: DatabaseError) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""


def _reason(error: DatabaseError) -> str:
    return str(error).partition("\n")[0].rstrip(".")


def _raise_unless_a_row_is_the_cause(error: DatabaseError) -> None:
    """Raise ImportStoppedError, or the error itself where manage.py explains it, if no row is the cause."""
    sqlstate = _sqlstate(error)
    if sqlstate[:2] not in CLASSES_WITHOUT_A_ROW:
        return
    if not sqlstate or sqlstate == UNDEFINED_TABLE or sqlstate.startswith(SHUTDOWN):
        raise error
    text = _("The database stopped the import: %(reason)s. Run it again to finish it.")
    raise ImportStoppedError(text % {"reason": _reason(error)}) from error


def _problem_of(record: ProductRecord, error: DatabaseError) -> Problem:
    """Return the problem of a row that passed all checks except the database's."""
    if _sqlstate(error).startswith(LIMIT_EXCEEDED):
        return _too_much_text(record)
    reason = _("The database refuses this product: %(reason)s.") % {"reason": _reason(error)}
    return Problem(line=record.line, column="sku", value=record.sku, reason=reason)


def _too_much_text(record: ProductRecord) -> Problem:
    texts = {"description": record.description}
    texts |= {f"attributes.{name}": str(value) for name, value in record.attributes.items()}
    column = max(texts, key=lambda name: len(texts[name]))
    text = _("The product has more text than can be searched; this is the longest: %(length)d characters.")
    reason = text % {"length": len(texts[column])}
    return Problem(line=record.line, column=column, value=excerpt(texts[column]), reason=reason)
