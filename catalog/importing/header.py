"""Matches the header of a CSV file with the column names of the mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from catalog.fields import normal
from catalog.importing.reading import REQUIRED
from catalog.importing.text import UnreadableFileError
from catalog.importing.values import KINDS

if TYPE_CHECKING:
    from catalog.importing.mapping import Mapping


def match_header(names: list[str], mapping: Mapping) -> list[str]:
    """Return the header's names in the spelling of the mapping; upper and lower case do not matter.

    Raises:
        UnreadableFileError: two columns have the same name but for its case, a column that every row needs is missing,
            or an attribute has an unknown type.
    """
    missing = {_folded(column): column for column in sorted(mapping.columns.difference(names))}
    matched = [
        name
        if name in mapping.columns
        else _with_prefix(name, mapping.prefix) or missing.get(_folded(name), name)
        for name in names
    ]
    for name in mapping.columns.intersection(matched):
        if matched.count(name) > 1:
            raise UnreadableFileError(_("The header names “%(column)s” twice.") % {"column": name})
    _require(matched, mapping)
    return matched


def unread(names: list[str], mapping: Mapping) -> list[str]:
    """Return the columns that the mapping does not read."""
    return [
        name
        for name in names
        if name and name not in mapping.columns and not (mapping.prefix and name.startswith(mapping.prefix))
    ]


def _folded(name: str) -> str:
    return normal(name.strip().casefold())


def _with_prefix(name: str, prefix: str) -> str:
    """Return the name of an attribute's column with its prefix and type in the mapping's spelling; empty for others."""
    if not prefix or not _folded(name).startswith(_folded(prefix)):
        return ""
    attribute, colon, kind = name[len(prefix) :].partition(":")
    if kind.strip().casefold() not in KINDS:
        raise UnreadableFileError(
            _("The header has “%(column)s”: “%(kind)s” is not one of: %(kinds)s.")
            % {"column": name, "kind": kind, "kinds": ", ".join(filter(None, KINDS))}
        )
    return f"{prefix}{attribute}{colon}{kind.strip().casefold()}"


def _require(names: list[str], mapping: Mapping) -> None:
    """Check that the header has the columns that every row needs."""
    for needed in REQUIRED:
        field = mapping.product.get(needed)
        asked = field.names if field else (needed,)
        if asked and not {*asked, *(name.partition(".")[0] for name in asked)}.intersection(names):
            raise UnreadableFileError(
                _("The header has no column “%(column)s”. It has: %(names)s.")
                % {"column": ", ".join(asked), "names": ", ".join(filter(None, names))}
            )
