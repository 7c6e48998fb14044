"""Opens a file as text: plain, gzip or zip, in any encoding."""

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

if TYPE_CHECKING:
    from typing import BinaryIO

GZIP_MAGIC = b"\x1f\x8b"
ZIP_MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # the second if there is no file in it
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ENCRYPTED = 1
BOMS = {  # those of UTF-32 first: they begin like those of UTF-16
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
HEAD = 2**16  # bytes in which the end of the first line is looked for
LINE_LIMIT = 2**22  # characters
UNPACKED_LIMIT = 2**28  # characters that any compressed file may unpack to
RATIO_LIMIT = (
    250  # and that a larger one may unpack to for each of its bytes; text has about 10, zip bombs have 1,000
)

DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile)


class UnreadableFileError(Exception):
    """The file as a whole cannot be read: it is empty or damaged, or neither JSON Lines nor CSV with a header."""


def open_text(raw: BinaryIO, *, encoding: str) -> TextIOWrapper:
    """Return the text of the open file, after any byte order mark, which counts for more than `encoding`.

    Bytes that UTF-8 or another encoding of single bytes does not have become lone surrogates. Lines end with LF or
    CR LF, or, if the first one does, with CR.

    Raises:
        UnreadableFileError: it is not a text, or an archive of several files.
    """
    head = _head(_unpacked(raw))
    bom = next((bom for bom in BOMS if head.startswith(bom)), b"")
    encoding = BOMS.get(bom, encoding)
    first = re.match(r"([^\r\n]*)(\r(?!\n))?", head[len(bom) :].decode(encoding, "replace"))
    assert first is not None
    if "\0" in first[1]:
        raise UnreadableFileError(
            _("The file is not a text. Save it as CSV in UTF-8, or in UTF-16 with a byte order mark.")
        )
    stream = _unpacked(raw)
    stream.read(len(bom))
    wide = encoding.startswith(("utf-16", "utf-32"))
    return TextIOWrapper(
        stream,
        encoding=encoding,
        errors="surrogatepass" if wide else "surrogateescape",
        newline="" if first[2] else "\n",
    )


def _head(stream: IO[bytes]) -> bytes:
    head = b""
    with suppress(*DAMAGED):
        while len(head) < HEAD and (more := stream.read(HEAD - len(head))):
            head += more
    return head


def _unpacked(raw: BinaryIO) -> IO[bytes]:
    raw.seek(0)
    magic = raw.read(4)
    raw.seek(0)
    if magic.startswith(GZIP_MAGIC):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    return _only_file(raw) if magic in ZIP_MAGICS else raw


def _only_file(raw: BinaryIO) -> IO[bytes]:
    """Open the one file of a zip archive; what macOS adds does not count."""
    try:
        archive = zipfile.ZipFile(raw)
        files = [file for file in archive.infolist() if not file.is_dir() and "__MACOSX" not in file.filename]
        if any(file.filename == "[Content_Types].xml" for file in files):
            raise UnreadableFileError(_("The file is a workbook. Save its sheet as CSV in UTF-8."))
        if len(files) != 1:
            raise UnreadableFileError(
                _("The zip archive has %(count)d files; one is needed.") % {"count": len(files)}
            )
        if files[0].flag_bits & ENCRYPTED or files[0].compress_type not in COMPRESSIONS:
            raise UnreadableFileError(
                _("The file in the zip archive is encrypted, or compressed in an unusual way.")
            )
        return archive.open(files[0])
    except (zipfile.BadZipFile, OSError, ValueError, EOFError, struct.error, NotImplementedError) as error:
        raise UnreadableFileError(_("The zip archive is damaged.")) from error
