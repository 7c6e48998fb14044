"""psql: a writer that knows nothing of the cache."""

from __future__ import annotations

import shutil
import subprocess

import psycopg
from django.db import connection

from cachecontrol.prove.installation import connection_string

TIMEOUT = 30
"""Seconds that psql may take."""
OPTIONS = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--single-transaction"]


class Psql:
    """Runs statements in a psql process or, where psql is not installed, on a connection that Django does not know."""

    def __init__(self) -> None:
        self._program = shutil.which("psql")
        self._url = f"{connection_string(connection.settings_dict)} application_name=psql"

    def run(self, *statements: str) -> None:
        """Run statements in one transaction. Raises OSError, TimeoutExpired or psycopg.Error."""
        if self._program is None:
            with psycopg.connect(self._url) as raw:
                for statement in statements:
                    raw.execute(statement)
            return
        commands = [part for statement in statements for part in ("--command", statement)]
        process = subprocess.run(
            [self._program, self._url, *OPTIONS, *commands],
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
        )
        if process.returncode:
            raise OSError(process.stderr.strip() or "psql failed")
