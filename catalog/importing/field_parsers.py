"""Parsers of the fields of products and variants: which extractor takes the raw value, and which function parses it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from catalog.importing import numeric, values
from catalog.importing.extractors import Extractor
from catalog.validators import DESCRIPTION_LIMIT

if TYPE_CHECKING:
    from catalog.importing.column_mapping import ColumnMapping

Parse = Callable[[Any], Any]

REQUIRED_FIELDS = ("sku", "name", "price", "category")


class FieldParser(NamedTuple):
    """Gets one field of a record from a row. `parse` returns the value or raises InvalidValueError."""

    name: str
    extractor: Extractor
    parse: Parse


@dataclass(frozen=True, slots=True)
class RecordParsers:
    """The parsers of a record, built once for all rows.

    `product` and `variant` have the fields in the order in which problems are reported. The others are None if the mapping
    does not have them: `attributes` gets the object with attributes, `variants` and `images` get the lists, and `image` gets
    the alternative text of one image.
    """

    product: Sequence[FieldParser]
    variant: Sequence[FieldParser]
    attributes: FieldParser | None
    variants: FieldParser | None
    images: FieldParser | None
    image: FieldParser | None

    @classmethod
    def from_mapping(cls, mapping: ColumnMapping) -> RecordParsers:
        """Return the parsers of the fields that the mapping has, and of the required ones."""
        missing = {name: Extractor(_extract_nothing, (name,)) for name in REQUIRED_FIELDS}
        variants, images = mapping.variants, mapping.images
        return cls(
            product=_combine(missing | mapping.product, _product_parses(_price_parser(mapping))),
            variant=_combine(variants.fields if variants else {}, _variant_parses(_price_parser(mapping))),
            attributes=_field_parser("attributes", mapping.attributes_object, values.parse_object),
            variants=_field_parser("variants", variants.items if variants else None, values.parse_list),
            images=_field_parser("images", images.items if images else None, values.parse_list),
            image=_field_parser("image", images.fields["alt"] if images else None, _parse_alt),
        )


def parse_sku(value: Any) -> Any:
    """Return a SKU of 1 to 80 characters."""
    return values.check_present(values.parse_text(value, limit=80))


def _parse_alt(value: Any) -> str:
    return values.parse_text(value, limit=300)


def _price_parser(mapping: ColumnMapping) -> Parse:
    return partial(
        numeric.parse_price,
        decimal=mapping.decimal,
        thousands=mapping.thousands,
        currency_signs=mapping.currency_signs,
    )


def _product_parses(parse_price: Parse) -> dict[str, Parse]:
    return {
        "sku": parse_sku,
        "name": lambda value: values.check_present(values.parse_text(value, limit=300)),
        "price": lambda value: parse_price(values.check_present(value)),
        "category": values.parse_category,
        "currency": values.parse_currency,
        "brand": partial(values.parse_text, limit=120),
        "description": partial(values.parse_text, limit=DESCRIPTION_LIMIT),
        "sale_price": parse_price,
        "status": values.parse_status,
        "publish_at": values.parse_moment,
        "unpublish_at": values.parse_moment,
        "gtin": values.parse_gtin,
        "stock": numeric.parse_stock,
    }


def _variant_parses(parse_price: Parse) -> dict[str, Parse]:
    return {
        "sku": partial(values.parse_text, limit=80),
        "option": partial(values.parse_text, limit=60),
        "value": partial(values.parse_text, limit=120),
        "price": parse_price,
        "gtin": values.parse_gtin,
        "active": values.parse_boolean,
        "stock": numeric.parse_stock,
    }


def _combine(extractors: Mapping[str, Extractor], parses: Mapping[str, Parse]) -> Sequence[FieldParser]:
    return [
        FieldParser(
            name, extractors[name], values.parse_unix_time if extractors[name].is_unix_time else parse
        )
        for name, parse in parses.items()
        if name in extractors
    ]


def _field_parser(name: str, extractor: Extractor | None, parse: Parse) -> FieldParser | None:
    return FieldParser(name, extractor, parse) if extractor else None


def _extract_nothing(_columns: dict[str, Any]) -> None:
    return None
