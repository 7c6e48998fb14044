"""``manage.py await_web``: wait until a web process can serve, so that the next one may be restarted."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from project import readiness

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(BaseCommand):
    help = _("Wait until the web process on a port of this machine can serve, as /readyz says.")
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("port", type=int)
        parser.add_argument("--seconds", type=float, default=90.0, help=_("How long to wait at most."))

    def handle(self, *, port: int, seconds: float, **options: Any) -> None:
        deadline = time.monotonic() + seconds
        while not readiness.answers(os.environ.get("HOST") or "127.0.0.1", port, path="/readyz"):
            if time.monotonic() > deadline:
                raise CommandError(_("Nobody can serve on port %(port)s.") % {"port": port})
            time.sleep(0.1)
