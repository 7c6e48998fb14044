"""Visitors: HTTP clients that request the pages of the proof and report the answers."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cachecontrol.prove import facts
from cachecontrol.prove.cost import HEADER, Cost
from cachecontrol.prove.messages import MessageKind, send
from cachecontrol.prove.workload.reports import RETRY_PAUSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cachecontrol.prove.facts import RowVersion

TIMEOUT = 10.0
"""Seconds that a visitor waits for data."""
OK = 200


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
        """How the page was answered: ``hit``, ``miss`` or ``bypass``."""
        if "; hit" in self.cache_status:
            return "hit"
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

    It does not use Python's HTTP client, which takes longer for a request than the server takes for a page from the cache.
    """

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self._connection: socket.socket | None = None

    def get(self, path: str) -> Response:
        """Request a page. Raises OSError, also if the response is cut off or does not tell its length."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: who={self.name}\r\n\r\n"
        try:
            self._connection.sendall(request.encode())
            return _read_response(self._connection)
        except BaseException:
            self._connection.close()
            self._connection = None
            raise

    def read_page(self, path: str, own_writes: Sequence[RowVersion] = ()) -> None:
        """Request a page and send the answer to the proof. ``own_writes`` are rows that the answer has to show."""
        answer: dict[str, Any] = {"client": self.name, "request": path, "asked_at": time.monotonic()}
        try:
            response = self.get(path)
        except OSError as error:
            send(MessageKind.NO_RESPONSE, error=type(error).__name__)
            time.sleep(RETRY_PAUSE)
            return
        answer["received_at"] = time.monotonic()
        if response.status == OK:
            send(MessageKind.ANSWER, **answer, **response.fields(), own_writes=list(own_writes))
        else:
            lines = response.body.strip().splitlines() or [""]
            text = f"status {response.status}: {lines[-1]}"
            send(MessageKind.ERROR, **answer, error=text, traceback=lines)


def _read_response(connection: socket.socket) -> Response:
    """Read one HTTP/1.1 response. Raises OSError."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _read_more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not headers.get("content-length", "").isdigit():
        raise ConnectionError(f"a response without a length: {first}")
    while len(body) < int(headers["content-length"]):
        body += _read_more(connection)
    return Response(
        status=int(first.split()[1]),
        cache_status=headers.get("cache-status", ""),
        body=body.decode(),
        cost=Cost.parse(headers.get(HEADER.lower(), "")),
    )


def _read_more(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65536)):
        raise ConnectionError("the server closed the connection")
    return data
