"""How the proof's processes report: messages on their standard output, one after the other."""

from __future__ import annotations

import sys
import threading
from typing import IO, TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Iterator


_lock = threading.Lock()


def tell(kind: str, **said: Any) -> None:
    """Report to the process that started this one."""
    packed = msgpack.packb({"kind": kind, **said})
    with _lock:
        sys.stdout.buffer.write(packed)
        sys.stdout.buffer.flush()


def hear(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """What a process reports, until it ends; what it was cut off in is dropped."""
    unpacker = msgpack.Unpacker(strict_map_key=False, use_list=False)
    while data := stream.read1(65536):  # type: ignore[attr-defined]
        unpacker.feed(data)
        yield from unpacker
