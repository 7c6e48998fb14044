"""Rows into records: every value read and checked, every problem of a row found at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from django.utils.translation import gettext as _

from catalog.importing import values
from catalog.importing.mapping import Field
from catalog.importing.records import Problem, ProductRecord, VariantRecord, excerpt
from catalog.importing.values import RefusedError
from catalog.models import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from decimal import Decimal

    from catalog.importing.mapping import Each, Mapping, Take
    from catalog.importing.source import Row

T = TypeVar("T")


class Reader:
    """Reads the rows of one file; the problems of rows that are left out go to `report`."""

    def __init__(self, mapping: Mapping, *, report: Callable[[Problem], None]) -> None:
        self.mapping = mapping
        self.report = report
        self.skus: dict[str, int] = {}
        self.variant_skus: dict[str, int] = {}

    def records(self, rows: Iterable[Row | Problem]) -> Iterator[ProductRecord]:
        """Yield a record for each row that is without problems."""
        for row in rows:
            if isinstance(row, Problem):
                self.report(row)
                continue
            reading = Reading(row, self)
            record = reading.record()
            for problem in reading.problems:
                self.report(problem)
            if not reading.problems:
                self.skus[record.sku] = row.line
                self.variant_skus.update((variant.sku, row.line) for variant in record.variants)
                yield record


class Reading:
    """One row being read. While it has `problems`, its record has gaps and must not be used."""

    def __init__(self, row: Row, reader: Reader) -> None:
        self.row = row
        self.reader = reader
        self.mapping = reader.mapping
        self.problems: list[Problem] = []

    def record(self) -> ProductRecord:
        """Return the row as a record, collecting what is wrong with it."""
        sku = self._sku()
        name = self._value("name", lambda raw: values.required(values.text(raw, limit=300)), "")
        price = self._value("price", lambda raw: values.required(values.price(raw)), None)
        record = ProductRecord(
            line=self.row.line,
            sku=sku,
            name=name,
            category=self._value("category", values.category, ()),
            price=price,
            currency=self._value("currency", values.currency, ""),
            brand=self._value("brand", lambda raw: values.text(raw, limit=120), ""),
            description=self._value(
                "description", lambda raw: values.text(raw, limit=values.DESCRIPTION_LIMIT), ""
            ),
            sale_price=self._value("sale_price", lambda raw: _sale_price(values.price(raw), price), None),
            status=self._value("status", values.status, ""),
            publish_at=self._value("publish_at", values.moment, None),
            unpublish_at=self._value("unpublish_at", values.moment, None),
            attributes=self._attributes(),
            variants=self._variants(sku),
            images=self._images(name),
        )
        self._check_moments(record)
        return record

    def _value(self, name: str, read: Callable[[Any], T], gap: T) -> T:
        return self._read(self.mapping.product.get(name, Field(_none, name)), read, gap, self.row.columns)

    def _read(
        self, field: Field, read: Callable[[Any], T], gap: T, columns: dict[str, Any], where: str = ""
    ) -> T:
        raw = field.take(columns)
        try:
            return read(raw)
        except RefusedError as error:
            self._problem(where + field.columns, raw, str(error))
            return gap

    def _problem(self, column: str, raw: Any, reason: str) -> None:
        self.problems.append(Problem(line=self.row.line, column=column, value=excerpt(raw), reason=reason))

    def _sku(self) -> str:
        sku = self._value("sku", _sku, "")
        if sku in self.reader.skus and "sku_if_taken" in self.mapping.product:
            sku = self._value("sku_if_taken", _sku, "")
        if sku in self.reader.skus:
            self._problem(self.mapping.product["sku"].columns, sku, _taken(self.reader.skus[sku]))
        return sku

    def _attributes(self) -> dict[str, object]:
        attributes: dict[str, object] = {}
        for column, name, raw in self._raw_attributes():
            if raw in self.mapping.nothing if isinstance(raw, str) else raw is None:
                continue
            try:
                attributes[values.required(values.text(name, limit=80))] = values.attribute(raw)
            except RefusedError as error:
                self._problem(column, raw, str(error))
        return attributes

    def _raw_attributes(self) -> Iterator[tuple[str, str, Any]]:
        columns = self.row.columns
        if self.mapping.spread:
            spread = self.mapping.spread
            names: dict[str, Any] = self._read(spread, values.mapping, {}, columns)
            for name, raw in names.items():
                yield f"{spread.columns}.{name}", name, raw.strip() if isinstance(raw, str) else raw
        if self.mapping.prefix:
            yield from self._prefixed(self.mapping.prefix)
        for name, field in self.mapping.attributes.items():
            yield field.columns, name, field.take(columns)

    def _prefixed(self, prefix: str) -> Iterator[tuple[str, str, Any]]:
        """Columns such as `attribute:Weight (kg):number` of CSV."""
        for column, raw in self.row.columns.items():
            if column.startswith(prefix) and isinstance(raw, str) and raw.strip():
                name, _colon, kind = column.removeprefix(prefix).partition(":")
                read = partial(values.typed, kind=kind)
                yield column, name, self._read(Field(_cell(column), column), read, None, self.row.columns)

    def _variants(self, sku: str) -> tuple[VariantRecord, ...]:
        each = self.mapping.variants
        items = self._items(each)
        if not items:
            return (self._only_variant(sku),)
        variants = tuple(self._variant(item, place, sku) for place, item in enumerate(items, start=1))
        seen: set[str] = set()
        for place, variant in enumerate(variants, start=1):
            line = self.row.line if variant.sku in seen else self.reader.variant_skus.get(variant.sku)
            seen.add(variant.sku)
            if line is not None:
                self._problem(f"{each.columns}[{place}].sku" if each else "", variant.sku, _taken(line))
        return variants

    def _items(self, each: Each | None) -> list[Any]:
        if each is None:
            return []
        nothing: list[Any] = []
        return self._read(Field(each.items, each.columns), values.listing, nothing, self.row.columns)

    def _only_variant(self, sku: str) -> VariantRecord:
        if sku in self.reader.variant_skus and sku not in self.reader.skus:
            self._problem("sku", sku, _taken(self.reader.variant_skus[sku]))
        return VariantRecord(
            sku=sku, stock=self._value("stock", values.stock, None), gtin=self._value("gtin", values.gtin, "")
        )

    def _variant(self, item: Any, place: int, sku: str) -> VariantRecord:
        each = self.mapping.variants
        assert each is not None
        where = f"{each.columns}[{place}]."
        if not isinstance(item, dict):
            self._problem(where.removesuffix("."), item, _("A variant is an object with its values by name."))
            return VariantRecord(sku="")

        def value(name: str, read: Callable[[Any], T], gap: T) -> T:
            return self._read(each.fields.get(name, Field(_none, name)), read, gap, item, where)

        return VariantRecord(
            sku=value("sku", lambda raw: values.text(raw, limit=80), "") or f"{sku}-{place}",
            option=value("option", lambda raw: values.text(raw, limit=60), ""),
            value=value("value", lambda raw: values.text(raw, limit=120), ""),
            price=value("price", values.price, None),
            gtin=value("gtin", values.gtin, ""),
            active=value("active", values.flag, True),
            stock=value("stock", values.stock, None),
        )

    def _images(self, name: str) -> tuple[str, ...]:
        each = self.mapping.images
        items = self._items(each)
        if each is None or not items:
            return (name,)
        alt = each.fields["alt"]
        said = (
            self._read(alt, lambda raw: values.text(raw, limit=300), "", {**self.row.columns, "item": item})
            for item in items
        )
        return tuple(text or name for text in said)

    def _check_moments(self, record: ProductRecord) -> None:
        if record.status == Status.SCHEDULED and record.publish_at is None:
            self._problem("publish_at", None, _("A scheduled product needs the moment to publish it."))
        if record.publish_at and record.unpublish_at and record.unpublish_at <= record.publish_at:
            self._problem(
                "unpublish_at", record.unpublish_at, _("A product is unpublished after it was published.")
            )


def _cell(column: str) -> Take:
    return lambda row: row[column].strip()


def _none(_columns: dict[str, Any]) -> None:
    return None


def _sku(raw: Any) -> str:
    return str(values.required(values.text(raw, limit=80)))


def _sale_price(sale: Decimal | None, price: Decimal | None) -> Decimal | None:
    """Check the sale price; one that is the price itself is none."""
    if sale is None or price is None or sale == price:
        return None
    if sale > price:
        raise RefusedError(_("A sale price is not above the price."))
    return sale


def _taken(line: int) -> str:
    return _("This SKU is on line %(line)d already.") % {"line": line}
