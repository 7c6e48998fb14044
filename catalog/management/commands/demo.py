"""The command that fills the shop with a demonstration catalog."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from catalog.demo.generator import generate_products, load_departments
from catalog.importing.batch import Batch
from catalog.importing.exceptions import ImportBusyError
from catalog.importing.loader import BATCH_SIZE, Loader
from catalog.importing.lock import import_lock
from catalog.importing.prefetch import prefetch_batches
from catalog.importing.records import slug_of
from catalog.management.progress import progress_bar
from catalog.models import Category

if TYPE_CHECKING:
    from collections import Counter

    from django.core.management.base import CommandParser

    from catalog.importing.records import Problem


class Command(BaseCommand):
    """Loads the first N demonstration products. Running it again changes nothing."""

    help = "Fill the shop with a demonstration catalog. Running it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--products", type=_count, default=2000, metavar="N", help="How many products (default: 2000)."
        )

    def handle(self, *_args: Any, products: int, **_options: Any) -> None:
        started = time.monotonic()
        try:
            with import_lock():
                loader = _load(products)
        except ImportBusyError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(_summary(loader.counts, seconds=time.monotonic() - started))


def _summary(counts: Counter[str], *, seconds: float) -> str:
    text = _(
        "%(products)d products: %(created)d new, %(updated)d changed, in %(seconds).1f s (%(rate)d a second)."
    )
    return text % {
        "products": counts["products"],
        "created": counts["products_created"],
        "updated": counts["products_updated"],
        "seconds": seconds,
        "rate": counts["products"] / seconds,
    }


def _load(count: int) -> Loader:
    """Write the first `count` products, and the descriptions of departments that have none."""
    loader = Loader(report=_raise_problem)
    records = generate_products(count)
    with progress_bar(total=count, unit=" products") as bar:
        for batch in prefetch_batches(records, size=BATCH_SIZE, prepare=Batch.from_records):
            loader.load(batch)
            bar.update(len(batch))
    loader.finish()
    for department in load_departments():
        categories = Category.objects.filter(url_path=slug_of(department["name"]), description="")
        categories.update(description=department["description"])
    return loader


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(_("“%(text)s” is not a number of products.") % {"text": text})
    return int(text)


def _raise_problem(problem: Problem) -> NoReturn:
    raise CommandError(f"{problem.value}: {problem.reason}")
