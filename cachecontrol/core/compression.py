"""Compression of bodies in the gzip format, which a web server may send as it is. Decompression is bounded."""

from __future__ import annotations

import zlib

from cachecontrol.exceptions import DamagedData

GZIP = 31
"""zlib's window bits for the gzip format."""


def compress(body: bytes) -> bytes:
    """Return a body in the gzip format. The same body always gives the same bytes."""
    packer = zlib.compressobj(wbits=GZIP)
    return packer.compress(body) + packer.flush()


def decompress(data: bytes, limit: int) -> bytes:
    """Return the body, of at most ``limit`` bytes, that was compressed. Raises DamagedData if it cannot."""
    unpacker = zlib.decompressobj(wbits=GZIP)
    try:
        body = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise DamagedData(str(error)) from error
    if len(body) > limit:
        raise DamagedData(f"more than {limit} bytes when decompressed")
    if not unpacker.eof or unpacker.unused_data:
        raise DamagedData("incomplete, or followed by something else")
    return body
