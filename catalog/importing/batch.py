"""Records on their way into staging tables, written in the text format of COPY before the database is asked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.importing.records import seed_of, slug_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.importing.records import ProductRecord

NULL = r"\N"
_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and the lines that COPY takes for their products, variants and images.

    A product's brand and category come before its line. Which rows the lines are about is not known: their `id` is NULL.
    """

    records: Sequence[ProductRecord]
    products: Sequence[str]
    variants: str
    images: str

    @classmethod
    def of(cls, records: Sequence[ProductRecord]) -> Batch:
        """Write the records out, which takes longer than sending them."""
        return cls(
            records,
            products=[_line(_product(record)) for record in records],
            variants="".join(_line(row) for record in records for row in _variants(record)),
            images="".join(_line(row) for record in records for row in _images(record)),
        )

    def __len__(self) -> int:
        return len(self.records)

    def halves(self) -> tuple[Batch, Batch]:
        """Return the first half of the records and the second."""
        middle = len(self.records) // 2
        return Batch.of(self.records[:middle]), Batch.of(self.records[middle:])


def _line(row: Iterable[Any]) -> str:
    """Return a row in the text format of COPY, its end included."""
    said = [NULL if value is None else str(value).translate(_ESCAPED) for value in row]
    return "\t".join(said) + "\n"


def _product(record: ProductRecord) -> tuple[Any, ...]:
    return (
        record.line,
        record.sku,
        record.name,
        slug_of(record.name),
        record.description,
        record.price,
        record.sale_price,
        record.currency,
        record.status,
        record.publish_at,
        record.unpublish_at,
        json.dumps(record.attributes, ensure_ascii=False),
        None,
    )


def _variants(record: ProductRecord) -> Iterable[tuple[Any, ...]]:
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
            None,
        )


def _images(record: ProductRecord) -> Iterable[tuple[Any, ...]]:
    for position, alt in enumerate(record.images):
        yield record.sku, alt, seed_of(record.sku, position), position
