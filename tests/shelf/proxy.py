"""A line between programs and their server that can hold answers back, or be cut at a certain word."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES = 65536
READY = b"Z\0\0\0\5"
"""How the last message of an answer of PostgreSQL begins; the server writes it whole."""


@dataclass(slots=True)
class Line:
    """What can be done to all connections through one port."""

    port: int
    flows: threading.Event = field(default_factory=threading.Event)
    """Cleared, the answers of the server are held back until it is set."""
    cut: threading.Event = field(default_factory=threading.Event)
    """Set once a connection was cut."""
    word: bytes = b""
    arrives: bool = True

    def cut_at(self, word: bytes, *, arrives: bool) -> None:
        """Cut the next connection on which a program sends this word, whether or not the server still receives it."""
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
    """Set once the server has done with what it received last: it may answer before."""

    def ask(self) -> None:
        """Carry what the program sends."""
        while data := _receive(self.program):
            if self.line.word and self.line.word in data:
                self._cut(data)
                return
            _send(self.server, data)
        _shut_down(self.server)

    def _cut(self, data: bytes) -> None:
        """Let the server receive the last data or not; its answer goes nowhere."""
        self.line.word, self.is_cut = b"", True
        if self.line.arrives:
            _send(self.server, data)
            assert self.answered.wait(LONG), "the server did not answer"
        _shut_down(self.server)
        _shut_down(self.program)
        self.line.cut.set()

    def answer(self) -> None:
        """Carry what the server answers."""
        while data := _receive(self.server):
            if not self.is_cut:
                self._answer(data)
            elif READY in data:
                self.answered.set()
        _shut_down(self.program)

    def _answer(self, data: bytes) -> None:
        self.line.flows.wait()
        _send(self.program, data)


@contextmanager
def line_to(path: Path) -> Iterator[Line]:
    """Open a port of this machine that leads to the server on this socket."""
    connections: list[_Connection] = []
    with socket.create_server(("127.0.0.1", 0)) as door:
        line = Line(door.getsockname()[1])
        line.flows.set()
        threading.Thread(target=_let_in, args=[door, path, line, connections], daemon=True).start()
        yield line
        line.flows.set()
        _shut_down(door)
    for connection in connections:
        for end in (connection.program, connection.server):
            _shut_down(end)
            end.close()


def _let_in(door: socket.socket, path: Path, line: Line, connections: list[_Connection]) -> None:
    with suppress(OSError):
        while True:
            program, _ = door.accept()
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(path))
            connections.append(connection := _Connection(line, program, server))
            for carry in (connection.ask, connection.answer):
                threading.Thread(target=carry, daemon=True).start()


def _receive(end: socket.socket) -> bytes:
    try:
        return end.recv(MOST_BYTES)
    except OSError:
        return b""


def _send(end: socket.socket, data: bytes) -> None:
    with suppress(OSError):
        end.sendall(data)


def _shut_down(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
