"""The messages that the processes of the workload send to the proof, over their standard output, packed by msgpack."""

from __future__ import annotations

import sys
import threading
from enum import StrEnum
from typing import IO, TYPE_CHECKING, Any

import msgpack

if TYPE_CHECKING:
    from collections.abc import Iterator


class MessageKind(StrEnum):
    """What a message reports."""

    ANSWER = "answer"
    """The cache answered: the fields of ``checker.Answer``."""
    ERROR = "error"
    """A page or a query failed: the same without facts, and ``error`` and ``traceback``."""
    NO_RESPONSE = "no_response"
    """The web server closed the connection or did not accept it: ``error``."""
    WRITE = "write"
    """A writer wrote: ``name``, and ``error`` if that failed."""


_lock = threading.Lock()


def send(kind: MessageKind, **fields: Any) -> None:
    """Send a message to the process that started this one."""
    packed = msgpack.packb({"kind": kind.value, **fields})
    with _lock:
        sys.stdout.buffer.write(packed)
        sys.stdout.buffer.flush()


def receive(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the messages of a process until it ends. A message that is cut off by its end is dropped."""
    unpacker = msgpack.Unpacker(strict_map_key=False, use_list=False)
    while data := stream.read1(65536):  # type: ignore[attr-defined]
        unpacker.feed(data)
        yield from unpacker
