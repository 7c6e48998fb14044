"""Fill the shop with a believable catalog of our own making."""

from __future__ import annotations

import time
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any, NoReturn

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from tqdm import tqdm

from catalog.demo.making import departments, products
from catalog.importing.ahead import batches_ahead
from catalog.importing.batch import Batch
from catalog.importing.loading import BATCH, ImportBusyError, Loader, exclusive
from catalog.importing.records import slug_of
from catalog.models import Category

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from catalog.importing.records import Problem


class Command(BaseCommand):
    """Load the first N demonstration products; running it again changes nothing."""

    help = "Fill the shop with a believable catalog of our own making. Running it again changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--products", type=_count, default=2000, metavar="N", help="How many products (default: 2000)."
        )

    def handle(self, *_args: Any, products: int, **_options: Any) -> None:
        started = time.monotonic()
        try:
            with exclusive():
                loader = self._load(products)
        except ImportBusyError as error:
            raise CommandError(_("Another import is running. Wait for it, or stop it.")) from error
        seconds = time.monotonic() - started
        self.stdout.write(
            _(
                "%(products)d products: %(created)d new, %(updated)d changed,"
                " in %(seconds).1f s (%(rate)d a second)."
            )
            % {
                "products": loader.counts["products"],
                "created": loader.counts["products_created"],
                "updated": loader.counts["products_updated"],
                "seconds": seconds,
                "rate": loader.counts["products"] / seconds,
            }
        )

    def _load(self, count: int) -> Loader:
        loader = Loader(report=_refuse)
        with tqdm(total=count, unit=" products", disable=None) as bar:
            for batch in batches_ahead(products(count), size=BATCH, of=Batch.of):
                loader.load(batch)
                bar.update(len(batch))
        loader.settle()
        for department in departments():
            named = Category.objects.filter(url_path=slug_of(department["name"]), description="")
            named.update(description=department["description"])
        return loader


def _count(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(_("“%(text)s” is not a number of products.") % {"text": text})
    return int(text)


def _refuse(problem: Problem) -> NoReturn:
    raise CommandError(f"{problem.value}: {problem.reason}")
