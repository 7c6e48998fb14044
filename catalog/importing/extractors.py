"""Extractors take the raw value of one field from the columns of a row. Mappings describe them (docs/import-format.md)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from catalog.importing.exceptions import MappingError

Columns = dict[str, Any]
Extract = Callable[[Columns], Any]

KINDS = ("column", "value", "text", "first", "join")
MODIFIERS = ("match", "split", "words")


@dataclass(frozen=True, slots=True)
class Extractor:
    """Takes one raw value from a row: `extract` gets the columns of the row and returns the value, or None.

    `columns` are the columns that it reads, and `is_unix_time` tells that the value is a number of seconds since 1970.
    """

    extract: Extract
    columns: tuple[str, ...] = ()
    is_unix_time: bool = False

    @property
    def label(self) -> str:
        """The columns as a problem names them."""
        return ", ".join(self.columns)


@dataclass(frozen=True, slots=True)
class ListExtractor:
    """Takes a list from a row, such as its variants, and with `fields` the values of each item."""

    items: Extractor
    fields: dict[str, Extractor]


def build_extractor(spec: Any, null_texts: frozenset[str]) -> Extractor:
    """Return the extractor that a mapping describes by the name of a column or by a table.

    Texts in `null_texts` count as None.

    Raises:
        MappingError: the table does not have exactly one of KINDS, or has a key that is neither that nor a modifier.
    """
    if isinstance(spec, str):
        spec = {"column": spec}
    kinds = [kind for kind in KINDS if kind in spec]
    if len(kinds) != 1:
        raise MappingError(
            _("%(spec)s needs exactly one of: %(kinds)s.") % {"spec": spec, "kinds": ", ".join(KINDS)}
        )
    check_names(spec, {*KINDS, *MODIFIERS}, str(spec))
    extractor = _build_kind(kinds[0], spec[kinds[0]], null_texts)
    return Extractor(_modified(extractor.extract, spec), extractor.columns)


def build_extractors(table: dict[str, Any], null_texts: frozenset[str]) -> dict[str, Extractor]:
    """Return the extractor of each field of a table."""
    return {name: build_extractor(spec, null_texts) for name, spec in table.items()}


def check_names(table: dict[str, Any], names: set[str], where: str) -> None:
    """Raise MappingError if the table has another key than `names`. `where` is the table as the message names it."""
    for name in table.keys() - names:
        raise MappingError(_("“%(name)s” has no meaning in %(where)s.") % {"name": name, "where": where})


def _build_kind(kind: str, argument: Any, null_texts: frozenset[str]) -> Extractor:
    match kind:
        case "column":
            return Extractor(_extract_column(argument, null_texts), (argument,))
        case "value":
            return Extractor(lambda columns: argument)
        case "text":
            names = re.findall(r"\{(.+?)\}", argument)
            parts = {name: _extract_column(name, null_texts) for name in names}
            return Extractor(_extract_text(argument, parts), tuple(names))
        case _:
            extractors = [build_extractor(spec, null_texts) for spec in argument]
            combine = _extract_first if kind == "first" else _extract_joined
            return Extractor(
                combine([extractor.extract for extractor in extractors]),
                tuple(name for extractor in extractors for name in extractor.columns),
            )


def _extract_column(name: str, null_texts: frozenset[str]) -> Extract:
    """Extract a column. A name with dots that is not a column leads into an object or a list, by name or index."""
    keys = name.split(".")

    def extract(columns: Columns) -> Any:
        value = columns[name] if name in columns else _nested_value(columns, keys)
        if isinstance(value, str):
            value = value.strip()
            return None if value in null_texts else value
        return value

    return extract


def _nested_value(value: Any, keys: list[str]) -> Any:
    for key in keys:
        if isinstance(value, list) and key.isdecimal():
            value = value[int(key)] if int(key) < len(value) else None
        else:
            value = value.get(key) if isinstance(value, dict) else None
    return value


def _extract_first(extracts: list[Extract]) -> Extract:
    return lambda columns: next(
        (value for extract in extracts if (value := extract(columns)) is not None), None
    )


def _extract_joined(extracts: list[Extract]) -> Extract:
    def extract(columns: Columns) -> str | None:
        values = (extract(columns) for extract in extracts)
        return "\n\n".join(str(value) for value in values if value is not None) or None

    return extract


def _extract_text(template: str, extracts: dict[str, Extract]) -> Extract:
    parts = re.split(r"\{(.+?)\}", template)

    def extract(columns: Columns) -> str | None:
        values = [extracts[part](columns) if index % 2 else part for index, part in enumerate(parts)]
        return None if None in values else "".join(map(str, values))

    return extract


def _modified(extract: Extract, spec: dict[str, Any]) -> Extract:
    """Apply the modifiers of the table to the extracted value, in the order of MODIFIERS."""
    if "match" in spec:
        extract = _matched(extract, spec["match"])
    if "split" in spec:
        extract = _split(extract, spec["split"])
    if "words" in spec:
        extract = _translated(extract, spec["words"])
    return extract


def _matched(extract: Extract, pattern: str) -> Extract:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise MappingError(f"{pattern}: {error}") from error
    if compiled.groups != 1:
        raise MappingError(_("“%(pattern)s” needs one group, which is the value.") % {"pattern": pattern})

    def search(columns: Columns) -> str | None:
        match = compiled.search(str(extract(columns) or ""))
        return match.group(1) if match else None

    return search


def _split(extract: Extract, separator: str) -> Extract:
    def split(columns: Columns) -> Any:
        value = extract(columns)
        return [part.strip() for part in value.split(separator)] if isinstance(value, str) else value

    return split


def _translated(extract: Extract, words: dict[str, Any]) -> Extract:
    def translate(columns: Columns) -> Any:
        value = extract(columns)
        if isinstance(value, list):
            return [words.get(str(item), item) for item in value]
        return words.get(str(value), value)

    return translate
