"""Builds the records of rows: parses every value and finds every problem of a row."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from catalog.importing import values
from catalog.importing.exceptions import InvalidValueError
from catalog.importing.extractors import Extractor
from catalog.importing.field_parsers import REQUIRED_FIELDS, FieldParser, RecordParsers, parse_sku
from catalog.importing.records import Problem, ProductRecord, Row, VariantRecord, excerpt
from catalog.models import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from catalog.importing.column_mapping import ColumnMapping

NUMBER_OF_SPREADSHEETS = re.compile(r"[0-9]+\.0|[0-9](\.[0-9]+)?E\+[0-9]+", re.IGNORECASE)
ONLY_VARIANT_FIELDS = ("gtin", "stock")
"""Fields that a product without a list of variants has for its only variant."""


def build_records(
    rows: Iterable[Row | Problem], mapping: ColumnMapping, *, report: Callable[[Problem], None]
) -> Iterator[ProductRecord]:
    """Yield the record of each row that has no problem, and pass the problems of the other rows and all warnings to `report`."""
    parsers = RecordParsers.from_mapping(mapping)
    sku_lines = SkuLines()
    for row in rows:
        if isinstance(row, Problem):
            report(row)
            continue
        builder = RecordBuilder(row, mapping, parsers, sku_lines)
        if record := builder.build():
            sku_lines.add(record)
            yield record
        for problem in (*builder.problems, *builder.warnings):
            report(problem)


@dataclass(frozen=True, slots=True)
class SkuLines:
    """The line of each SKU in the records so far, of products and of variants."""

    products: dict[str, int] = field(default_factory=dict)
    variants: dict[str, int] = field(default_factory=dict)

    def add(self, record: ProductRecord) -> None:
        self.products[record.sku] = record.line
        self.variants.update((variant.sku, record.line) for variant in record.variants)


class RecordBuilder:
    """Builds the record of one row, and collects the `problems` of the row."""

    def __init__(self, row: Row, mapping: ColumnMapping, parsers: RecordParsers, sku_lines: SkuLines) -> None:
        self.row = row
        self.mapping = mapping
        self.parsers = parsers
        self.sku_lines = sku_lines
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def build(self) -> ProductRecord | None:
        """Return the record of the row; None if the row has problems."""
        fields = self._parse(self.parsers.product, self.row.columns, required=REQUIRED_FIELDS)
        only_variant = {name: fields.pop(name) for name in ONLY_VARIANT_FIELDS if name in fields}
        self._check_sku(fields)
        self._check_sale_price(fields)
        attributes = self._attributes()
        variants = self._variants(fields.get("sku", ""), only_variant)
        images = self._images(fields.get("name", ""))
        self._warn_of_numbers([fields.get("sku", ""), *(variant.sku for variant in variants)])
        self._check_moments(fields)
        if self.problems:
            return None
        return ProductRecord(
            line=self.row.line, attributes=attributes, variants=variants, images=images, **fields
        )

    def _parse(
        self,
        parsers: Iterable[FieldParser],
        columns: dict[str, Any],
        *,
        path: str = "",
        required: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Return the valid values by field, and add a problem for each invalid one.

        `path` comes before the column in problems. A missing value is left out, unless its field is `required`.
        """
        fields = {}
        for name, extractor, parse in parsers:
            value = extractor.extract(columns)
            if value is None and name not in required:
                continue
            try:
                fields[name] = parse(value)
            except InvalidValueError as error:
                self._add_problem(path + extractor.label, value, str(error))
        return fields

    def _add_problem(self, column: str, value: Any, reason: str) -> None:
        self.problems.append(Problem(line=self.row.line, column=column, value=excerpt(value), reason=reason))

    def _check_sku(self, fields: dict[str, Any]) -> None:
        """Replace the SKU by that of `sku_if_taken` if an earlier row has it, and check that no earlier row has that one."""
        replacement, lines = self.mapping.product.get("sku_if_taken"), self.sku_lines.products
        if fields.get("sku") in lines and replacement:
            parser = FieldParser("sku", replacement, parse_sku)
            fields |= self._parse([parser], self.row.columns, required=REQUIRED_FIELDS)
        if (sku := fields.get("sku")) in lines:
            self._add_problem(self.mapping.product["sku"].label, sku, _duplicate_sku_reason(lines[sku]))

    def _warn_of_numbers(self, skus: Iterable[str]) -> None:
        """Warn of a code that looks like what a spreadsheet makes of digits: `12345.0` or `1.2E+12`."""
        if damaged := next((sku for sku in skus if NUMBER_OF_SPREADSHEETS.fullmatch(sku)), None):
            reason = _(
                "A spreadsheet seems to have turned this code into a number. Format the column as text there, and enter "
                "the codes anew."
            )
            label = self.mapping.product["sku"].label
            self.warnings.append(
                Problem(line=self.row.line, column=label, value=damaged, reason=reason, is_warning=True)
            )

    def _check_sale_price(self, fields: dict[str, Any]) -> None:
        """Check that the sale price is not above the price, and drop one that equals the price."""
        price, sale_price = fields.get("price"), fields.get("sale_price")
        if sale_price is None or price is None:
            return
        if sale_price == price:
            del fields["sale_price"]
        elif sale_price > price:
            extractor = self.mapping.product["sale_price"]
            reason = _("A sale price is not above the price.")
            self._add_problem(extractor.label, extractor.extract(self.row.columns), reason)

    def _attributes(self) -> dict[str, object]:
        attributes: dict[str, object] = {}
        for column, name, value in self._raw_attributes():
            if value in self.mapping.null_texts if isinstance(value, str) else value is None:
                continue
            try:
                attributes[_attribute_name(name)] = values.parse_attribute(value)
            except InvalidValueError as error:
                self._add_problem(column, value, str(error))
        return attributes

    def _raw_attributes(self) -> Iterator[tuple[str, str, Any]]:
        """Yield the column, name and raw value of each attribute."""
        columns = self.row.columns
        if parser := self.parsers.attributes:
            label = parser.extractor.label
            for name, value in self._parse([parser], columns).get("attributes", {}).items():
                yield f"{label}.{name}", name, value.strip() if isinstance(value, str) else value
        if self.mapping.attribute_prefix:
            yield from self._prefixed_attributes(self.mapping.attribute_prefix)
        for name, extractor in self.mapping.attributes.items():
            yield extractor.label, name, extractor.extract(columns)

    def _prefixed_attributes(self, prefix: str) -> Iterator[tuple[str, str, Any]]:
        """Yield the attributes of columns of CSV such as `attribute:Weight (kg):number`."""
        for column, cell in self.row.columns.items():
            if not column.startswith(prefix) or not str(cell).strip():
                continue
            name, _colon, cell_type = column.removeprefix(prefix).partition(":")
            if not isinstance(cell, str):  # a number in a workbook
                yield column, name, cell if cell_type == "number" else str(cell)
            else:
                parse = partial(values.parse_cell, cell_type=cell_type, decimal=self.mapping.decimal)
                parser = FieldParser("attribute", Extractor(_extract_cell(column), (column,)), parse)
                yield column, name, self._parse([parser], self.row.columns).get("attribute")

    def _variants(self, sku: str, only_variant: dict[str, Any]) -> tuple[VariantRecord, ...]:
        """Return the variants of the row; without a list of them, one variant with the product's SKU."""
        parser = self.parsers.variants
        items = self._items(parser)
        if not parser or not items:
            if sku in self.sku_lines.variants and sku not in self.sku_lines.products:
                self._add_problem("sku", sku, _duplicate_sku_reason(self.sku_lines.variants[sku]))
            return (VariantRecord(sku=sku, **only_variant),)
        label = parser.extractor.label
        paths = [f"{label}[{number}]" for number in range(1, len(items) + 1)]
        variants = tuple(
            self._variant(item, path, default_sku=f"{sku}-{number}")
            for number, (item, path) in enumerate(zip(items, paths, strict=True), start=1)
        )
        self._check_variant_skus(variants, paths)
        return variants

    def _check_variant_skus(self, variants: Iterable[VariantRecord], paths: Iterable[str]) -> None:
        """Check that no two variants have the same SKU, in this row or in earlier ones."""
        skus: set[str] = set()
        for variant, path in zip(variants, paths, strict=True):
            line = self.row.line if variant.sku in skus else self.sku_lines.variants.get(variant.sku)
            skus.add(variant.sku)
            if line is not None:
                self._add_problem(f"{path}.sku", variant.sku, _duplicate_sku_reason(line))

    def _items(self, parser: FieldParser | None) -> list[Any]:
        """Return the items of a list in the row; an empty list if the row does not have it."""
        if not parser:
            return []
        items: list[Any] = self._parse([parser], self.row.columns).get(parser.name, [])
        return items

    def _variant(self, item: Any, path: str, *, default_sku: str) -> VariantRecord:
        if not isinstance(item, dict):
            self._add_problem(path, item, _("A variant is an object with its values by name."))
            return VariantRecord(sku="")
        fields = self._parse(self.parsers.variant, item, path=f"{path}.")
        fields["sku"] = fields.get("sku") or default_sku
        return VariantRecord(**fields)

    def _images(self, name: str) -> tuple[str, ...]:
        """Return the alternative texts of the row's images. An image without one gets the name of the product."""
        parser = self.parsers.image
        items = self._items(self.parsers.images)
        if not parser or not items:
            return (name,)
        columns = dict(self.row.columns)
        images = []
        for item in items:
            columns["item"] = item
            images.append(self._parse([parser], columns).get("image") or name)
        return tuple(images)

    def _check_moments(self, fields: dict[str, Any]) -> None:
        publish_at, unpublish_at = fields.get("publish_at"), fields.get("unpublish_at")
        if fields.get("status") == Status.SCHEDULED and publish_at is None:
            self._add_problem("publish_at", None, _("A scheduled product needs the moment to publish it."))
        if publish_at and unpublish_at and unpublish_at <= publish_at:
            reason = _("A product is unpublished after it was published.")
            self._add_problem("unpublish_at", unpublish_at, reason)


@lru_cache
def _attribute_name(name: Any) -> str:
    """Return the name of an attribute. It is cached, since all rows of a file have the same names."""
    return str(values.check_present(values.parse_text(name, limit=80)))


def _extract_cell(column: str) -> Callable[[dict[str, Any]], Any]:
    return lambda columns: columns[column].strip()


def _duplicate_sku_reason(line: int) -> str:
    return _("This SKU is on line %(line)d already.") % {"line": line}
