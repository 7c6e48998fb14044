"""Matches the header of a CSV file with the column names of the mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from catalog.fields import to_nfc
from catalog.importing.exceptions import UnreadableFileError
from catalog.importing.field_parsers import REQUIRED_FIELDS
from catalog.importing.values import CELL_TYPES

if TYPE_CHECKING:
    from catalog.importing.column_mapping import ColumnMapping


def match_header(header: list[str], mapping: ColumnMapping) -> list[str]:
    """Return the column names of the header in the spelling of the mapping. The case of letters does not matter.

    Raises:
        UnreadableFileError: the header names a column twice, has no column that every row needs, or gives an attribute an
            unknown type.
    """
    unmatched = {_fold(column): column for column in sorted(mapping.columns.difference(header))}
    names = [
        name
        if name in mapping.columns
        else _match_prefix(name, mapping.attribute_prefix) or unmatched.get(_fold(name), name)
        for name in header
    ]
    for name in mapping.columns.intersection(names):
        if names.count(name) > 1:
            raise UnreadableFileError(_("The header names “%(column)s” twice.") % {"column": name})
    _check_required(names, mapping)
    return names


def unread_columns(names: list[str], mapping: ColumnMapping) -> list[str]:
    """Return the columns that the mapping does not read."""
    prefix = mapping.attribute_prefix
    return [
        name
        for name in names
        if name and name not in mapping.columns and not (prefix and name.startswith(prefix))
    ]


def _fold(name: str) -> str:
    return to_nfc(name.strip().casefold())


def _match_prefix(name: str, prefix: str) -> str:
    """Return the name of an attribute's column with prefix and type as the mapping spells them; else an empty text."""
    if not prefix or not _fold(name).startswith(_fold(prefix)):
        return ""
    attribute, colon, cell_type = name[len(prefix) :].partition(":")
    if cell_type.strip().casefold() not in CELL_TYPES:
        raise UnreadableFileError(
            _("The header has “%(column)s”: “%(type)s” is not one of: %(types)s.")
            % {"column": name, "type": cell_type, "types": ", ".join(filter(None, CELL_TYPES))}
        )
    return f"{prefix}{attribute}{colon}{cell_type.strip().casefold()}"


def _check_required(names: list[str], mapping: ColumnMapping) -> None:
    """Raise UnreadableFileError if a column that every row needs is missing."""
    for field in REQUIRED_FIELDS:
        extractor = mapping.product.get(field)
        columns = extractor.columns if extractor else (field,)
        if columns and not {*columns, *(column.partition(".")[0] for column in columns)}.intersection(names):
            raise UnreadableFileError(
                _("The header has no column “%(column)s”. It has: %(names)s. --guess proposes a mapping.")
                % {"column": ", ".join(columns), "names": ", ".join(filter(None, names))}
            )
