"""The whole way of a file into the catalog."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catalog.importing.ahead import batches_ahead
from catalog.importing.batch import Batch
from catalog.importing.header import match_header, unread
from catalog.importing.loading import BATCH, Loader, exclusive
from catalog.importing.reading import Reader

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from catalog.importing.mapping import Mapping
    from catalog.importing.records import Problem
    from catalog.importing.source import Source


@dataclass(frozen=True, slots=True)
class Summary:
    """What an import did, or with a dry run would have done."""

    counts: Counter[str]
    brands: int
    categories: int
    lines_refused: int
    empty: int
    unread: list[str]
    seconds: float = field(compare=False)


def import_file(
    source: Source,
    mapping: Mapping,
    *,
    dry_run: bool = False,
    report: Callable[[Problem], None],
    progress: Callable[[int], None],
) -> Summary:
    """Bring the rows of the file into the catalog; those that cannot go in are reported and left out.

    `report` gets each problem, `progress` the number of products after each batch. With `dry_run`
    everything is tried on the database and undone.

    Raises:
        UnreadableFileError: the file has no rows.
        ImportBusyError: another import is running.
    """
    started = time.monotonic()
    refused: set[int] = set()
    lock = threading.Lock()

    def noted(problem: Problem) -> None:
        with lock:
            refused.add(problem.line)
            report(problem)

    loader = Loader(dry_run=dry_run, report=noted)
    columns: list[str] = []

    def rename(names: list[str]) -> list[str]:
        columns[:] = match_header(names, mapping)
        return columns

    records = Reader(mapping, report=noted).records(source.rows(rename))
    with exclusive():
        for batch in batches_ahead(records, size=BATCH, of=Batch.of):
            loader.load(batch)
            progress(len(batch))
        loader.settle()
    return Summary(
        counts=loader.counts,
        brands=len(loader.places.new_brands),
        categories=len(loader.places.new_categories),
        lines_refused=len(refused),
        empty=source.empty,
        unread=unread(columns, mapping),
        seconds=time.monotonic() - started,
    )
