"""Tags: names of what can change. The same text is written here and by the triggers (see postgres/sql/capture.sql)."""

from __future__ import annotations

import hashlib
import re
from uuid import UUID

LONGEST_VALUE = 64
"""Bytes of the longest value that a tag contains as it is; of a longer value it contains the MD5."""


_SIGN = re.compile(r"[#.*]")
"""The sign behind the name of the table: ``#`` of a row, ``.`` of a slice, ``*`` of anything in the table."""


def table(relation: str) -> str:
    """Return the tag that moves with every change of the table."""
    return relation


def anything(relation: str) -> str:
    """Return the tag that moves when a statement changed more rows than are tagged one by one, or the table was altered."""
    return f"{relation}*"


def row(relation: str, pk: object) -> str | None:
    """Return the tag that moves when this row changes; None if the key has more than one written form."""
    written = written_form(pk)
    return None if written is None else f"{relation}#{written}"


def slice_of(relation: str, column: str, value: object) -> str | None:
    """Return the tag that moves when a row enters, leaves or changes within ``column = value``.

    None if the value has more than one written form.
    """
    if value is None:
        return f"{relation}.{column}~"
    written = written_form(value)
    return None if written is None else f"{relation}.{column}={written}"


def written_form(value: object) -> str | None:
    """Return the written form of an integer, uuid, boolean or text, as PostgreSQL's ``::text`` gives it; None for other types."""
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
    """Return the table that a tag belongs to."""
    return _SIGN.split(tag, 1)[0]


def column_of(tag: str) -> str:
    """Return the column of a slice tag."""
    return tag[len(relation_of(tag)) + 1 :].partition("=")[0].removesuffix("~")


def group_of(tag: str) -> str:
    """Return the table of a row or slice tag, with the sign that tells which of the two it is; empty for a whole table."""
    sign = _SIGN.search(tag)
    return "" if sign is None or sign[0] == "*" else tag[: sign.end()]


def is_row(tag: str) -> bool:
    """Whether the tag names a row."""
    sign = _SIGN.search(tag)
    return sign is not None and sign[0] == "#"


def is_fine(tag: str) -> bool:
    """Whether the tag names a row or a slice, not a whole table."""
    return group_of(tag) != ""


def _shorten(value: str) -> str:
    encoded = value.encode()
    if len(encoded) <= LONGEST_VALUE:
        return value
    return hashlib.md5(encoded, usedforsecurity=False).hexdigest()
