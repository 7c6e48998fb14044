"""The command that imports a file of products."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from tqdm import tqdm

from catalog.importing.column_mapping import check_encoding, load_mapping
from catalog.importing.exceptions import CatalogImportError
from catalog.importing.guess import guess_mapping
from catalog.importing.numeric import COMMA_BEFORE_DECIMALS, is_unclear_comma
from catalog.importing.run import Summary, import_file
from catalog.importing.source import Source
from catalog.management.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

    from catalog.importing.column_mapping import ColumnMapping
    from catalog.importing.records import Problem

PRINTED_KINDS = 20  # of problems; of each the first one is printed, and at the end how many there were
REPORT_COLUMNS = ["line", "column", "value", "reason"]
NUMBER = re.compile(r"\d+")


class Command(BaseCommand):
    """Imports a file. Rows with problems are reported and left out."""

    help = (
        "Import a file of products into the catalog: JSON Lines or CSV, plain, gzip or zip, or a workbook (XLSX). "
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
            default="",
            help="The encoding of a file without byte order mark. By default it is that of the mapping, or recognised.",
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

        parser.add_argument(
            "--guess",
            action="store_true",
            help="Import nothing. Print a mapping that is guessed from the header and the first rows, to edit and use with "
            "--mapping.",
        )

    def handle(
        self, *_args: Any, file: Path, dry_run: bool, errors: Path | None, encoding: str, **options: Any
    ) -> None:
        try:
            if options["guess"]:
                self.stdout.write(guess_mapping(Source(file, encoding=check_encoding(encoding))), ending="")
                return
            mapping = _load_with_decimal(**options)
            source = Source(file, encoding=check_encoding(encoding) or mapping.encoding)
            if errors and errors.exists() and errors.samefile(file):
                raise CommandError(_("--errors would overwrite the file to import."))
            with ExitStack() as stack:
                report = ProblemReport(self, stack, errors)
                progress = _show_progress(stack, source)
                summary = import_file(
                    source,
                    mapping,
                    dry_run=dry_run,
                    report=report.add,
                    progress=progress,
                )
        except OSError as error:
            raise CommandError(f"{error.filename or errors}: {error.strerror}") from error
        except CatalogImportError as error:
            raise CommandError(str(error)) from error
        report.print_counts()
        self._print_summary(summary, source, dry_run=dry_run)

    def _print_summary(self, summary: Summary, source: Source, *, dry_run: bool) -> None:
        self.stdout.write(_("Dry run: nothing was saved. The import would give:") if dry_run else _("Done:"))
        for label, *numbers in (_encoding_line(source), *_summary_lines(summary)):
            self.stdout.write(f"  {label:<12}" + ", ".join(numbers))


def _load_with_decimal(*, mapping: str, decimal: str | None, **_options: Any) -> ColumnMapping:
    column_mapping = load_mapping(mapping)
    if not decimal or decimal == column_mapping.decimal:
        return column_mapping
    return replace(
        column_mapping, decimal=decimal, thousands=""
    )  # those of the mapping go with its own decimal sign


class ProblemReport:
    """Prints the first problem of each kind, and writes all of them to the file at `path` if there is one.

    Problems are of one kind if they have the same column and the same reason but for numbers and items of a list.
    """

    def __init__(self, command: BaseCommand, stack: ExitStack, path: Path | None) -> None:
        self.command = command
        self.counts: Counter[tuple[str, str]] = Counter()
        self.commas: Counter[bool] = Counter()
        """Numbers with a comma, by whether it cannot separate thousands."""
        self.first: dict[tuple[str, str], Problem] = {}
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
        self.write({column: asdict(problem)[column] for column in REPORT_COLUMNS})
        kind = NUMBER.sub("#", problem.column), NUMBER.sub("#", problem.reason)
        self.counts[kind] += 1
        if is_unclear_comma(problem.reason):
            self.commas[COMMA_BEFORE_DECIMALS.fullmatch(problem.value) is not None] += 1
        if self.first.setdefault(kind, problem) is problem and len(self.first) <= PRINTED_KINDS:
            value = f" “{problem.value}”" if problem.value else ""
            column = f", {problem.column}" if problem.column else ""
            warning = _(" (warning)") if problem.is_warning else ""
            line = _("Line %(line)d") % {"line": problem.line}
            with tqdm.external_write_mode():
                self.command.stderr.write(f"{line}{column}{value}{warning}: {problem.reason}")

    def print_counts(self) -> None:
        """Print how many rows have each kind of problem that more than one has, and that more kinds were not printed."""
        for kind, problem in [*self.first.items()][:PRINTED_KINDS]:
            if self.counts[kind] > 1:
                text = _("%(column)s: %(count)s rows, first at line %(line)d: %(reason)s") % {
                    "column": problem.column or _("row"),
                    "count": f"{self.counts[kind]:,}",
                    "line": problem.line,
                    "reason": problem.reason,
                }
                self.command.stderr.write(text)
        if self.commas[True] and not self.commas[False]:
            text = _(
                "All %(count)s numbers with a comma have it before one or two decimals: add --decimal , to read them."
            )
            self.command.stderr.write(text % {"count": f"{self.commas[True]:,}"})
        if len(self.first) > PRINTED_KINDS:
            rest = self.counts.total() - sum(self.counts[kind] for kind in [*self.first][:PRINTED_KINDS])
            text = _("… and %(count)d more problems of other kinds; --errors FILE writes all of them.")
            self.command.stderr.write(text % {"count": rest})


def _show_progress(stack: ExitStack, source: Source) -> Callable[[int], None]:
    """Show a progress bar of the bytes read, and return the function that adds a number of products to it."""
    bar = stack.enter_context(progress_bar(total=source.size, unit="B", unit_scale=True))
    products = 0

    def progress(count: int) -> None:
        nonlocal products
        products += count
        bar.set_postfix(products=products, refresh=False)
        bar.update(source.position - bar.n)

    return progress


def _encoding_line(source: Source) -> tuple[str, str]:
    """Return the line of the summary that tells which encoding was taken."""
    if source.encoding == "xlsx":
        return _("form"), _("workbook")
    recognised = _("%(encoding)s, recognised; --encoding names another")
    name = source.encoding.upper()
    return _("encoding"), recognised % {"encoding": name} if source.is_recognised else name


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
