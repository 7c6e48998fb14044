"""The file to import: its rows, from JSON Lines, CSV or a workbook, each with the line where it begins."""

from __future__ import annotations

import csv
import json
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, NoReturn

from django.utils.translation import gettext as _

from catalog.importing.exceptions import UnreadableFileError
from catalog.importing.records import Problem, Row, excerpt
from catalog.importing.text_file import (
    DAMAGE_ERRORS,
    LINE_LIMIT,
    RATIO_LIMIT,
    UNPACKED_LIMIT,
    open_text,
    undecoded_reason,
)
from catalog.importing.workbook import is_workbook, read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO, TextIO

    MatchHeader = Callable[[list[str]], list[str]]

DELIMITERS = ",;\t|"
# Excel writes and reads a first line that names the delimiter.
DELIMITER_LINE = re.compile(r'"?sep=([,;\t|])"?\s*', re.IGNORECASE)
CELL_LIMIT = 1_000_000  # characters; a quote that is never closed ends there and not at the end of the file


class Source:
    """A file to import.

    While its rows are read, `position` is the number of the `size` bytes that have been read, and `empty_rows` the number of
    rows that were skipped because all their cells are empty. `columns` are the names that the rows of CSV have. `encoding` is
    the encoding that was taken, and `is_recognised` tells that nothing named it.
    """

    def __init__(self, path: Path, *, encoding: str = "") -> None:
        self.path = path
        self.encoding = encoding
        self.is_recognised = not encoding
        self.size = path.stat().st_size
        self.position = 0
        self.empty_rows = 0
        self.columns: list[str] = []
        self._line_number = 0
        self._overlong_line = 0
        self._abort_reason: str | None = None
        """Why the rest of the file cannot be read; None as long as it can be."""

    def rows(self, match_header: MatchHeader = list) -> Iterator[Row | Problem]:
        """Yield each row, or the problem of a row that cannot be read.

        `match_header` gets the names in the header of CSV and returns the column names to use for the rows.

        Raises:
            UnreadableFileError: the file has no rows at all.
        """
        with self.path.open("rb") as raw:
            if is_workbook(raw):
                yield from self._workbook_rows(raw, match_header)
                return
            lines = self._lines(raw)
            line = self._next_filled_line(lines)
            if not line:
                raise UnreadableFileError(self._no_line_reason())
            match line.lstrip()[:1]:
                case "[":
                    raise UnreadableFileError(
                        _("The file is one JSON list. Write one object on each line instead (JSON Lines).")
                    )
                case "{":
                    yield from self._json_rows(line, lines)
                case _:
                    yield from self._csv_rows(line, lines, match_header)
        if self._abort_reason:
            yield Problem(line=self._line_number + 1, reason=self._abort_reason)

    def _no_line_reason(self) -> str:
        if self._abort_reason:
            return _("No line of the file can be read. %(reason)s") % {"reason": self._abort_reason}
        return _("The file is empty.")

    def _lines(self, raw: BinaryIO) -> Iterator[str]:
        """Yield the lines of the file up to the point where it cannot be read, which sets `_abort_reason`."""
        try:
            with open_text(raw, encoding=self.encoding) as text:
                self.encoding = text.encoding
                yield from self._limited_lines(text, raw)
        except DAMAGE_ERRORS:
            self._abort_reason = _("The compressed file is incomplete or damaged from here on.")
        except UnicodeError:
            encoding = self.encoding.upper()
            self._abort_reason = _("The file is not %(encoding)s from here on.") % {"encoding": encoding}

    def _limited_lines(self, text: TextIO, raw: BinaryIO) -> Iterator[str]:
        """Yield the lines, each cut to LINE_LIMIT, until the compressed file has unpacked to too much text."""
        limit = max(UNPACKED_LIMIT, RATIO_LIMIT * self.size)
        unpacked = 0
        while line := text.readline(LINE_LIMIT):
            self._line_number += 1
            self.position = raw.tell()
            unpacked += len(line)
            if len(line) == LINE_LIMIT:
                self._overlong_line = self._line_number
                unpacked += _skip_line(text)
            if unpacked > limit:
                self._abort_reason = _("The compressed file unpacks to too much text from here on.")
                return
            yield line

    def _next_filled_line(self, lines: Iterator[str]) -> str:
        """Return the next line that is not blank; an empty text at the end of the file."""
        for line in lines:
            if line.strip():
                return line
            self.empty_rows += 1
        return ""

    def _json_rows(self, line: str, lines: Iterator[str]) -> Iterator[Row | Problem]:
        while line:
            number = self._line_number
            yield self._overlong_problem(number) or _json_row(number, line, self.encoding)
            line = self._next_filled_line(lines)

    def _csv_rows(
        self, first_line: str, lines: Iterator[str], match_header: MatchHeader
    ) -> Iterator[Row | Problem]:
        csv.field_size_limit(CELL_LIMIT)
        reader = self._csv_reader(first_line, lines)
        self.columns = match_header(_read_header(reader, self.encoding))
        while True:
            number = self._line_number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                reason = _("This is not CSV: %(error)s.") % {"error": error}
                yield self._overlong_problem(number) or Problem(line=number, reason=reason)
                continue
            if any(map(str.strip, cells)):
                yield self._overlong_problem(number) or _csv_row(number, self.columns, cells, self.encoding)
            else:
                self.empty_rows += 1

    def _workbook_rows(self, raw: BinaryIO, match_header: MatchHeader) -> Iterator[Row | Problem]:
        self.encoding, self.is_recognised = "xlsx", False
        for number, (share, cells) in enumerate(read_rows(raw), start=1):
            self.position = round(share * self.size)
            if not any(str(cell).strip() for cell in cells):
                self.empty_rows += 1
            elif not self.columns:
                names = [str(cell).strip() for cell in cells]
                self.columns = match_header(_checked_header(names, self.encoding))
            else:
                yield _row_of_cells(number, self.columns, cells)
        if not self.columns:
            raise UnreadableFileError(_("The file is empty."))

    def _csv_reader(self, first_line: str, lines: Iterator[str]) -> Iterator[list[str]]:
        """Return a reader from the header on, whose delimiter is the one named before it, or the most frequent one in it."""
        delimiter_line = DELIMITER_LINE.fullmatch(first_line)
        header = self._next_filled_line(lines) if delimiter_line else first_line
        delimiter = delimiter_line[1] if delimiter_line else max(DELIMITERS, key=header.count)
        return csv.reader(chain([header], lines), delimiter=delimiter, strict=True)

    def _overlong_problem(self, number: int) -> Problem | None:
        """Return a problem if the row that begins on line `number`, the last one read, has a line that is too long."""
        if number > self._overlong_line:
            return None
        reason = _("The line is longer than %(limit)d characters.") % {"limit": LINE_LIMIT}
        return Problem(line=number, reason=reason)


def _skip_line(text: TextIO) -> int:
    """Read to the end of the line and return the number of characters read."""
    skipped = 0
    while chunk := text.readline(LINE_LIMIT):
        skipped += len(chunk)
        if chunk[-1] in "\r\n":
            break
    return skipped


def _json_row(number: int, line: str, encoding: str) -> Row | Problem:
    try:
        if not line.isascii():
            line.encode()
        columns = DECODER.decode(line)
    except UnicodeEncodeError as error:
        reason = undecoded_reason(line, encoding) or _("The line contains half of a surrogate pair.")
        return Problem(line=number, value=_surroundings(line, error.start), reason=reason)
    except json.JSONDecodeError as error:
        reason = _("This is not JSON from character %(position)d on.") % {"position": error.pos + 1}
        return Problem(line=number, value=_surroundings(error.doc, error.pos), reason=reason)
    except (ValueError, RecursionError):
        reason = _("This JSON has a number or a nesting that cannot be read.")
        return Problem(line=number, reason=reason)
    if not isinstance(columns, dict):
        return Problem(line=number, value=excerpt(columns), reason=_("This is JSON, but not an object."))
    return Row(number, columns)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Decodes JSON strictly: `NaN` and `Infinity` raise ValueError."""


def _read_header(reader: Iterator[list[str]], encoding: str) -> list[str]:
    """Return the names of the columns, without the empty ones at the end."""
    try:
        names = [name.strip() for name in next(reader, [])]
    except csv.Error:
        names = []
    return _checked_header(names, encoding)


def _checked_header(names: list[str], encoding: str) -> list[str]:
    """Return the names of the columns, without the empty ones at the end. Raises UnreadableFileError."""
    while names and not names[-1]:
        names.pop()
    if len(names) < 2:
        raise UnreadableFileError(_("The file is neither JSON Lines nor CSV with a header."))
    if reason := undecoded_reason("".join(names), encoding):
        raise UnreadableFileError(_("The header cannot be read. %(reason)s") % {"reason": reason})
    if duplicate := next((name for name in names if name and names.count(name) > 1), None):
        raise UnreadableFileError(_("The header names “%(column)s” twice.") % {"column": duplicate})
    return names


def _csv_row(number: int, names: list[str], cells: list[str], encoding: str) -> Row | Problem:
    row = _row_of_cells(number, names, cells)
    if isinstance(row, Row):
        for column, cell in row.columns.items():
            if not cell.isascii() and (reason := undecoded_reason(cell, encoding)):
                return Problem(line=number, column=column, value=excerpt(cell), reason=reason)
    return row


def _row_of_cells(number: int, names: list[str], cells: list[Any]) -> Row | Problem:
    if any(str(cell).strip() for cell in cells[len(names) :]):
        surplus = len(cells) - len(names)
        reason = _("The row has more cells than the header (%(surplus)d too many).") % {"surplus": surplus}
        return Problem(line=number, reason=reason)
    return Row(number, dict(zip(names, cells, strict=False)))


def _surroundings(line: str, position: int) -> str:
    return excerpt(line[max(0, position - 20) : position + 20].strip())
