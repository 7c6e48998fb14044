"""Imports a file: all stages from the rows of the file to the database."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from catalog.importing.batch import Batch
from catalog.importing.header import match_header, unread_columns
from catalog.importing.loader import BATCH_SIZE, Loader
from catalog.importing.lock import import_lock
from catalog.importing.prefetch import prefetch_batches
from catalog.importing.record_builder import build_records

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from catalog.importing.column_mapping import ColumnMapping
    from catalog.importing.records import Problem
    from catalog.importing.source import Source


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of rows that an import changed, or that it would have changed without `dry_run`.

    `counts` has the products and variants in the file, and the rows of each statement of the loader.
    """

    counts: Counter[str]
    new_brands: int
    new_categories: int
    refused_rows: int
    empty_rows: int
    unread_columns: list[str]
    seconds: float = field(compare=False)


class Refusals:
    """Passes problems on to `report` and counts the rows that have any. Two threads add problems."""

    def __init__(self, report: Callable[[Problem], None]) -> None:
        self._report = report
        self._lines: set[int] = set()
        self._lock = threading.Lock()

    def add(self, problem: Problem) -> None:
        with self._lock:
            if not problem.is_warning:
                self._lines.add(problem.line)
            self._report(problem)

    def __len__(self) -> int:
        return len(self._lines)


def import_file(
    source: Source,
    mapping: ColumnMapping,
    *,
    dry_run: bool = False,
    report: Callable[[Problem], None],
    progress: Callable[[int], None],
) -> Summary:
    """Write the products of a file to the catalog, and leave out the rows that have problems.

    Args:
        source: the file.
        mapping: where the rows of the file have each value.
        dry_run: write everything to the database and roll it back.
        report: called with each problem.
        progress: called after each batch with the number of its products.

    Raises:
        UnreadableFileError: the file has no rows, or its header does not fit the mapping.
        ImportBusyError: another import is running.
        ImportStoppedError: the database cannot continue, and no row is the cause.
    """
    started = time.monotonic()
    refusals = Refusals(report)
    loader = Loader(dry_run=dry_run, report=refusals.add)
    rows = source.rows(partial(match_header, mapping=mapping))
    records = build_records(rows, mapping, report=refusals.add)
    with import_lock():
        for batch in prefetch_batches(records, size=BATCH_SIZE, prepare=Batch.from_records):
            loader.load(batch)
            progress(len(batch))
        loader.finish()
    return Summary(
        counts=loader.counts,
        new_brands=len(loader.references.new_brands),
        new_categories=len(loader.references.new_categories),
        refused_rows=len(refusals),
        empty_rows=source.empty_rows,
        unread_columns=unread_columns(source.columns, mapping),
        seconds=time.monotonic() - started,
    )
