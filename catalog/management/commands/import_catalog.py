"""Bring a file of products into the catalog."""

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

from catalog.importing.loading import ImportBusyError, ImportStoppedError
from catalog.importing.mapping import MappingError, load
from catalog.importing.run import Summary, import_file
from catalog.importing.source import Source
from catalog.importing.text import UnreadableFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

    from catalog.importing.mapping import Mapping
    from catalog.importing.records import Problem

SHOWN = 20
COLUMNS = ["line", "column", "value", "reason"]


class Command(BaseCommand):
    """Import a file; what cannot go in is reported, the rest goes in."""

    help = (
        "Bring a file of products into the catalog: JSON Lines or CSV, plain or gzip. "
        "Rows that cannot go in are reported with line, column, value and reason; the rest goes in. "
        "Running it again finishes what was cut off."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path, help="The file.")
        parser.add_argument(
            "--mapping", default="native", help="A shipped mapping (native, fashion, bestbuy) or a file."
        )
        parser.add_argument(
            "--encoding",
            default="utf-8",
            help="The encoding of a file without a byte order mark, if not UTF-8.",
        )
        parser.add_argument(
            "--decimal", choices=[".", ","], help="The sign before decimals; others may part thousands then."
        )
        parser.add_argument("--dry-run", action="store_true", help="Try everything, keep nothing.")
        parser.add_argument(
            "--errors", type=Path, help="Write the problems here: CSV if it ends so, else JSON Lines."
        )

    def handle(
        self, *_args: Any, file: Path, dry_run: bool, errors: Path | None, encoding: str, **options: Any
    ) -> None:
        _require_encoding(encoding)
        try:
            source = Source(file, encoding=encoding)
            if errors and errors.exists() and errors.samefile(file):
                raise CommandError(_("--errors would overwrite the file that is to be imported."))
            with ExitStack() as stack:
                problems = Problems(self, stack, errors)
                bar = stack.enter_context(tqdm(total=source.size, unit="B", unit_scale=True, disable=None))
                progress = _progress(bar, source)
                summary = import_file(
                    source, _mapping(**options), dry_run=dry_run, report=problems.add, progress=progress
                )
        except OSError as error:
            raise CommandError(f"{error.filename or errors}: {error.strerror}") from error
        except (MappingError, UnreadableFileError) as error:
            raise CommandError(str(error)) from error
        except ImportBusyError as error:
            raise CommandError(_("Another import is running. Wait for it, or stop it.")) from error
        except ImportStoppedError as error:
            reason = _("The database stopped the import: %(reason)s. Run it again to finish it.")
            raise CommandError(reason % {"reason": error}) from error
        self._tell(summary, problems, dry_run=dry_run)

    def _tell(self, summary: Summary, problems: Problems, *, dry_run: bool) -> None:
        if problems.count > SHOWN:
            more = problems.count - SHOWN
            self.stderr.write(_("… and %(more)d more; --errors FILE writes all of them.") % {"more": more})
        self.stdout.write(_("Nothing was kept (dry run). It would have been:") if dry_run else _("Done:"))
        for label, *numbers in _lines(summary):
            self.stdout.write(f"  {label:<12}" + ", ".join(numbers))


def _require_encoding(name: str) -> None:
    try:
        "".encode(name)
    except (LookupError, UnicodeError) as error:
        raise CommandError(_("There is no encoding “%(name)s”.") % {"name": name}) from error


def _mapping(*, mapping: str, decimal: str | None, **_options: Any) -> Mapping:
    loaded = load(mapping)
    return replace(loaded, decimal=decimal) if decimal else loaded


class Problems:
    """Where problems go: the first few to the screen, all of them to the file."""

    def __init__(self, command: BaseCommand, stack: ExitStack, path: Path | None) -> None:
        self.command = command
        self.count = 0
        self.write: Callable[[dict[str, Any]], object] = lambda _problem: None
        if path is None:
            return
        file = stack.enter_context(path.open("w", newline="", encoding="utf-8"))
        if path.suffix == ".csv":
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            self.write = writer.writerow
        else:
            self.write = lambda problem: file.write(json.dumps(problem, ensure_ascii=False) + "\n")

    def add(self, problem: Problem) -> None:
        self.count += 1
        self.write({column: asdict(problem)[column] for column in COLUMNS})
        if self.count <= SHOWN:
            value = f" “{problem.value}”" if problem.value else ""
            column = f", {problem.column}" if problem.column else ""
            with tqdm.external_write_mode():
                self.command.stderr.write(
                    _("Line %(line)d") % {"line": problem.line} + f"{column}{value}: {problem.reason}"
                )


def _progress(bar: tqdm[Any], source: Source) -> Callable[[int], None]:
    products = 0

    def progress(count: int) -> None:
        nonlocal products
        products += count
        bar.set_postfix(products=products, refresh=False)
        bar.update(source.position - bar.n)

    return progress


def _lines(summary: Summary) -> list[tuple[str, ...]]:
    counts = summary.counts
    kinds = [
        (_("products"), counts["products"], counts["products_created"], counts["products_updated"]),
        (_("variants"), counts["variants"], counts["variants_created"], counts["variants_updated"]),
    ]
    lines: list[tuple[str, ...]] = [
        (
            label,
            _("%(count)d new") % {"count": created},
            _("%(count)d changed") % {"count": updated},
            _("%(count)d as they were") % {"count": total - created - updated},
        )
        for label, total, created, updated in kinds
    ]
    lines[1] += (_("%(count)d retired") % {"count": counts["variants_retired"]},)
    if summary.unread:
        lines.append((_("not read"), *summary.unread))
    return [
        (
            _("rows"),
            _("%(count)d taken") % {"count": counts["products"]},
            _("%(count)d left out") % {"count": summary.lines_refused},
            _("%(count)d skipped as empty") % {"count": summary.empty},
        ),
        *lines,
        (_("brands"), _("%(count)d new") % {"count": summary.brands}),
        (_("categories"), _("%(count)d new") % {"count": summary.categories}),
        (
            _("time"),
            _("%(seconds).1f s") % {"seconds": summary.seconds},
            _("%(rate)d products a second") % {"rate": counts["products"] / summary.seconds},
        ),
    ]
