"""Rows of a file: JSON Lines or CSV, plain or gzip, each with the line it begins on."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING, Any, NoReturn

from django.utils.translation import gettext as _

from catalog.importing.records import Problem, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
DELIMITERS = ",;\t"
CELL_LIMIT = 1_000_000  # characters; a quote that is never closed ends there and not at the end of the file
REST = "\x00rest"  # the key of cells beyond the header; no column is called so


class UnreadableFileError(Exception):
    """The file as a whole cannot be read: it is empty or damaged, or neither JSON Lines nor CSV with a header."""


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of one row by name; `line` counts from 1."""

    line: int
    columns: dict[str, Any]


class Source:
    """A file to import, `position` of whose `size` bytes have been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = path.stat().st_size
        self.position = 0
        self._line = 0
        self._broken_off = False

    def rows(self) -> Iterator[Row | Problem]:
        """Yield each row, or the problem in its place.

        Raises:
            UnreadableFileError: there are no rows in it at all.
        """
        with self.path.open("rb") as raw:
            lines = self._lines(raw)
            first = next((line for line in lines if line.strip()), b"")
            start = first.lstrip()[:1]
            if not start and self._broken_off:
                raise UnreadableFileError(_("The compressed file is damaged: no line of it can be read."))
            if not start:
                raise UnreadableFileError(_("The file is empty."))
            if start == b"[":
                raise UnreadableFileError(
                    _("The file is one JSON list; one object a line is needed (JSON Lines).")
                )
            yield from _json_rows(self, first, lines) if start == b"{" else _csv_rows(self, first, lines)
        if self._broken_off:
            yield Problem(line=self._line + 1, reason=_("The compressed file breaks off here."))

    @property
    def line(self) -> int:
        """The number of the line read last."""
        return self._line

    def _lines(self, raw: IO[bytes]) -> Iterator[bytes]:
        zipped = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        stream: Iterable[bytes] = gzip.GzipFile(fileobj=raw) if zipped else raw
        try:
            for line in stream:
                self._line += 1
                self.position = raw.tell()
                yield line.removeprefix(BOM) if self._line == 1 else line
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self._broken_off = True


def _json_rows(source: Source, first: bytes, lines: Iterator[bytes]) -> Iterator[Row | Problem]:
    for line in chain([first], lines):
        if line.strip():
            yield _json_row(source.line, line)


def _json_row(number: int, line: bytes) -> Row | Problem:
    try:
        columns = json.loads(line.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        return Problem(
            line=number,
            value=_around(line.decode(errors="replace"), error.start),
            reason=_not_utf8(line[error.start]),
        )
    except json.JSONDecodeError as error:
        reason = _("This is not JSON from character %(place)d on.") % {"place": error.pos + 1}
        return Problem(line=number, value=_around(error.doc, error.pos), reason=reason)
    except (ValueError, RecursionError):
        return Problem(line=number, reason=_("This JSON has a number or a nesting that cannot be read."))
    if not isinstance(columns, dict):
        return Problem(line=number, value=excerpt(columns), reason=_("This is JSON, but not an object."))
    return Row(number, columns)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _csv_rows(source: Source, first: bytes, lines: Iterator[bytes]) -> Iterator[Row | Problem]:
    csv.field_size_limit(CELL_LIMIT)
    # What is not UTF-8 becomes lone surrogates, which are found again in the cell they belong to.
    texts = (line.decode(errors="surrogateescape") for line in chain([first], lines))
    header = next(texts)
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.DictReader(chain([header], texts), delimiter=delimiter, restkey=REST, strict=True)
    _check_header(reader)
    while True:
        begin = source.line + 1
        try:
            yield _csv_row(begin, next(reader))
        except StopIteration:
            return
        except csv.Error as error:
            yield Problem(line=begin, reason=_("This is not CSV: %(error)s.") % {"error": error})


def _check_header(reader: csv.DictReader[str]) -> None:
    try:
        names = list(reader.fieldnames or ())
    except csv.Error:
        names = []
    if len(names) < 2:
        raise UnreadableFileError(_("The file is neither JSON Lines nor CSV with a header."))
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UnreadableFileError(_("The header names “%(column)s” twice.") % {"column": twice})


def _csv_row(number: int, cells: dict[str, Any]) -> Row | Problem:
    if REST in cells:
        reason = _("The row has more cells than the header (%(more)d too many).") % {"more": len(cells[REST])}
        return Problem(line=number, reason=reason)
    for column, cell in cells.items():
        byte = next((ord(sign) - 0xDC00 for sign in cell or "" if "\udc80" <= sign <= "\udcff"), None)
        if byte is not None:
            return Problem(line=number, column=column, value=excerpt(cell), reason=_not_utf8(byte))
    return Row(number, cells)


def _not_utf8(byte: int) -> str:
    return _("The byte 0x%(byte)02X is not UTF-8; save the file in that encoding.") % {"byte": byte}


def _around(line: str, place: int) -> str:
    return excerpt(line[max(0, place - 20) : place + 20].strip())
