"""``manage.py reconcile``: compare a sample of entries with the database now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from cachecontrol.jobs import reconcile
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.management.progress import progress_bar
from cachecontrol.management.store_errors import reporting_store_errors

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
        with progress_bar(_("entry")) as progress, reporting_store_errors():
            findings = reconcile.reconcile(
                seconds=options["seconds"], entries=options["entries"], progress=progress
            )
        if findings is None:
            raise CommandError(_("The job reconcile already runs in another process."))
        for finding, n in findings.items():
            self.stdout.write(f"{finding}: {n}")
        if drifted := findings[Finding.DRIFT]:
            raise CommandError(_("%d entries had drifted and were deleted.") % drifted)
