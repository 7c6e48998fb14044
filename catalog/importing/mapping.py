"""Mappings: data that says where in a file the values of a product are (docs/import-format.md)."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from django.utils.translation import gettext as _

from catalog.importing.values import DECIMAL_SIGNS

SHIPPED = Path(__file__).resolve().parent.parent / "mappings"
PRODUCT = {
    *("sku", "sku_if_taken", "name", "brand", "category", "description", "price", "sale_price", "currency"),
    *("status", "publish_at", "unpublish_at", "stock", "gtin"),
}
VARIANT = {"sku", "option", "value", "price", "gtin", "active", "stock"}
SOURCES = ("column", "value", "text", "first", "join")
MODIFIERS = {"match", "split", "words"}
MOMENTS = {"publish_at", "unpublish_at"}

Columns = dict[str, Any]
Take = Callable[[Columns], Any]


class MappingError(Exception):
    """The mapping is missing, is not TOML, or says something without a meaning; the text tells what."""


@dataclass(frozen=True, slots=True)
class Field:
    """One value of a product: how to take it from a row, and which columns to name when it is wrong.

    `names` are the columns that it is taken from; `unix` says that it is a moment in seconds since 1970.
    """

    take: Take
    columns: str
    names: tuple[str, ...] = ()
    unix: bool = False


@dataclass(frozen=True, slots=True)
class Each:
    """A list inside a row, such as its variants, and the fields of each item."""

    items: Take
    columns: str
    names: tuple[str, ...]
    fields: dict[str, Field]


@dataclass(frozen=True)
class Mapping:
    """Where each value is.

    `nothing` are the texts that mean that there is none; `decimal` is the sign before the decimals of numbers that are
    written as texts, empty if the file does not say.
    """

    nothing: frozenset[str]
    decimal: str
    product: dict[str, Field]
    attributes: dict[str, Field]
    spread: Field | None
    prefix: str
    variants: Each | None
    images: Each | None

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns that the mapping reads, without those of the prefix. Of a name with dots, also its first part."""
        fields = [*self.product.values(), *self.attributes.values(), *([self.spread] if self.spread else [])]
        fields += self.images.fields.values() if self.images else ()
        names = [name for field in fields for name in field.names]
        names += [name for each in (self.variants, self.images) if each for name in each.names]
        return frozenset(names) | {name.partition(".")[0] for name in names}


def load(name: str) -> Mapping:
    """Read the mapping of the name, a shipped one such as `native` or a path to a TOML file.

    Raises:
        MappingError: it is not there or not understood.
    """
    path = SHIPPED / f"{name}.toml"
    if not path.exists():
        path = Path(name)
    try:
        return _mapping(tomllib.loads(path.read_text()))
    except FileNotFoundError:
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        reason = _("There is no mapping “%(name)s”. Shipped are: %(shipped)s.") % {
            "name": name,
            "shipped": shipped,
        }
        raise MappingError(reason) from None
    except OSError as error:
        raise MappingError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MappingError(f"{path}: {error}") from error


def _mapping(data: dict[str, Any]) -> Mapping:
    _known(
        data, {"title", "nothing", "decimal", "product", "attributes", "variants", "images"}, _("the mapping")
    )
    nothing = frozenset(data.get("nothing", ())) | {""}
    decimal = data.get("decimal", "")
    if not isinstance(decimal, str) or decimal not in DECIMAL_SIGNS:
        raise MappingError(_("“%(sign)s” is no decimal sign; “.” and “,” are.") % {"sign": decimal})
    product, attributes = data.get("product", {}), data.get("attributes", {})
    _known(product, PRODUCT, "[product]")
    _known(attributes, {"spread", "prefix", "columns"}, "[attributes]")
    return Mapping(
        nothing=nothing,
        decimal=decimal,
        product={
            name: _moment(spec, nothing) if name in MOMENTS else _field(spec, nothing)
            for name, spec in product.items()
        },
        attributes=_fields(attributes.get("columns", {}), nothing),
        spread=_field(attributes["spread"], nothing) if "spread" in attributes else None,
        prefix=attributes.get("prefix", ""),
        variants=_each(data.get("variants"), VARIANT, "[variants]", nothing),
        images=_each(data.get("images"), {"alt"}, "[images]", nothing),
    )


def _known(table: dict[str, Any], names: set[str], where: str) -> None:
    for name in table.keys() - names:
        raise MappingError(_("“%(name)s” has no meaning in %(where)s.") % {"name": name, "where": where})


def _each(table: dict[str, Any] | None, names: set[str], where: str, nothing: frozenset[str]) -> Each | None:
    if table is None:
        return None
    fields = dict(table)
    each = _field(fields.pop("each", ""), nothing)
    _known(fields, names, where)
    return Each(each.take, each.columns, each.names, _fields(fields, nothing))


def _moment(spec: Any, nothing: frozenset[str]) -> Field:
    """Read a field that may say `unix = true`."""
    if not isinstance(spec, dict) or "unix" not in spec:
        return _field(spec, nothing)
    field = _field({key: value for key, value in spec.items() if key != "unix"}, nothing)
    if not isinstance(spec["unix"], bool):
        raise MappingError(_("“unix” is true or false, not %(value)s.") % {"value": spec["unix"]})
    return replace(field, unix=spec["unix"])


def _fields(table: dict[str, Any], nothing: frozenset[str]) -> dict[str, Field]:
    return {name: _field(spec, nothing) for name, spec in table.items()}


def _field(spec: Any, nothing: frozenset[str]) -> Field:
    if isinstance(spec, str):
        spec = {"column": spec}
    chosen = [source for source in SOURCES if source in spec]
    if len(chosen) != 1:
        raise MappingError(
            _("%(spec)s needs exactly one of: %(sources)s.") % {"spec": spec, "sources": ", ".join(SOURCES)}
        )
    _known(spec, {*SOURCES, *MODIFIERS}, str(spec))
    take, columns = _source(chosen[0], spec[chosen[0]], nothing)
    return Field(_modified(take, spec), ", ".join(columns), tuple(columns))


def _source(kind: str, said: Any, nothing: frozenset[str]) -> tuple[Take, list[str]]:
    match kind:
        case "column":
            return _column(said, nothing), [said]
        case "value":
            return lambda row: said, []
        case "text":
            names = re.findall(r"\{(.+?)\}", said)
            return _text(said, {name: _column(name, nothing) for name in names}), names
        case "first":
            fields = [_field(spec, nothing) for spec in said]
            return _first([field.take for field in fields]), [
                name for field in fields for name in field.names
            ]
        case _:
            fields = [_field(spec, nothing) for spec in said]
            return _join([field.take for field in fields]), [name for field in fields for name in field.names]


def _column(name: str, nothing: frozenset[str]) -> Take:
    """Take a column, or with dots what is inside it, by name or by place; what means nothing is None."""
    keys = name.split(".")

    def take(row: Columns) -> Any:
        value = row[name] if name in row else _inside(row, keys)
        if isinstance(value, str):
            value = value.strip()
            return None if value in nothing else value
        return value

    return take


def _inside(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _first(takes: list[Take]) -> Take:
    return lambda row: next((value for take in takes if (value := take(row)) is not None), None)


def _join(takes: list[Take]) -> Take:
    return lambda row: "\n\n".join(str(value) for take in takes if (value := take(row)) is not None) or None


def _text(template: str, takes: dict[str, Take]) -> Take:
    parts = re.split(r"\{(.+?)\}", template)

    def take(row: Columns) -> str | None:
        values = [takes[part](row) if place % 2 else part for place, part in enumerate(parts)]
        return None if None in values else "".join(map(str, values))

    return take


def _modified(take: Take, spec: dict[str, Any]) -> Take:
    if "match" in spec:
        take = _match(take, spec["match"])
    if "split" in spec:
        take = _split(take, spec["split"])
    if "words" in spec:
        take = _words(take, spec["words"])
    return take


def _match(take: Take, pattern: str) -> Take:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise MappingError(f"{pattern}: {error}") from error
    if compiled.groups != 1:
        raise MappingError(_("“%(pattern)s” needs one group, which is the value.") % {"pattern": pattern})
    return lambda row: found.group(1) if (found := compiled.search(str(take(row) or ""))) else None


def _split(take: Take, separator: str) -> Take:
    def split(row: Columns) -> Any:
        value = take(row)
        return [part.strip() for part in value.split(separator)] if isinstance(value, str) else value

    return split


def _words(take: Take, words: dict[str, Any]) -> Take:
    def translate(row: Columns) -> Any:
        value = take(row)
        if isinstance(value, list):
            return [words.get(str(item), item) for item in value]
        return words.get(str(value), value)

    return translate
