"""Rows into records: every value read and checked, every problem of a row found at once."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _

from catalog.importing import values
from catalog.importing.mapping import Field
from catalog.importing.records import Problem, ProductRecord, VariantRecord, excerpt
from catalog.importing.values import RefusedError, required
from catalog.models import Status
from catalog.validators import DESCRIPTION_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from catalog.importing.mapping import Each, Mapping, Take
    from catalog.importing.source import Row

    Read = Callable[[Any], Any]
    Plan = Sequence[tuple[str, Field, Read]]

REQUIRED = ("sku", "name", "price", "category")
ONLY_VARIANT = ("gtin", "stock")
"""Values of a product that is sold in one form, and so of its only variant."""


def _product_reads(decimal: str) -> dict[str, Read]:
    price = partial(values.price, decimal=decimal)
    return {
        "sku": _sku,
        "name": lambda raw: required(values.text(raw, limit=300)),
        "price": lambda raw: price(required(raw)),
        "category": values.category,
        "currency": values.currency,
        "brand": partial(values.text, limit=120),
        "description": partial(values.text, limit=DESCRIPTION_LIMIT),
        "sale_price": price,
        "status": values.status,
        "publish_at": values.moment,
        "unpublish_at": values.moment,
        "gtin": values.gtin,
        "stock": values.stock,
    }


def _sku(raw: Any) -> Any:
    return required(values.text(raw, limit=80))


def _variant_reads(decimal: str) -> dict[str, Read]:
    return {
        "sku": partial(values.text, limit=80),
        "option": partial(values.text, limit=60),
        "value": partial(values.text, limit=120),
        "price": partial(values.price, decimal=decimal),
        "gtin": values.gtin,
        "active": values.flag,
        "stock": values.stock,
    }


class Reader:
    """Reads the rows of one file; the problems of rows that are left out go to `report`."""

    def __init__(self, mapping: Mapping, *, report: Callable[[Problem], None]) -> None:
        self.mapping = mapping
        self.report = report
        self.skus: dict[str, int] = {}
        self.variant_skus: dict[str, int] = {}
        absent = {name: Field(_none, name) for name in REQUIRED}
        self.product = _plan(absent | mapping.product, _product_reads(mapping.decimal))
        self.variant = _plan(
            mapping.variants.fields if mapping.variants else {}, _variant_reads(mapping.decimal)
        )

    def records(self, rows: Iterable[Row | Problem]) -> Iterator[ProductRecord]:
        """Yield a record for each row that is without problems."""
        for row in rows:
            if isinstance(row, Problem):
                self.report(row)
                continue
            reading = Reading(row, self)
            if record := reading.record():
                self.skus[record.sku] = row.line
                self.variant_skus.update((variant.sku, row.line) for variant in record.variants)
                yield record
            for problem in reading.problems:
                self.report(problem)


class Reading:
    """One row being read, and the `problems` that it turned out to have."""

    def __init__(self, row: Row, reader: Reader) -> None:
        self.row = row
        self.reader = reader
        self.mapping = reader.mapping
        self.problems: list[Problem] = []

    def record(self) -> ProductRecord | None:
        """Return the row as a record; None if anything is wrong with it, all of which is in `problems` then."""
        said = self._said(self.reader.product, self.row.columns, required=REQUIRED)
        only = {name: said.pop(name) for name in ONLY_VARIANT if name in said}
        self._check_sku(said)
        self._check_sale_price(said)
        attributes = self._attributes()
        variants = self._variants(said.get("sku", ""), only)
        images = self._images(said.get("name", ""))
        self._check_moments(said)
        if self.problems:
            return None
        return ProductRecord(
            line=self.row.line, attributes=attributes, variants=variants, images=images, **said
        )

    def _said(
        self, plan: Plan, columns: dict[str, Any], *, where: str = "", required: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Return the values that are there and right, by name."""
        said = {}
        for name, field, read in plan:
            raw = field.take(columns)
            if raw is None and name not in required:
                continue
            try:
                said[name] = read(raw)
            except RefusedError as error:
                self._problem(where + field.columns, raw, str(error))
        return said

    def _problem(self, column: str, raw: Any, reason: str) -> None:
        self.problems.append(Problem(line=self.row.line, column=column, value=excerpt(raw), reason=reason))

    def _check_sku(self, said: dict[str, Any]) -> None:
        field, taken = self.mapping.product.get("sku_if_taken"), self.reader.skus
        if said.get("sku") in taken and field:
            said |= self._said([("sku", field, _sku)], self.row.columns, required=REQUIRED)
        if (sku := said.get("sku")) in taken:
            self._problem(self.mapping.product["sku"].columns, sku, _taken(taken[sku]))

    def _check_sale_price(self, said: dict[str, Any]) -> None:
        """A sale price that is the price itself is none."""
        price, sale = said.get("price"), said.get("sale_price")
        if sale is None or price is None:
            return
        if sale == price:
            del said["sale_price"]
        elif sale > price:
            field = self.mapping.product["sale_price"]
            reason = _("A sale price is not above the price.")
            self._problem(field.columns, field.take(self.row.columns), reason)

    def _attributes(self) -> dict[str, object]:
        attributes: dict[str, object] = {}
        for column, name, raw in self._raw_attributes():
            if raw in self.mapping.nothing if isinstance(raw, str) else raw is None:
                continue
            try:
                attributes[_attribute_name(name)] = values.attribute(raw)
            except RefusedError as error:
                self._problem(column, raw, str(error))
        return attributes

    def _raw_attributes(self) -> Iterator[tuple[str, str, Any]]:
        columns = self.row.columns
        if self.mapping.spread:
            spread = self.mapping.spread
            names = self._said([("spread", spread, values.mapping)], columns).get("spread", {})
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
                plan = [
                    (
                        "typed",
                        Field(_cell(column), column),
                        partial(values.typed, kind=kind, decimal=self.mapping.decimal),
                    )
                ]
                yield column, name, self._said(plan, self.row.columns).get("typed")

    def _variants(self, sku: str, only: dict[str, Any]) -> tuple[VariantRecord, ...]:
        each = self.mapping.variants
        items = self._items(each)
        if not each or not items:
            if sku in self.reader.variant_skus and sku not in self.reader.skus:
                self._problem("sku", sku, _taken(self.reader.variant_skus[sku]))
            return (VariantRecord(sku=sku, **only),)
        variants = tuple(self._variant(each, item, place, sku) for place, item in enumerate(items, start=1))
        seen: set[str] = set()
        for place, variant in enumerate(variants, start=1):
            line = self.row.line if variant.sku in seen else self.reader.variant_skus.get(variant.sku)
            seen.add(variant.sku)
            if line is not None:
                self._problem(f"{each.columns}[{place}].sku", variant.sku, _taken(line))
        return variants

    def _items(self, each: Each | None) -> list[Any]:
        if each is None:
            return []
        items = Field(each.items, each.columns)
        said: list[Any] = self._said([("items", items, values.listing)], self.row.columns).get("items", [])
        return said

    def _variant(self, each: Each, item: Any, place: int, sku: str) -> VariantRecord:
        where = f"{each.columns}[{place}]"
        if not isinstance(item, dict):
            self._problem(where, item, _("A variant is an object with its values by name."))
            return VariantRecord(sku="")
        said = self._said(self.reader.variant, item, where=f"{where}.")
        said["sku"] = said.get("sku") or f"{sku}-{place}"
        return VariantRecord(**said)

    def _images(self, name: str) -> tuple[str, ...]:
        each = self.mapping.images
        items = self._items(each)
        if each is None or not items:
            return (name,)
        plan = [("alt", each.fields["alt"], partial(values.text, limit=300))]
        columns = dict(self.row.columns)
        said = []
        for item in items:
            columns["item"] = item
            said.append(self._said(plan, columns).get("alt") or name)
        return tuple(said)

    def _check_moments(self, said: dict[str, Any]) -> None:
        begin, end = said.get("publish_at"), said.get("unpublish_at")
        if said.get("status") == Status.SCHEDULED and begin is None:
            self._problem("publish_at", None, _("A scheduled product needs the moment to publish it."))
        if begin and end and end <= begin:
            self._problem("unpublish_at", end, _("A product is unpublished after it was published."))


def _plan(fields: dict[str, Field], reads: dict[str, Read]) -> Plan:
    """What to read of each row and how, in the order in which problems are told."""
    return [
        (name, fields[name], values.seconds if fields[name].unix else read)
        for name, read in reads.items()
        if name in fields
    ]


@lru_cache
def _attribute_name(raw: Any) -> str:
    """Files name the same attributes in every row."""
    return str(required(values.text(raw, limit=80)))


def _cell(column: str) -> Take:
    return lambda row: row[column].strip()


def _none(_columns: dict[str, Any]) -> None:
    return None


def _taken(line: int) -> str:
    return _("This SKU is on line %(line)d already.") % {"line": line}
