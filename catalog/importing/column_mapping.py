"""Column mappings: TOML files that tell where a file has the values of a product (docs/import-format.md)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from catalog.importing.exceptions import MappingError
from catalog.importing.extractors import (
    Extractor,
    ListExtractor,
    build_extractor,
    build_extractors,
    check_names,
)
from catalog.importing.numeric import NUMBER_PATTERNS, SEPARATORS

SHIPPED = Path(__file__).resolve().parent.parent / "mappings"
TOP_LEVEL_NAMES = {
    *("title", "nothing", "encoding", "decimal", "thousands", "currency_signs"),
    *("product", "attributes", "variants", "images"),
}
PRODUCT_FIELDS = {
    *("sku", "sku_if_taken", "name", "brand", "category", "description", "price", "sale_price", "currency"),
    *("status", "publish_at", "unpublish_at", "stock", "gtin"),
}
VARIANT_FIELDS = {"sku", "option", "value", "price", "gtin", "active", "stock"}
IMAGE_FIELDS = {"alt"}
MOMENT_FIELDS = {"publish_at", "unpublish_at"}


@dataclass(frozen=True)
class ColumnMapping:
    """Where the rows of a file have each value.

    Args:
        null_texts: texts that mean that a value is missing.
        encoding: the encoding of files without byte order mark; empty if the mapping does not tell.
        decimal: the decimal sign of numbers that are written as texts; empty if the mapping does not tell.
        thousands: the only sign that separates thousands in prices; empty if any may.
        currency_signs: what may stand before or behind a price.
        product: the fields of a product.
        attributes: the attributes that have a column each.
        attributes_object: an object whose names and values become attributes.
        attribute_prefix: the beginning of the columns of CSV that are attributes; empty if there are none.
        variants: the list of variants.
        images: the list of images.
    """

    null_texts: frozenset[str]
    encoding: str
    decimal: str
    thousands: str
    currency_signs: tuple[str, ...]
    product: dict[str, Extractor]
    attributes: dict[str, Extractor]
    attributes_object: Extractor | None
    attribute_prefix: str
    variants: ListExtractor | None
    images: ListExtractor | None

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that the mapping reads, without those of the prefix. Of a name with dots, also its first part."""
        extractors = [*self.product.values(), *self.attributes.values()]
        extractors += [self.attributes_object] if self.attributes_object else []
        extractors += [each.items for each in (self.variants, self.images) if each]
        extractors += self.images.fields.values() if self.images else []
        names = [name for extractor in extractors for name in extractor.columns]
        return frozenset(names) | {name.partition(".")[0] for name in names}


def load_mapping(name: str) -> ColumnMapping:
    """Return a shipped mapping such as `native`, or the mapping in the TOML file at a path.

    Raises:
        MappingError: there is no such mapping, or it cannot be read or understood.
    """
    path = SHIPPED / f"{name}.toml"
    if not path.exists():
        path = Path(name)
    try:
        return _parse_mapping(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        reason = _("There is no mapping “%(name)s”. The shipped mappings are: %(shipped)s.")
        raise MappingError(reason % {"name": name, "shipped": shipped}) from None
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path}: {error}") from error


def _parse_mapping(data: dict[str, Any]) -> ColumnMapping:
    check_names(data, TOP_LEVEL_NAMES, _("the mapping"))
    null_texts = frozenset(data.get("nothing", ())) | {""}
    attributes = data.get("attributes", {})
    check_names(attributes, {"spread", "prefix", "columns"}, "[attributes]")
    decimal, thousands = _parse_signs(data)
    return ColumnMapping(
        null_texts=null_texts,
        encoding=check_encoding(data.get("encoding", "")),
        decimal=decimal,
        thousands=thousands,
        currency_signs=_parse_currency_signs(data.get("currency_signs", [])),
        product=_parse_product(data.get("product", {}), null_texts),
        attributes=build_extractors(attributes.get("columns", {}), null_texts),
        attributes_object=build_extractor(attributes["spread"], null_texts)
        if "spread" in attributes
        else None,
        attribute_prefix=attributes.get("prefix", ""),
        variants=_parse_list_table(data, "variants", VARIANT_FIELDS, null_texts),
        images=_parse_list_table(data, "images", IMAGE_FIELDS, null_texts),
    )


def check_encoding(name: Any) -> str:
    """Return the name of an encoding, or an empty text. Raises MappingError if Python does not know it."""
    try:
        if name:
            "".encode(name)
    except (LookupError, UnicodeError, TypeError):
        raise MappingError(_("There is no encoding “%(name)s”.") % {"name": name}) from None
    return str(name)


def _parse_signs(data: dict[str, Any]) -> tuple[str, str]:
    """Return the decimal sign and the sign between thousands. A point between thousands means a decimal comma, and vice versa."""
    thousands = data.get("thousands", "")
    if not isinstance(thousands, str) or thousands not in (SEPARATORS | {""}):
        raise MappingError(_("“%(sign)s” cannot separate thousands.") % {"sign": thousands})
    decimal = _parse_decimal(data.get("decimal", {".": ",", ",": "."}.get(thousands, "")))
    if thousands and not decimal:
        raise MappingError(_("With “thousands”, the mapping must also have “decimal”."))
    if thousands and thousands == decimal:
        raise MappingError(_("“decimal” and “thousands” are the same sign."))
    return decimal, thousands


def _parse_currency_signs(signs: Any) -> tuple[str, ...]:
    if not isinstance(signs, list) or not all(isinstance(sign, str) and sign for sign in signs):
        raise MappingError(_('“currency_signs” is a list of texts such as ["€", "EUR"].'))
    return tuple(sorted(signs, key=len, reverse=True))


def _parse_decimal(sign: Any) -> str:
    if not isinstance(sign, str) or sign not in NUMBER_PATTERNS:
        raise MappingError(_("“%(sign)s” is not a decimal sign; “.” and “,” are.") % {"sign": sign})
    return sign


def _parse_product(table: dict[str, Any], null_texts: frozenset[str]) -> dict[str, Extractor]:
    check_names(table, PRODUCT_FIELDS, "[product]")
    return {
        name: (_build_moment if name in MOMENT_FIELDS else build_extractor)(spec, null_texts)
        for name, spec in table.items()
    }


def _build_moment(spec: Any, null_texts: frozenset[str]) -> Extractor:
    """Return the extractor of a moment, whose table can have `unix = true`."""
    if not isinstance(spec, dict) or "unix" not in spec:
        return build_extractor(spec, null_texts)
    extractor = build_extractor({key: value for key, value in spec.items() if key != "unix"}, null_texts)
    if not isinstance(spec["unix"], bool):
        raise MappingError(_("“unix” is true or false, not %(value)s.") % {"value": spec["unix"]})
    return replace(extractor, is_unix_time=spec["unix"])


def _parse_list_table(
    data: dict[str, Any], name: str, fields: set[str], null_texts: frozenset[str]
) -> ListExtractor | None:
    if name not in data:
        return None
    table = dict(data[name])
    items = build_extractor(table.pop("each", ""), null_texts)
    check_names(table, fields, f"[{name}]")
    if fields == IMAGE_FIELDS and not table:
        raise MappingError(_("“alt” is missing in [images]."))
    return ListExtractor(items, build_extractors(table, null_texts))
