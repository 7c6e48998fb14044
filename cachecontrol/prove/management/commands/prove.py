"""``manage.py prove``: run real processes under faults on a disposable database, and judge every answer of the cache.

It runs with settings that ``cachecontrol.prove.settings`` made of the project's, on the database and the Redis that they name. A
project whose command starts servers for the proof overrides ``prepare``.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import tempfile
from argparse import ArgumentTypeError
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from cachecontrol.conf import conf
from cachecontrol.prove.faults.injector import FAULTS
from cachecontrol.prove.installation import DISPOSABLE, Installation, connection_string, is_disposable
from cachecontrol.prove.mutations import RULES
from cachecontrol.prove.options import Options
from cachecontrol.prove.proof import Proof

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

    from cachecontrol.prove.report import Report

DEFAULTS = Options(seed=random.SystemRandom().randrange(10**6))
VIOLATED, NOTHING_PROVEN = 1, 2
"""Exit status."""


class Command(BaseCommand):
    help = _(
        "Let processes write and read while faults happen, and judge every answer of the cache."
        " Needs a database that is marked as disposable."
    )
    requires_system_checks: list[str] = []
    celery_app = ""
    """The default of ``--celery-app``."""

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        for flag, field, text in _times():
            add(flag, dest=field, type=_positive, default=getattr(DEFAULTS, field), metavar="S", help=text)
        text = _("Number of processes that read.")
        add("--readers", type=_count, default=DEFAULTS.readers, metavar="N", help=text)
        text = _("Pages that a reader requests at once.")
        add("--burst", type=_count, default=DEFAULTS.burst, metavar="N", help=text)
        text = _("Number from which writes, reads and faults are drawn.")
        add("--seed", type=int, default=DEFAULTS.seed, metavar="N", help=text)
        text = _("all, none or some of: ") + ", ".join(FAULTS)
        add("--faults", type=_faults, default="all", metavar="NAMES", help=text)
        text = _("Switch a rule of the protocol off: ") + ", ".join(RULES)
        add("--break", dest="rule", default="", choices=["", *RULES], metavar="RULE", help=text)
        text = _("File for the report as JSON, with all violations.")
        add("--report", type=Path, metavar="FILE", help=text)
        text = _("As for celery --app. Without one, the jobs of the cache do not run.")
        add("--celery-app", default=self.celery_app, metavar="APP", help=text)

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _exit_once)
        if options["report"]:
            _require_writable(options["report"])
        installation = self.prepare(options["celery_app"])
        with tempfile.TemporaryDirectory(prefix="larder-prove-", ignore_cleanup_errors=True) as folder:
            chosen = Options(**{field.name: options[field.name] for field in fields(Options)})
            proof = Proof(installation=installation, options=chosen, folder=Path(folder), log=self._log)
            report = proof.run()
        self._write(report, options["report"])
        if report.violations:
            sys.exit(VIOLATED)
        if not report.has_hits:
            sys.exit(NOTHING_PROVEN)

    def prepare(self, celery_app: str) -> Installation:
        """Return the installation that the settings describe. Raises CommandError if it must not be destroyed."""
        database = settings.DATABASES[conf.database]
        url = connection_string(database)
        if not is_disposable(url):
            raise CommandError(
                _(
                    "The proof destroys the data in its database, and this one is not marked as disposable. To mark it: %s"
                )
                % f"COMMENT ON DATABASE {database['NAME']} IS '{DISPOSABLE}'"
            )
        redis_url: Any = settings.CACHES[conf.alias]["LOCATION"]
        return Installation(
            settings_module=os.environ["DJANGO_SETTINGS_MODULE"],
            celery_app=celery_app,
            database_url=url,
            redis_url=redis_url if isinstance(redis_url, str) else redis_url[0],
            max_wait=conf.wait,
        )

    def _write(self, report: Report, file: Path | None) -> None:
        self.stdout.write(report.text())
        if file:
            file.write_text(json.dumps(report.as_dict(), indent=1, default=str))

    def _log(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _times() -> list[tuple[str, str, str]]:
    """Return the arguments that are numbers of seconds: each with its field of ``Options`` and its help."""
    return [
        ("--seconds", "seconds", _("Seconds for which faults are injected.")),
        ("--max-lag", "max_lag", _("Seconds that an answer may be behind the database (MAX_LAG).")),
        (
            "--max-cost",
            "max_cost",
            _("Seconds that the cache may add to a computation; more on a busy machine."),
        ),
        ("--pause", "writer_pause", _("Seconds between two writes of a writer, on average.")),
        ("--apart", "fault_pause", _("Seconds between two faults, at most.")),
    ]


def _exit_once(*_: Any) -> None:
    """Exit by an exception, so that the proof ends its processes. Further signals do not interrupt that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _positive(text: str) -> float:
    """Return an argument that is a number above zero."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ArgumentTypeError(_("“%s” is not a number above zero.") % text)


def _count(text: str) -> int:
    """Return an argument that is a whole number above zero."""
    if text.isdecimal() and int(text):
        return int(text)
    raise ArgumentTypeError(_("“%s” is not a whole number above zero.") % text)


def _faults(text: str) -> tuple[str, ...]:
    """Return the names of faults in an argument."""
    if text in ("all", "none"):
        return tuple(FAULTS) if text == "all" else ()
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in FAULTS]:
        raise ArgumentTypeError(_("Unknown faults: %s") % ", ".join(unknown))
    return names


def _require_writable(report: Path) -> None:
    """Raise CommandError now, not after the proof, if the report cannot be written."""
    try:
        report.open("a").close()
    except OSError as error:
        raise CommandError(_("The report cannot be written: %s") % error) from error
