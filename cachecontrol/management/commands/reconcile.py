"""``manage.py reconcile``: compare a sample of entries with the database now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _
from tqdm import tqdm

from cachecontrol.exceptions import StoreDown
from cachecontrol.jobs import reconcile
from cachecontrol.jobs.reconcile import Finding

if TYPE_CHECKING:
    from argparse import ArgumentParser


class Command(BaseCommand):
    help = (
        "Compute a sample of entries again, compare them with the database, repair. Fails if there was drift."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--entries", type=int, default=200, help="entries at most (default: 200)")
        parser.add_argument("--seconds", type=float, default=600.0, help="seconds at most (default: 600)")

    def handle(self, *args: Any, **options: Any) -> None:
        with tqdm(unit=_("entry"), disable=None) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                found = reconcile.reconcile(
                    seconds=options["seconds"], entries=options["entries"], progress=show
                )
            except StoreDown as error:
                raise CommandError(_("Redis does not answer: %s") % error) from error
        if found is None:
            raise CommandError(_("Another process reconciles right now."))
        for finding, n in found.items():
            self.stdout.write(f"{finding}: {n}")
        if drifted := found[Finding.DRIFT]:
            raise CommandError(_("%d entries had drifted and were deleted.") % drifted)
