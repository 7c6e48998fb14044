"""Rows of a file, JSON Lines or CSV, each with the line it begins on."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from django.utils.translation import gettext as _

from catalog.importing.records import Problem, excerpt
from catalog.importing.text import (
    DAMAGED,
    LINE_LIMIT,
    RATIO_LIMIT,
    UNPACKED_LIMIT,
    UnreadableFileError,
    open_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    Rename = Callable[[list[str]], list[str]]

DELIMITERS = ",;\t|"
# Excel writes and reads a first line that names the delimiter.
NAMED_DELIMITER = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
CELL_LIMIT = 1_000_000  # characters; a quote that is never closed ends there and not at the end of the file
UNDECODED = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Row:
    """The columns of one row by name; `line` counts from 1."""

    line: int
    columns: dict[str, Any]


class Source:
    """A file to import, `position` of whose `size` bytes have been read.

    `empty` counts the rows without anything in them, which are skipped.
    """

    def __init__(self, path: Path, *, encoding: str = "utf-8") -> None:
        self.path = path
        self.encoding = encoding
        self.size = path.stat().st_size
        self.position = 0
        self.empty = 0
        self._line = 0
        self._overlong_line = 0
        self._end: str | None = None
        """Why the rest of the file cannot be read; None if it could be read to its end."""

    def rows(self, rename: Rename = list) -> Iterator[Row | Problem]:
        """Yield each row, or the problem in its place; `rename` gets the header of CSV and returns the names to use.

        Raises:
            UnreadableFileError: there are no rows in it at all.
        """
        with self.path.open("rb") as raw:
            lines = self._lines(raw)
            first = self._filled_line(lines)
            if not first:
                raise UnreadableFileError(
                    _("No line of the file can be read. %(reason)s") % {"reason": self._end}
                    if self._end
                    else _("The file is empty.")
                )
            start = first.lstrip()[:1]
            if start == "[":
                raise UnreadableFileError(
                    _("The file is one JSON list; one object a line is needed (JSON Lines).")
                )
            yield from self._json_rows(first, lines) if start == "{" else self._csv_rows(first, lines, rename)
        if self._end:
            yield Problem(line=self._line + 1, reason=self._end)

    def _lines(self, raw: BinaryIO) -> Iterator[str]:
        most = max(UNPACKED_LIMIT, RATIO_LIMIT * self.size)
        unpacked = 0
        try:
            with open_text(raw, encoding=self.encoding) as text:
                self.encoding = text.encoding
                while line := text.readline(LINE_LIMIT):
                    self._line += 1
                    self.position = raw.tell()
                    unpacked += len(line)
                    if len(line) == LINE_LIMIT:
                        self._overlong_line = self._line
                        unpacked += _skip_line(text)
                    if unpacked > most:
                        self._end = _("The compressed file unpacks to too much from here on.")
                        return
                    yield line
        except DAMAGED:
            self._end = _("The compressed file breaks off here.")
        except UnicodeError:
            self._end = _("The file is not %(encoding)s from here on.") % {"encoding": self.encoding.upper()}

    def _filled_line(self, lines: Iterator[str]) -> str:
        """Return the next line that is not blank; an empty text if there is none."""
        for line in lines:
            if line.strip():
                return line
            self.empty += 1
        return ""

    def _json_rows(self, first: str, lines: Iterator[str]) -> Iterator[Row | Problem]:
        line = first
        while line:
            yield self._overlong(self._line) or _json_row(self._line, line, self.encoding)
            line = self._filled_line(lines)

    def _csv_rows(self, first: str, lines: Iterator[str], rename: Rename) -> Iterator[Row | Problem]:
        csv.field_size_limit(CELL_LIMIT)
        named = NAMED_DELIMITER.fullmatch(first)
        header = self._filled_line(lines) if named else first
        delimiter = named[1] if named else max(DELIMITERS, key=header.count)
        reader = csv.reader(chain([header], lines), delimiter=delimiter, strict=True)
        names = rename(_header(reader, self.encoding))
        while True:
            begin = self._line + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield self._overlong(begin) or Problem(
                    line=begin, reason=_("This is not CSV: %(error)s.") % {"error": error}
                )
                continue
            if any(map(str.strip, cells)):
                yield self._overlong(begin) or _csv_row(begin, names, cells, self.encoding)
            else:
                self.empty += 1

    def _overlong(self, begin: int) -> Problem | None:
        """Return a problem if the row that began on this line contains a line that is too long."""
        if begin > self._overlong_line:
            return None
        reason = _("The line is longer than %(limit)d characters.") % {"limit": LINE_LIMIT}
        return Problem(line=begin, reason=reason)


def _skip_line(text: Any) -> int:
    """Read to the end of a line and return how many characters that took."""
    skipped = 0
    while more := text.readline(LINE_LIMIT):
        skipped += len(more)
        if more[-1] in "\r\n":
            break
    return skipped


def _json_row(number: int, line: str, encoding: str) -> Row | Problem:
    try:
        if not line.isascii():
            line.encode()
        columns = DECODER.decode(line)
    except UnicodeEncodeError as error:
        reason = _undecoded(line, encoding) or _("Half a character is here.")
        return Problem(line=number, value=_around(line, error.start), reason=reason)
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


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _header(reader: Iterator[list[str]], encoding: str) -> list[str]:
    """Return the names of the columns, without the empty ones at the end."""
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error:
        names = []
    while names and not names[-1]:
        names.pop()
    if len(names) < 2:
        raise UnreadableFileError(_("The file is neither JSON Lines nor CSV with a header."))
    if reason := _undecoded("".join(names), encoding):
        raise UnreadableFileError(_("The header cannot be read. %(reason)s") % {"reason": reason})
    if twice := next((name for name in names if name and names.count(name) > 1), None):
        raise UnreadableFileError(_("The header names “%(column)s” twice.") % {"column": twice})
    return names


def _csv_row(number: int, names: list[str], cells: list[str], encoding: str) -> Row | Problem:
    if any(map(str.strip, cells[len(names) :])):
        more = len(cells) - len(names)
        reason = _("The row has more cells than the header (%(more)d too many).") % {"more": more}
        return Problem(line=number, reason=reason)
    columns = dict(zip(names, cells, strict=False))
    for column, cell in columns.items():
        if not cell.isascii() and (reason := _undecoded(cell, encoding)):
            return Problem(line=number, column=column, value=excerpt(cell), reason=reason)
    return Row(number, columns)


def _undecoded(text: str, encoding: str) -> str:
    """Return an error message for the first byte that is invalid in the encoding; empty if there is none."""
    found = None if encoding.startswith(("utf-16", "utf-32")) else UNDECODED.search(text)
    if found is None:
        return ""
    return _(
        "The byte 0x%(byte)02X is not %(encoding)s; save the file in UTF-8, or name its encoding (--encoding)."
    ) % {
        "byte": ord(found[0]) - 0xDC00,
        "encoding": encoding.upper(),
    }


def _around(line: str, place: int) -> str:
    return excerpt(line[max(0, place - 20) : place + 20].strip())
