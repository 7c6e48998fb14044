"""Tags: names of what can change. The same text is written here and by the triggers (see postgres/sql/capture.sql)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterable


LONGEST_VALUE = 64
"""Bytes of a value that stand in a tag as they are; a longer value stands there as its MD5."""


def table(relation: str) -> str:
    """Moves with every change of the table."""
    return relation


def anything(relation: str) -> str:
    """Moves when a statement changed more rows than are tagged one by one, or the table itself changed."""
    return f"{relation}*"


def row(relation: str, pk: object) -> str | None:
    """Moves when that row changes; None if the key has no one written form."""
    written = written_form(pk)
    return None if written is None else f"{relation}#{written}"


def slice_of(relation: str, column: str, value: object) -> str | None:
    """Moves when a row enters, leaves or changes within ``column = value``; None if the value has no one written form."""
    if value is None:
        return f"{relation}.{column}~"
    written = written_form(value)
    return None if written is None else f"{relation}.{column}={written}"


def written_form(value: object) -> str | None:
    """The one written form of an integer, uuid, boolean or text, equal to PostgreSQL's ``::text``; None for all else."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case UUID():
            return str(value)
        case str():
            return _shorten(str.__str__(value))
        case _:
            return None


def relation_of(tag: str) -> str:
    """The table that a tag belongs to."""
    for index, letter in enumerate(tag):
        if letter in "#.*":
            return tag[:index]
    return tag


def is_fine(tag: str) -> bool:
    """Whether the tag names a row or a slice, not a whole table."""
    relation = relation_of(tag)
    return tag not in (relation, anything(relation))


def coarsen(positions: dict[str, str], limit: int) -> dict[str, str]:
    """Replace the row and slice tags of a table that has more than ``limit`` by the table's, at their earliest position."""
    counts: dict[str, int] = {}
    for tag in filter(is_fine, positions):
        counts[relation_of(tag)] = counts.get(relation_of(tag), 0) + 1
    crowded = {relation for relation, count in counts.items() if count > limit}
    if not crowded:
        return positions
    return _merged(
        (tag if relation_of(tag) not in crowded else relation_of(tag), position)
        for tag, position in positions.items()
    )


def _merged(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for tag, position in pairs:
        merged[tag] = min(position, merged.get(tag, position))
    return merged


def _shorten(value: str) -> str:
    encoded = value.encode()
    if len(encoded) <= LONGEST_VALUE:
        return value
    return hashlib.md5(encoded, usedforsecurity=False).hexdigest()
