"""``manage.py services``: where the database and Redis are, and whether the local ones run."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from project import endpoints
from project.local import services
from project.masking import hide

if TYPE_CHECKING:
    from django.core.management.base import CommandParser


class Command(BaseCommand):
    help = "Show the state and the URLs of both services; hold, stop or remove the local ones."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("action", nargs="?", choices=("show", "hold", "stop", "remove"), default="show")

    def handle(self, *, action: str, **options: Any) -> None:
        if action in {"stop", "remove"}:
            services.stop()
        if action == "remove":
            services.remove()
        if action == "hold":
            endpoints.start()
        self.show()
        if action == "hold":
            self.stdout.write(_("Held until Ctrl-C."))
            signal.sigwait({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})

    def show(self) -> None:
        urls = endpoints.find()
        embedded = {server.name: server for server in urls.embedded}
        for name, url in (("PostgreSQL", urls.database), ("Valkey", urls.redis)):
            self.stdout.write(f"{name:<11} {self.state(embedded.get(name)):<28} {hide(url)}")
        if embedded:
            self.stdout.write(
                _("Local services start when a command needs them and stop after the last one ended.")
            )

    def state(self, server: Any) -> str:
        if server is None:
            return _("named by the environment")
        pid = server.pid()
        return _("runs, process %(pid)s") % {"pid": pid} if pid else _("stopped")
