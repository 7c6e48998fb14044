"""``manage.py prove``: the proof of the cache, on servers that it starts or on those that the environment names."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from cachecontrol.conf import conf
from cachecontrol.prove.installation import Installation
from cachecontrol.prove.management.commands import prove
from project.local.pair import Pair
from project.local.processes import ParentWatch

SETTINGS = "project.proving"


class Command(prove.Command):
    help = _(
        "Let processes write and read while faults happen, and judge every answer of the cache: on servers that the command"
        " starts or, if DATABASE_URL is set, on a database that is marked as disposable."
    )

    celery_app = "project.celery"

    def prepare(self, celery_app: str) -> Installation:
        """Return the installation: the servers of the environment, or a pair of PostgreSQLs and a Valkey that vanish with it."""
        watch = ParentWatch().toggle
        os.environ["LOCAL"] = "1"
        if os.environ.get("DATABASE_URL"):
            if not os.environ.get("REDIS_URL"):
                raise CommandError(_("Set REDIS_URL too: the proof deletes all data in its Redis."))
            return replace(super().prepare(celery_app), settings_module=SETTINGS, watch=watch)
        servers = _start_servers()
        os.environ |= {"DATABASE_URL": servers.database, "REDIS_URL": servers.store}
        return Installation(
            settings_module=SETTINGS,
            celery_app=celery_app,
            database_url=servers.database,
            redis_url=servers.store,
            max_wait=conf.wait,
            servers=servers,
            watch=watch,
        )


def _start_servers() -> Pair:
    """Start servers in a folder that is deleted with them."""
    home = Path(tempfile.mkdtemp(prefix="larder-prove-"))
    home.chmod(0o755)  # root's PostgreSQL runs as another user
    return Pair(home)
