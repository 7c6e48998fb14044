"""Batches of records, written in the text format of COPY before they are sent to the database."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.importing.records import seed_of, slug_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from catalog.importing.records import ProductRecord

NULL = r"\N"
_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


@dataclass(frozen=True, slots=True)
class Batch:
    """Records, and the lines of COPY for their products, variants and images.

    The loader puts the primary keys of brand and category in front of each line of a product. The last column of products
    and variants, `id`, is NULL: the database finds the existing rows.
    """

    records: Sequence[ProductRecord]
    products: Sequence[str]
    variants: str
    images: str

    @classmethod
    def from_records(cls, records: Sequence[ProductRecord]) -> Batch:
        """Write the lines of the records. This takes longer than sending them, so it is done in another thread."""
        return cls(
            records,
            products=[_line(_product_row(record)) for record in records],
            variants="".join(_line(row) for record in records for row in _variant_rows(record)),
            images="".join(_line(row) for record in records for row in _image_rows(record)),
        )

    def __len__(self) -> int:
        return len(self.records)

    def halves(self) -> tuple[Batch, Batch]:
        """Return two batches with the first and the second half of the records."""
        middle = len(self.records) // 2
        return Batch.from_records(self.records[:middle]), Batch.from_records(self.records[middle:])


def _line(row: Iterable[Any]) -> str:
    """Return the row as one line of the text format of COPY, with its LF."""
    cells = [NULL if value is None else str(value).translate(_ESCAPES) for value in row]
    return "\t".join(cells) + "\n"


def _product_row(record: ProductRecord) -> tuple[Any, ...]:
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


def _variant_rows(record: ProductRecord) -> Iterable[tuple[Any, ...]]:
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


def _image_rows(record: ProductRecord) -> Iterable[tuple[Any, ...]]:
    for position, alt in enumerate(record.images):
        yield record.sku, alt, seed_of(record.sku, position), position
