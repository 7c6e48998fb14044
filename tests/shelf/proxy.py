"""A line between programs and their server that can be slow, or cut at a certain word."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 65536


@dataclass(slots=True)
class Line:
    """What can be done to all connections through one port."""

    port: int
    delay: float = 0.0
    """Seconds that each answer of the server is held back."""
    cut: threading.Event = field(default_factory=threading.Event)
    """Set once a connection was cut."""
    word: bytes = b""
    arrives: bool = True

    def cut_at(self, word: bytes, *, arrives: bool) -> None:
        """Cut the next connection on which a program says this word, whether or not the server still hears it."""
        self.cut.clear()
        self.word, self.arrives = word, arrives


@dataclass(slots=True)
class _Connection:
    """One program's connection, carried through a line."""

    line: Line
    program: socket.socket
    server: socket.socket
    is_cut: bool = False
    answered: threading.Event = field(default_factory=threading.Event)

    def ask(self) -> None:
        """Carry what the program says."""
        while said := _heard(self.program):
            if self.line.word and self.line.word in said:
                self._cut(said)
                return
            _say(self.server, said)
        _end(self.server)

    def _cut(self, said: bytes) -> None:
        """Let the server act on the last words or hear nothing of them; its answer goes nowhere."""
        self.line.word, self.is_cut = b"", True
        if self.line.arrives:
            _say(self.server, said)
            assert self.answered.wait(10), "the server did not answer"
        _end(self.server)
        _end(self.program)
        self.line.cut.set()

    def answer(self) -> None:
        """Carry what the server answers."""
        while said := _heard(self.server):
            self.answered.set() if self.is_cut else self._answer(said)
        _end(self.program)

    def _answer(self, said: bytes) -> None:
        if self.line.delay:
            time.sleep(self.line.delay)
        _say(self.program, said)


@contextmanager
def line_to(path: Path) -> Iterator[Line]:
    """Open a port of this machine that leads to the server on this socket."""
    connections: list[_Connection] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        line = Line(door.getsockname()[1])
        threading.Thread(target=_let_in, args=[door, path, line, connections], daemon=True).start()
        yield line
        line.delay = 0.0
        _end(door)
    for connection in connections:
        for end in (connection.program, connection.server):
            _end(end)
            end.close()


def _let_in(door: socket.socket, path: Path, line: Line, connections: list[_Connection]) -> None:
    with suppress(OSError):
        while True:
            program, _ = door.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(path))
            connections.append(connection := _Connection(line, program, server))
            for act in (connection.ask, connection.answer):
                threading.Thread(target=act, daemon=True).start()


def _heard(end: socket.socket) -> bytes:
    try:
        return end.recv(MOST_BYTES)
    except OSError:
        return b""


def _say(end: socket.socket, words: bytes) -> None:
    with suppress(OSError):
        end.sendall(words)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
