"""A writer: a process that writes in random ways and then reads what it wrote."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import psycopg
from django.db import Error, close_old_connections

from cachecontrol.api import local_reads
from cachecontrol.prove.facts import ITEMS, SHELVES, RowVersion
from cachecontrol.prove.messages import MessageKind, send
from cachecontrol.prove.workload import queries
from cachecontrol.prove.workload.psql import Psql
from cachecontrol.prove.workload.reports import reported
from cachecontrol.prove.workload.tables import popular
from cachecontrol.prove.workload.visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cachecontrol.prove.facts import Fact

READS_OF_A_QUERY = 3
LOOKS = 2
"""Rows of a write that the writer reads afterwards, at most."""


class Writer:
    """The writes of one process, with its random numbers, its connection to the pages and its psql."""

    def __init__(self, number: str, seed: str, port: str) -> None:
        self.name = f"writer{number}"
        self.rng = random.Random(f"{seed}/writer/{number}")  # noqa: S311
        self.psql = Psql()
        self._visitor = Visitor(int(port), self.name, has_session=True)

    def perform(self, write: Callable[[Writer], list[RowVersion]]) -> None:
        """Write, send the result to the proof, and read some of the written rows."""
        try:
            versions = write(self)
        except (Error, psycopg.Error, OSError, subprocess.TimeoutExpired) as error:
            close_old_connections()
            lines = str(error).splitlines()
            send(MessageKind.WRITE, name=write.__name__, error=lines[0] if lines else type(error).__name__)
            return
        send(MessageKind.WRITE, name=write.__name__, error="")
        for row in versions[:LOOKS]:
            self._read_own(row)

    def read(self, query: queries.Query, shelf: int, pk: int) -> None:
        """Run a cached query and send the answer to the proof."""
        self._report(
            lambda: query(queries.items(cached=True), shelf, pk), f"queryset of shelf {shelf}, item {pk}"
        )

    def _read_own(self, row: RowVersion) -> None:
        """Read a row that this process has written, from a page or by a query.

        The query runs so often that the process keeps the result in its own memory, where the next write must not leave it.
        """
        if self.rng.random() < 0.5:
            self._visitor.read_pages([f"/{row.kind}/{row.pk}/"], [row])
            return
        for _ in range(READS_OF_A_QUERY):
            if row.kind == "item":
                self._report(
                    lambda: queries.item(queries.items(cached=True), 0, row.pk), f"own item {row.pk}", [row]
                )
            else:
                self._report(lambda: queries.shelf_row(row.pk, cached=True), f"own shelf {row.pk}", [row])

    def _report(
        self, query: Callable[[], list[Fact]], request: str, own_writes: Sequence[RowVersion] = ()
    ) -> None:
        with local_reads(is_allowed=self.rng.random() < 0.5), reported(self.name, request) as answer:
            answer |= {"facts": query(), "outcome": "own", "own_writes": list(own_writes)}

    def random_item(self) -> int:
        """Return the number of an item."""
        return self.rng.randint(1, ITEMS)

    def popular_item(self) -> int:
        """Return the number of an item that readers read often, so that it probably has a fresh entry."""
        return popular(self.rng, ITEMS)

    def random_shelf(self) -> int:
        """Return the number of a shelf."""
        return self.rng.randint(1, SHELVES)

    def popular_shelf(self) -> int:
        """Return the number of a shelf that readers read often."""
        return popular(self.rng, SHELVES)

    def random_note(self) -> str:
        """Return a text that no row has yet."""
        return f"{self.name} {self.rng.randint(0, 10**9)}"
