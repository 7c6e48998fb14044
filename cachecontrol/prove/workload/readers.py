"""Readers: processes that request pages and run cached querysets, and send each answer to the proof."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from django.db import Error, close_old_connections, connection, transaction

from cachecontrol.api import local_reads
from cachecontrol.prove.cost import measured
from cachecontrol.prove.facts import ITEMS, SHELVES
from cachecontrol.prove.workload import queries
from cachecontrol.prove.workload.reports import reported
from cachecontrol.prove.workload.tables import popular
from cachecontrol.prove.workload.visitor import Visitor
from cachecontrol.reasons import Reason
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from cachecontrol.stats.recording import Trace

PAGE_SHARE = 0.75
"""The share of reads that are pages."""


def run(number: str, seed: str, port: str, pause: str, burst: str) -> None:
    """Read until the process is killed, ``pause`` seconds apart on average. ``burst`` pages are requested at once."""
    rng = random.Random(f"{seed}/reader/{number}")  # noqa: S311
    visitor = Visitor(int(port), f"reader{number}")
    while True:
        if rng.random() < PAGE_SHARE:
            visitor.read_pages([random_path(rng) for _ in range(int(burst))])
        else:
            read_queryset(rng, visitor.name)
        time.sleep(rng.random() * 2 * float(pause))


def random_path(rng: random.Random) -> str:
    """Return the path of a page. Some pages have several addresses; a few cannot be stored."""
    if (drawn := rng.random()) < 0.02:
        return "/leave/" if drawn < 0.01 else f"/odd/{popular(rng, ITEMS)}/{rng.choice(('', '?n=1'))}"
    kind = rng.choices(("shelf", "columns", "item"), (35, 10, 55))[0]
    last = ITEMS if kind == "item" else SHELVES
    query = "?n=1" if rng.random() < (0.7 if kind == "columns" else 0.1) else ""
    return f"/{kind}/{popular(rng, last)}/{query}"


def read_queryset(rng: random.Random, client: str) -> None:
    """Run a cached query and send the answer to the proof."""
    shelf, pk = popular(rng, SHELVES), popular(rng, ITEMS // 5)
    if rng.random() < 0.02:
        _read_in_repeatable_read(rng, shelf, pk)
        return
    close_old_connections()  # as between two requests: replaces a connection that the server has ended
    with reported(client, f"queryset of shelf {shelf}, item {pk}") as answer:
        is_local = rng.random() < 0.5
        with recording.trace() as trace, measured() as cost, local_reads(is_allowed=is_local):
            answer["facts"] = queries.random_query(rng, shelf, pk)
        answer |= {"outcome": _outcome(trace), "cost": cost.added, "waited": cost.waited}


def _outcome(trace: Trace) -> str:
    """Return the outcome of an answer that consists of several reads: the worst one."""
    outcomes = {str(read.outcome) for read in trace.reads}
    if "bypass" in outcomes or "miss" in outcomes:
        return "bypass" if "bypass" in outcomes else "miss"
    return "local" if all(read.reason == Reason.LOCAL for read in trace.reads) else "hit"


def _read_in_repeatable_read(rng: random.Random, shelf: int, pk: int) -> None:
    """Read in a transaction that keeps its snapshot. The answers may be old and are not judged, but must not be stored."""
    with suppress(Error), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        queries.items_of_shelf(queries.items(cached=False), shelf, pk)
        time.sleep(rng.random() * 0.5)
        queries.random_query(rng, shelf, pk)
    close_old_connections()
