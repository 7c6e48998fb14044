"""Readers: pages over HTTP and cached querysets of every shape, each answer reported with when it was asked and came."""

from __future__ import annotations

import random
import socket
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import Error, close_old_connections, connection, transaction

from cachecontrol.prove import facts, shapes
from cachecontrol.prove.cost import HEADER, Cost, measured
from cachecontrol.prove.facts import ITEMS, SHELVES
from cachecontrol.prove.messages import tell
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.prove.facts import Fact

TIMEOUT = 10.0
PAGES_SHARE = 0.75
"""Of all reads, how many are pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What the web server answered."""

    status: int
    cache_status: str
    body: str
    cost: Cost


class Visitor:
    """Asks for pages over a connection that is kept, under a name that no other visitor may see.

    A client of its own, since the standard one takes longer to ask for a page than the server to answer it from the cache.
    """

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self._connection: socket.socket | None = None

    def get(self, path: str) -> Response:
        """Ask for a page. Raises OSError, also if the answer breaks off or has no length."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)
        try:
            said = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nCookie: who={self.name}\r\n\r\n"
            self._connection.sendall(said.encode())
            return _response(self._connection)
        except BaseException:
            self._connection.close()
            self._connection = None
            raise


def _response(connection: socket.socket) -> Response:
    """Read one HTTP/1.1 response. Raises OSError."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _more(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    if not headers.get("content-length", "").isdigit():
        raise ConnectionError(f"an answer without a length: {first}")
    while len(body) < int(headers["content-length"]):
        body += _more(connection)
    return Response(
        status=int(first.split()[1]),
        cache_status=headers.get("cache-status", ""),
        body=body.decode(),
        cost=Cost.parse(headers.get(HEADER.lower(), "")),
    )


def _more(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65536)):
        raise ConnectionError("the server closed the connection")
    return data


def run(number: str, seed: str, port: str, pause: str) -> None:
    """Read until stopped, ``pause`` seconds apart."""
    chance = random.Random(f"{seed}/reader/{number}")  # noqa: S311
    name = f"reader{number}"
    visitor = Visitor(int(port), name)
    while True:
        if chance.random() < PAGES_SHARE:
            page(visitor, path(chance), name)
        else:
            queryset(chance, name)
        time.sleep(chance.random() * 2 * float(pause))


def path(chance: random.Random) -> str:
    """A page, some of them under several addresses; now and then one that is not stored."""
    if (drawn := chance.random()) < 0.02:
        return "/leave/" if drawn < 0.01 else f"/odd/{_popular(chance, ITEMS)}/{chance.choice(('', '?n=1'))}"
    kind, last = ("shelf", SHELVES) if chance.random() < 0.4 else ("item", ITEMS)
    query = "?n=1" if chance.random() < 0.1 else ""
    return f"/{kind}/{_popular(chance, last)}/{query}"


def _popular(chance: random.Random, last: int) -> int:
    """A number up to ``last``; as with visitors, some are asked for much more than others: every second read is of a 32nd."""
    return 1 + int(last * chance.random() ** 5)


def page(visitor: Visitor, asked: str, reader: str, own: list[tuple[str, int, int]] | None = None) -> None:
    """Ask for a page and report it."""
    sent = time.monotonic()
    try:
        response = visitor.get(asked)
    except OSError as error:
        tell(
            "failure", sent=sent, got=time.monotonic(), reader=reader, asked=asked, error=type(error).__name__
        )
        time.sleep(0.05)
        return
    got = time.monotonic()
    if response.status != 200:
        why = response.body.strip().splitlines() or [""]
        said = f"status {response.status}: {why[-1]}"
        tell("refusal", sent=sent, got=got, reader=reader, asked=asked, error=said, why=why)
        return
    tell(
        "answer",
        sent=sent,
        got=got,
        facts=facts.read(response.body),
        reader=reader,
        asked=asked,
        outcome=_outcome(response.cache_status),
        own=own or [],
        cost=response.cost.own,
        waited=response.cost.waited,
    )


def _outcome(status: str) -> str:
    """The page outcome that the Cache-Status header tells."""
    if "; hit" in status:
        return "hit"
    return "bypass" if "bypass" in status else "miss"


def queryset(chance: random.Random, reader: str) -> None:
    """Ask a cached queryset and report it."""
    shelf, pk = _popular(chance, SHELVES), _popular(chance, ITEMS // 5)
    if chance.random() < 0.02:
        _in_a_standing_snapshot(chance, shelf, pk)
        return
    close_old_connections()  # as between two requests: one that the server ended meanwhile is no surprise
    sent = time.monotonic()
    try:
        with recording.trace() as trace, measured() as cost:
            found: list[Fact] = shapes.any_of(chance, shelf, pk)
    except Error as error:
        tell(
            "refusal",
            sent=sent,
            got=time.monotonic(),
            reader=reader,
            asked="queryset",
            error=str(error)[:200],
            why=traceback.format_exc().splitlines(),
        )
        close_old_connections()
        time.sleep(0.05)
        return
    outcomes = {str(read.outcome) for read in trace.reads}
    outcome = "bypass" if "bypass" in outcomes else "miss" if "miss" in outcomes else "hit"
    asked, got = f"queryset of shelf {shelf}, item {pk}", time.monotonic()
    tell(
        "answer",
        sent=sent,
        got=got,
        facts=found,
        reader=reader,
        asked=asked,
        outcome=outcome,
        own=[],
        cost=cost.own,
        waited=cost.waited,
    )


def _in_a_standing_snapshot(chance: random.Random, shelf: int, pk: int) -> None:
    """Read under REPEATABLE READ. Such answers may be old; what they leave in the cache may not."""
    with suppress(Error), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        shapes.list_of(shapes.items(cached=False), shelf, pk)
        time.sleep(chance.random() * 0.5)
        shapes.any_of(chance, shelf, pk)
    close_old_connections()
