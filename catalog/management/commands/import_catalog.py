"""The command that imports a file of products."""

from __future__ import annotations

import csv
import json
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from tqdm import tqdm

from catalog.importing.column_mapping import load_mapping
from catalog.importing.exceptions import CatalogImportError
from catalog.importing.run import Summary, import_file
from catalog.importing.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

    from catalog.importing.column_mapping import ColumnMapping
    from catalog.importing.records import Problem

PRINTED_PROBLEMS = 20
REPORT_COLUMNS = ["line", "column", "value", "reason"]


class Command(BaseCommand):
    """Imports a file. Rows with problems are reported and left out."""

    help = (
        "Import a file of products into the catalog: JSON Lines or CSV, plain, gzip or zip. "
        "Rows with problems are left out and reported with line, column, value and reason; all other rows are imported. "
        "If an import was interrupted, run it again to finish it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The file to import.")
        parser.add_argument(
            "--mapping",
            default="native",
            help="A shipped mapping (native, fashion, bestbuy), or a mapping file.",
        )
        parser.add_argument(
            "--encoding",
            default="utf-8",
            help="The encoding of a file without byte order mark (default: utf-8).",
        )
        parser.add_argument(
            "--decimal", choices=[".", ","], help="The decimal sign; other signs may then separate thousands."
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Write everything to the database and roll it back."
        )
        parser.add_argument(
            "--errors",
            type=Path,
            help="A file for all problems: CSV if its name ends in .csv, else JSON Lines.",
        )

    def handle(
        self, *_args: Any, file: Path, dry_run: bool, errors: Path | None, encoding: str, **options: Any
    ) -> None:
        _check_encoding(encoding)
        try:
            source = Source(file, encoding=encoding)
            if errors and errors.exists() and errors.samefile(file):
                raise CommandError(_("--errors would overwrite the file to import."))
            with ExitStack() as stack:
                report = ProblemReport(self, stack, errors)
                progress = _show_progress(stack, source)
                summary = import_file(
                    source,
                    _load_with_decimal(**options),
                    dry_run=dry_run,
                    report=report.add,
                    progress=progress,
                )
        except OSError as error:
            raise CommandError(f"{error.filename or errors}: {error.strerror}") from error
        except CatalogImportError as error:
            raise CommandError(str(error)) from error
        self._print_summary(summary, report, dry_run=dry_run)

    def _print_summary(self, summary: Summary, report: ProblemReport, *, dry_run: bool) -> None:
        if report.count > PRINTED_PROBLEMS:
            rest = report.count - PRINTED_PROBLEMS
            text = _("… and %(count)d more problems; --errors FILE writes all of them.")
            self.stderr.write(text % {"count": rest})
        self.stdout.write(_("Dry run: nothing was saved. The import would give:") if dry_run else _("Done:"))
        for label, *numbers in _summary_lines(summary):
            self.stdout.write(f"  {label:<12}" + ", ".join(numbers))


def _check_encoding(name: str) -> None:
    try:
        "".encode(name)
    except (LookupError, UnicodeError) as error:
        raise CommandError(_("There is no encoding “%(name)s”.") % {"name": name}) from error


def _load_with_decimal(*, mapping: str, decimal: str | None, **_options: Any) -> ColumnMapping:
    column_mapping = load_mapping(mapping)
    return replace(column_mapping, decimal=decimal) if decimal else column_mapping


class ProblemReport:
    """Prints the first problems, and writes all of them to the file at `path` if there is one."""

    def __init__(self, command: BaseCommand, stack: ExitStack, path: Path | None) -> None:
        self.command = command
        self.count = 0
        self.write: Callable[[dict[str, Any]], object] = lambda _problem: None
        if path is None:
            return
        file = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, REPORT_COLUMNS)
            writer.writeheader()
            self.write = writer.writerow
        else:
            self.write = lambda problem: file.write(json.dumps(problem, ensure_ascii=False) + "\n")

    def add(self, problem: Problem) -> None:
        self.count += 1
        self.write({column: asdict(problem)[column] for column in REPORT_COLUMNS})
        if self.count <= PRINTED_PROBLEMS:
            value = f" “{problem.value}”" if problem.value else ""
            column = f", {problem.column}" if problem.column else ""
            line = _("Line %(line)d") % {"line": problem.line}
            with tqdm.external_write_mode():
                self.command.stderr.write(f"{line}{column}{value}: {problem.reason}")


def _show_progress(stack: ExitStack, source: Source) -> Callable[[int], None]:
    """Show a progress bar of the bytes read, and return the function that adds a number of products to it."""
    bar = stack.enter_context(tqdm(total=source.size, unit="B", unit_scale=True, disable=None))
    products = 0

    def progress(count: int) -> None:
        nonlocal products
        products += count
        bar.set_postfix(products=products, refresh=False)
        bar.update(source.position - bar.n)

    return progress


def _summary_lines(summary: Summary) -> list[tuple[str, ...]]:
    """Return the lines of the summary, each with its label and its numbers."""
    counts = summary.counts
    retired = _("%(count)d deactivated") % {"count": counts["variants_retired"]}
    return [
        (_("rows"), *_row_counts(summary)),
        (_("products"), *_change_counts(counts, "products")),
        (_("variants"), *_change_counts(counts, "variants"), retired),
        *([(_("not read"), *summary.unread_columns)] if summary.unread_columns else []),
        (_("brands"), _("%(count)d new") % {"count": summary.new_brands}),
        (_("categories"), _("%(count)d new") % {"count": summary.new_categories}),
        (
            _("time"),
            _("%(seconds).1f s") % {"seconds": summary.seconds},
            _("%(rate)d products a second") % {"rate": counts["products"] / summary.seconds},
        ),
    ]


def _row_counts(summary: Summary) -> tuple[str, ...]:
    return (
        _("%(count)d imported") % {"count": summary.counts["products"]},
        _("%(count)d left out") % {"count": summary.refused_rows},
        _("%(count)d empty") % {"count": summary.empty_rows},
    )


def _change_counts(counts: dict[str, int], table: str) -> tuple[str, ...]:
    created, updated = counts[f"{table}_created"], counts[f"{table}_updated"]
    return (
        _("%(count)d new") % {"count": created},
        _("%(count)d changed") % {"count": updated},
        _("%(count)d unchanged") % {"count": counts[table] - created - updated},
    )
