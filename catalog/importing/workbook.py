"""Reads a workbook (XLSX) row by row, so that its sheet need not fit into memory."""

from __future__ import annotations

import warnings
import zipfile
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext as _
from openpyxl import load_workbook
from openpyxl.utils.exceptions import InvalidFileException

from catalog.importing.exceptions import UnreadableFileError
from catalog.importing.text_file import DAMAGE_ERRORS, RATIO_LIMIT, UNPACKED_LIMIT, ZIP_MAGICS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

CONTENT_TYPES = "[Content_Types].xml"
"""The part that every workbook has, and no other archive of one file."""
OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
"""The first bytes of a workbook of Excel 97 (.xls)."""
SHOWN_DIGITS = 15
"""The digits of a number that a spreadsheet keeps and shows. Further ones come from its binary form."""

READING_ERRORS = (
    *(*DAMAGE_ERRORS, InvalidFileException, LookupError, TypeError, AttributeError, ValueError),
    *(SyntaxError, OSError, NotImplementedError),
)
"""What openpyxl raises for damaged parts: it calls its classes with the names and values that it finds there."""


def is_workbook(raw: BinaryIO) -> bool:
    """Whether a file is a workbook. Raises UnreadableFileError for one of a form that cannot be read."""
    raw.seek(0)
    magic = raw.read(4)
    if magic == OLD_WORKBOOK:
        raise UnreadableFileError(
            _(
                "The file is an old workbook (.xls), or one with a password. Save it as .xlsx without a password, or as CSV."
            )
        )
    if magic not in ZIP_MAGICS:
        return False
    try:
        with zipfile.ZipFile(raw) as archive:
            return CONTENT_TYPES in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False  # whoever reads the archive says what is wrong


def read_rows(raw: BinaryIO) -> Iterator[tuple[float, list[Any]]]:
    """Yield the rows of the active sheet, each with the share of the sheet that has been read.

    An empty cell is an empty text, a date or moment its form in ISO 8601, a truth value `true` or `false`.

    Raises:
        UnreadableFileError: the workbook is damaged, or unpacks to too much.
    """
    try:
        _check_size(raw)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which do not matter here
            workbook = load_workbook(raw, read_only=True, data_only=True, keep_links=False)
        sheet = workbook.active
        if sheet is None:
            return
        rows: int = sheet.max_row or 0
        for number, cells in enumerate(sheet.iter_rows(values_only=True), start=1):
            yield min(1.0, number / max(rows, number)), [*map(_value, cells)]
    except READING_ERRORS as error:
        raise UnreadableFileError(_("The workbook is damaged.")) from error


def _check_size(raw: BinaryIO) -> None:
    """Raise UnreadableFileError if the parts of a workbook are too large. More than it says of a part is never read."""
    with zipfile.ZipFile(raw) as archive:
        unpacked = sum(part.file_size for part in archive.infolist())
    size = raw.seek(0, 2)
    if unpacked > max(UNPACKED_LIMIT, RATIO_LIMIT * size):
        raise UnreadableFileError(_("The workbook unpacks to too much text."))


def _value(cell: Any) -> Any:  # noqa: PLR0911  # a case each
    match cell:
        case None:
            return ""
        case bool():
            return "true" if cell else "false"
        case float() if cell.is_integer():
            return int(cell)
        case float():
            return float(f"{cell:.{SHOWN_DIGITS}g}")
        case datetime() if cell.time() == time.min:
            return cell.date().isoformat()
        case date() | time():
            return cell.isoformat()
        case int() | str():
            return cell
        case _:
            return str(cell)
