"""Opens a file as text: plain, gzip or zip, in an encoding that is named or recognised."""

from __future__ import annotations

import codecs
import gzip
import re
import struct
import zipfile
import zlib
from contextlib import suppress
from io import TextIOWrapper
from typing import IO, TYPE_CHECKING, cast

from django.utils.translation import gettext as _

from catalog.importing.encodings import recognise_encoding
from catalog.importing.exceptions import UnreadableFileError

if TYPE_CHECKING:
    from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second is that of an archive without files
SUPPORTED_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED_FLAG = 1
# Those of UTF-32 come first, since they begin like those of UTF-16.
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
WIDE_ENCODINGS = ("utf-16", "utf-32")
UNDECODED = re.compile("[\udc80-\udcff]")
HEAD_SIZE = 2**16  # bytes in which the end of the first line is searched for
LINE_LIMIT = 2**22  # characters
UNPACKED_LIMIT = 2**28  # characters that every compressed file may unpack to
# Characters that a large compressed file may unpack to for each of its bytes. Text has about 10, a zip bomb 1,000.
RATIO_LIMIT = 250

DAMAGE_ERRORS = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


def open_text(raw: BinaryIO, *, encoding: str = "") -> TextIOWrapper:
    """Return a binary file as text without its byte order mark, unpacked from gzip or zip if necessary.

    A byte order mark decides the encoding; `encoding` is for files without one. If it is empty, it is recognised. A byte that
    is invalid in the encoding becomes a lone surrogate (U+DC80 to U+DCFF), except in UTF-16 and UTF-32, where it raises
    UnicodeError when it is read. Lines end with LF or CR LF. If the first line ends with CR, all lines do.

    Raises:
        UnreadableFileError: the file is not a text, or it is an archive that does not have exactly one readable file.
    """
    head = _read_head(_unpacked(raw))
    mark = next((mark for mark in BYTE_ORDER_MARKS if head.startswith(mark)), b"")
    encoding = BYTE_ORDER_MARKS.get(mark, encoding) or recognise_encoding(_sample(raw, head))
    first_line = re.match(r"([^\r\n]*)(\r(?!\n))?", head[len(mark) :].decode(encoding, "replace"))
    assert first_line is not None
    if "\0" in first_line[1]:
        raise UnreadableFileError(
            _("The file is not a text. Save it as CSV in UTF-8, or in UTF-16 with a byte order mark.")
        )
    stream = _unpacked(raw)
    stream.read(len(mark))
    return TextIOWrapper(
        stream,
        encoding=encoding,
        errors="surrogatepass" if encoding.startswith(WIDE_ENCODINGS) else "surrogateescape",
        newline="" if first_line[2] else "\n",
    )


def undecoded_reason(text: str, encoding: str) -> str:
    """Return an error message for the first byte that is invalid in the encoding; an empty text if there is none."""
    match = None if encoding.startswith(WIDE_ENCODINGS) else UNDECODED.search(text)
    if match is None:
        return ""
    return _(
        "The byte 0x%(byte)02X is not %(encoding)s; save the file in UTF-8, or name its encoding (--encoding)."
    ) % {"byte": ord(match[0]) - 0xDC00, "encoding": encoding.upper()}


def _read_head(stream: IO[bytes]) -> bytes:
    head = b""
    with suppress(*DAMAGE_ERRORS):
        while len(head) < HEAD_SIZE and (chunk := stream.read(HEAD_SIZE - len(head))):
            head += chunk
    return head


def _sample(raw: BinaryIO, head: bytes) -> bytes:
    """Return the first part of the file with anything but ASCII, which may be far behind the head; else the head."""
    if not head.isascii():
        return head
    stream = _unpacked(raw)
    with suppress(*DAMAGE_ERRORS):
        for _part in range(UNPACKED_LIMIT // HEAD_SIZE):
            part = stream.read(HEAD_SIZE)
            if not (part and part.isascii()):
                return part or head
    return head


def _unpacked(raw: BinaryIO) -> IO[bytes]:
    raw.seek(0)
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    return _open_only_file(raw) if magic in ZIP_MAGICS else raw


def _open_only_file(raw: BinaryIO) -> IO[bytes]:
    """Open the one file of a zip archive. The files that macOS adds to archives do not count."""
    try:
        archive = zipfile.ZipFile(raw)
        files = [file for file in archive.infolist() if not file.is_dir() and "__MACOSX" not in file.filename]
        _check_archive(files)
        return archive.open(files[0])
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error, NotImplementedError) as error:
        raise UnreadableFileError(_("The zip archive is damaged.")) from error


def _check_archive(files: list[zipfile.ZipInfo]) -> None:
    """Raise UnreadableFileError unless there is exactly one file and it can be read."""
    if len(files) != 1:
        raise UnreadableFileError(
            _("The zip archive has %(count)d files; it must have exactly one.") % {"count": len(files)}
        )
    if files[0].flag_bits & ENCRYPTED_FLAG or files[0].compress_type not in SUPPORTED_COMPRESSIONS:
        raise UnreadableFileError(
            _("The file in the zip archive is encrypted, or compressed in an unusual way.")
        )
