"""``manage.py prove``: let writers, readers and faults loose on a disposable database and judge every answer."""

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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from django.core.management.base import BaseCommand, CommandError
from django.utils.translation import gettext as _

from cachecontrol.prove.faults import FAULTS
from cachecontrol.prove.mutations import RULES
from cachecontrol.prove.proof import Proof
from project.local.pair import Pair
from project.local.processes import Leash

if TYPE_CHECKING:
    from django.core.management.base import CommandParser

MARK = "disposable"


class Command(BaseCommand):
    help = _(
        "Prove the cache under faults: on servers of its own, or on a database that is marked disposable."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seconds", type=_positive, default=60.0, help=_("How long faults strike."))
        parser.add_argument("--seed", type=int, help=_("Draw the same acts and faults again."))
        parser.add_argument(
            "--faults", default="all", help=_("Names with commas between, all or none: ") + ", ".join(FAULTS)
        )
        parser.add_argument("--report", type=Path, help=_("Write the report as JSON, with every violation."))
        parser.add_argument(
            "--break", dest="rule", default="", choices=["", *RULES], help=_("Switch one rule off.")
        )
        parser.add_argument(
            "--max-lag", type=_positive, default=2.0, help=_("Seconds an answer may be behind.")
        )
        parser.add_argument(
            "--max-cost",
            type=_positive,
            default=0.1,
            help=_(
                "Seconds an answer may cost beyond its computation; more on a machine that is busy otherwise."
            ),
        )
        parser.add_argument("--readers", type=_count, default=3, help=_("Processes that read."))
        parser.add_argument(
            "--pause", type=_positive, default=0.15, help=_("Seconds between two writes of a writer.")
        )
        parser.add_argument(
            "--apart", type=_positive, default=4.0, help=_("Seconds between two faults at most.")
        )

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, _end)
        faults = _chosen(options["faults"])
        if options["report"]:
            _require_writable(options["report"])
        home = Path(tempfile.mkdtemp(prefix="larder-prove-"))
        home.chmod(0o755)
        database, store, servers = _servers(home)
        os.environ |= {"DATABASE_URL": database, "REDIS_URL": store, "LOCAL": "1"}
        proof = Proof(
            folder=home,
            database=database,
            store=store,
            seed=options["seed"] if options["seed"] is not None else random.SystemRandom().randrange(10**6),
            seconds=options["seconds"],
            max_lag=options["max_lag"],
            max_cost=options["max_cost"],
            faults=faults,
            servers=servers,
            rule=options["rule"],
            until_wrong=bool(options["rule"]),
            readers=options["readers"],
            writer_pause=options["pause"],
            apart=options["apart"],
            say=self._say,
            tell=Leash().tell,
        )
        report = proof.run()
        self.stdout.write(report.text())
        if options["report"]:
            options["report"].write_text(json.dumps(report.plain(), indent=1, default=str))
        if report.violations:
            sys.exit(1)
        if not report.proves_something:
            sys.exit(2)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _end(*_: Any) -> None:
    """End as after an error, which ends whom the proof started; asked twice, do that in peace."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(128 + signal.SIGTERM)


def _positive(text: str) -> float:
    """An argument above zero."""
    with suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise ArgumentTypeError(_("“%s” is not a number above zero.") % text)


def _count(text: str) -> int:
    """An argument of one or more."""
    if text.isdecimal() and int(text):
        return int(text)
    raise ArgumentTypeError(_("“%s” is not a whole number above zero.") % text)


def _require_writable(report: Path) -> None:
    """Find out now and not after the proof."""
    try:
        report.open("a").close()
    except OSError as error:
        raise CommandError(_("The report cannot be written: %s") % error) from error


def _servers(home: Path) -> tuple[str, str, Pair | None]:
    """Where the proof may work: private servers, or those of the environment if the database is marked."""
    url = os.environ.get("DATABASE_URL")
    if not url:
        pair = Pair(home)
        return pair.database, pair.store, pair
    store = os.environ.get("REDIS_URL")
    if not store:
        raise CommandError(_("Set REDIS_URL too: the proof flushes the Redis that it works on."))
    with psycopg.connect(url) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"
        ).fetchone()
    if not row or MARK not in (row[0] or ""):
        raise CommandError(
            _("This database is not marked as disposable. The proof destroys what is there. To mark it: %s")
            % f"COMMENT ON DATABASE … IS '{MARK}'"
        )
    return url, store, None


def _chosen(names: str) -> list[str]:
    if names in ("all", "none"):
        return [*FAULTS] if names == "all" else []
    chosen = names.split(",")
    if unknown := set(chosen) - FAULTS.keys():
        raise CommandError(_("Unknown faults: %s") % ", ".join(sorted(unknown)))
    return chosen
