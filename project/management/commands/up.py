"""``manage.py up``: everything that ``make up`` runs once the packages are there."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.utils.translation import gettext as _

from catalog.models import Product
from project import endpoints, readiness
from project.local import services
from project.local.folders import BASE_DIR, VAR
from project.local.procfile import Runner

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

PATIENCE = 240.0  # seconds for the web process to answer
DEMO_PRODUCTS = 2000


class Command(BaseCommand):
    help = "Prepare everything and run the product: web, worker, beat and drain, until a signal comes."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--prepare", action="store_true", help="Prepare everything, print the login, run nothing."
        )

    def handle(self, *, prepare: bool, **options: Any) -> None:
        if prepare:
            endpoints.start()
            readiness.require_services()
            self.prepare()
            self.stdout.write(f"{_('Login')}: {readiness.login()}")
        else:
            self.run()

    def run(self) -> None:
        """Prepare everything, then run the Procfile until a signal comes."""
        lock = readiness.only_one()
        host, port = readiness.address()
        endpoints.start()
        readiness.require_services()
        self.prepare()
        os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        runner = Runner.of(BASE_DIR / "Procfile", say=self.say)
        threading.Thread(target=self.announce, args=(host, port, readiness.login()), daemon=True).start()
        connection.close()
        try:
            runner.start(lock=lock)
            started = runner.wait()
        finally:
            runner.stop()
            services.release()
        if not started:
            raise CommandError(_("A process does not start; its reason stands above."))

    def prepare(self) -> None:
        """Bring the database and the static files up to date, with a catalog to look at."""
        self.step(_("Database"))
        call_command("migrate", verbosity=0, interactive=False)
        if not Product.objects.exists():
            self.step(_("Demonstration catalog"))
            call_command("demo", products=DEMO_PRODUCTS)
        state, file = readiness.static_state(), VAR / "static.state"
        if not file.exists() or file.read_text() != state:
            self.step(_("Static files"))
            call_command("collectstatic", verbosity=0, interactive=False, clear=True)
            file.write_text(state)

    def announce(self, host: str, port: int, login: str) -> None:
        """Say where everything is, once the web process answers."""
        deadline = time.monotonic() + PATIENCE
        while not readiness.answers(host, port):
            if time.monotonic() > deadline:
                self.say("up", _("The web process does not answer; its log stands above."))
                return
            time.sleep(0.1)
        url = f"http://{readiness.reachable(host)}:{port}"
        places = {_("Shop"): "/", _("Admin"): "/admin/", _("Dashboard"): "/admin/cache/"}
        lines = {name: url + path for name, path in places.items()} | {_("Login"): login}
        text = "\n".join(f"  {name:<10} {value}" for name, value in lines.items())
        self.stdout.write(f"\n{text}\n\n  " + _("Ctrl-C stops it all.") + "\n")
        self.stdout.flush()

    def step(self, name: str) -> None:
        self.stdout.write(f"{name} …")
        self.stdout.flush()

    def say(self, name: str, line: str) -> None:
        self.stdout.write(f"{name:<6} | {line}")
        self.stdout.flush()
