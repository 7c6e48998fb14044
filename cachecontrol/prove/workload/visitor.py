"""Visitors: HTTP clients that request the pages of the proof and report the answers."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings

from cachecontrol.prove import facts
from cachecontrol.prove.cost import HEADER, Cost
from cachecontrol.prove.messages import MessageKind, send
from cachecontrol.prove.workload.reports import RETRY_PAUSE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cachecontrol.prove.facts import RowVersion

TIMEOUT = 10.0
"""Seconds that a visitor waits for data."""
OK = 200
END_OF_HEAD = b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A response of the web server."""

    status: int
    cache_status: str
    """The header Cache-Status."""
    body: str
    cost: Cost

    @property
    def outcome(self) -> str:
        """How the page was answered: ``local``, ``hit``, ``miss`` or ``bypass``."""
        if "; hit" in self.cache_status:
            return "local" if "detail=local" in self.cache_status else "hit"
        return "bypass" if "bypass" in self.cache_status else "miss"

    def fields(self) -> dict[str, Any]:
        """Return the fields of an answer that the response contains."""
        return {
            "facts": facts.parse(self.body),
            "outcome": self.outcome,
            "cost": self.cost.added,
            "waited": self.cost.waited,
        }


class Visitor:
    """Requests pages over one connection, with a cookie that no page may show.

    A visitor with a session may have written, so that no process answers it from its own memory.

    It does not use Python's HTTP client, which takes longer for a request than the server takes for a page from the cache.
    """

    def __init__(self, port: int, name: str, *, has_session: bool = False) -> None:
        self.port, self.name = port, name
        self._cookie = f"who={name}" + (f"; {settings.SESSION_COOKIE_NAME}={name}" if has_session else "")
        self._connection: _Connection | None = None

    def get(self, paths: Sequence[str]) -> Iterator[Response]:
        """Request pages, all at once, and yield the responses in their order as they arrive.

        Raises OSError, also if a response is cut off or does not tell its length.
        """
        if self._connection is None:
            self._connection = _Connection.open(self.port)
        try:
            self._connection.send("".join(map(self._request, paths)).encode())
            for _ in paths:
                yield self._connection.read_response()
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def _request(self, path: str) -> str:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: {self._cookie}\r\n\r\n"

    def read_pages(self, paths: Sequence[str], own_writes: Sequence[RowVersion] = ()) -> None:
        """Request pages, all at once, and send the answers to the proof.

        ``own_writes`` are rows that the answers have to show.
        """
        asked_at, requests = time.monotonic(), iter(paths)
        try:
            for response in self.get(paths):
                times = {"asked_at": asked_at, "received_at": time.monotonic()}
                self._report(response, {"client": self.name, "request": next(requests), **times}, own_writes)
        except OSError as error:
            for _ in requests:
                send(MessageKind.NO_RESPONSE, error=type(error).__name__)
            time.sleep(RETRY_PAUSE)

    def _report(self, response: Response, answer: dict[str, Any], own_writes: Sequence[RowVersion]) -> None:
        if response.status == OK:
            send(MessageKind.ANSWER, **answer, **response.fields(), own_writes=list(own_writes))
            return
        lines = response.body.strip().splitlines() or [""]
        text = f"status {response.status}: {lines[-1]}"
        send(MessageKind.ERROR, **answer, error=text, traceback=lines)


@dataclass(slots=True)
class _Connection:
    """A connection to the web server, with what it has sent beyond the last response."""

    socket: socket.socket
    received: bytes = b""

    @classmethod
    def open(cls, port: int) -> _Connection:
        """Connect. Raises OSError."""
        return cls(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT))

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()

    def read_response(self) -> Response:
        """Read one HTTP/1.1 response. Raises OSError."""
        while (end := self.received.find(END_OF_HEAD)) < 0:
            self._receive()
        first, *lines = self.received[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if not headers.get("content-length", "").isdigit():
            raise ConnectionError(f"a response without a length: {first}")
        begin = end + len(END_OF_HEAD)
        end = begin + int(headers["content-length"])
        while len(self.received) < end:
            self._receive()
        body, self.received = self.received[begin:end], self.received[end:]
        return Response(
            status=int(first.split()[1]),
            cache_status=headers.get("cache-status", ""),
            body=body.decode(),
            cost=Cost.parse(headers.get(HEADER.lower(), "")),
        )

    def _receive(self) -> None:
        if not (data := self.socket.recv(65536)):
            raise ConnectionError("the server closed the connection")
        self.received += data
