"""Readers: pages over HTTP and cached querysets of every shape, each answer reported with when it was asked and came."""

from __future__ import annotations

import http.client
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import Error, close_old_connections, connection, transaction

from cachecontrol import stats
from cachecontrol.prove import facts, shapes
from cachecontrol.prove.facts import ITEMS, SHELVES
from cachecontrol.prove.wire import tell

if TYPE_CHECKING:
    from cachecontrol.prove.facts import Fact

TIMEOUT = 10.0
PAGES_SHARE = 0.4
"""Of all reads, how many are pages."""


class Visitor:
    """Asks for pages over a connection that is kept, under a name that no other visitor may see."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self._connection: http.client.HTTPConnection | None = None

    def get(self, path: str) -> tuple[int, str, str]:
        """Status, what the cache did, and the page. Raises OSError or HTTPException."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        try:
            self._connection.request("GET", path, headers={"Cookie": f"who={self.name}"})
            response = self._connection.getresponse()
            return response.status, response.headers.get("Cache-Status", ""), response.read().decode()
        except BaseException:
            self._connection.close()
            self._connection = None
            raise


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
    """A page, some of them under several addresses."""
    kind, last = ("shelf", SHELVES) if chance.random() < 0.4 else ("item", ITEMS)
    query = f"?n={chance.randint(1, 3)}" if chance.random() < 0.1 else ""
    return f"/{kind}/{_popular(chance, last)}/{query}"


def _popular(chance: random.Random, last: int) -> int:
    """A number up to ``last``; as with visitors, some are asked for much more than others."""
    return 1 + int(last * chance.random() ** 3)


def page(visitor: Visitor, asked: str, reader: str, own: list[tuple[str, int, int]] | None = None) -> None:
    """Ask for a page and report it."""
    sent = time.monotonic()
    try:
        status, outcome, body = visitor.get(asked)
    except (OSError, http.client.HTTPException) as error:
        tell(
            "failure", sent=sent, got=time.monotonic(), reader=reader, asked=asked, error=type(error).__name__
        )
        time.sleep(0.05)
        return
    got = time.monotonic()
    if status != 200:
        tell("refusal", sent=sent, got=got, reader=reader, asked=asked, error=f"status {status}")
        return
    found = facts.read(body)
    tell(
        "answer",
        sent=sent,
        got=got,
        facts=found,
        reader=reader,
        asked=asked,
        outcome=_outcome(outcome),
        own=own or [],
    )


def _outcome(status: str) -> str:
    """The page outcome that the Cache-Status header tells."""
    if "; hit" in status:
        return "hit"
    return "bypass" if "bypass" in status else "miss"


def queryset(chance: random.Random, reader: str) -> None:
    """Ask a cached queryset and report it."""
    shelf, pk = _popular(chance, SHELVES), _popular(chance, ITEMS)
    if chance.random() < 0.02:
        _in_a_standing_snapshot(chance, shelf, pk)
        return
    close_old_connections()  # as between two requests: one that the server ended meanwhile is no surprise
    sent = time.monotonic()
    try:
        with stats.trace() as trace:
            found: list[Fact] = shapes.any_of(chance, shelf, pk)
    except Error as error:
        tell(
            "refusal",
            sent=sent,
            got=time.monotonic(),
            reader=reader,
            asked="queryset",
            error=str(error)[:200],
        )
        close_old_connections()
        time.sleep(0.05)
        return
    outcomes = {str(read.outcome) for read in trace.reads}
    outcome = "bypass" if "bypass" in outcomes else "miss" if "miss" in outcomes else "hit"
    asked, got = f"queryset of shelf {shelf}, item {pk}", time.monotonic()
    tell("answer", sent=sent, got=got, facts=found, reader=reader, asked=asked, outcome=outcome, own=[])


def _in_a_standing_snapshot(chance: random.Random, shelf: int, pk: int) -> None:
    """Read under REPEATABLE READ. Such answers may be old; what they leave in the cache may not."""
    with suppress(Error), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        shapes.list_of(shapes.items(cached=False), shelf, pk)
        time.sleep(chance.random() * 0.5)
        shapes.any_of(chance, shelf, pk)
    close_old_connections()
