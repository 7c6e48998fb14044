"""Servers that may be killed: a PostgreSQL, another that follows it and may take its place, and a Valkey.

Programs find the PostgreSQLs by two links, ``primary`` and ``replica``, which lead to whichever server is that now, or
to none while it is away.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg.conninfo import conninfo_to_dict

from project.local import services
from project.local.postgres import Postgres
from project.local.processes import await_end
from project.local.valkey import Valkey

if TYPE_CHECKING:
    import signal
    from pathlib import Path

SETTINGS = {
    "fsync": "off",  # no machine fails here, only processes: what they wrote stays written
    "wal_retrieve_retry_interval": "500ms",
}
SMALL = {"maxmemory": "64mb"}
LONGEST = 60
"""Seconds that a replica may take to take over."""


class Pair:
    """Two PostgreSQL servers of which one follows the other, and a Valkey, under ``home``, which vanishes with the process."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._first = Postgres(home / "postgres-a", settings=SETTINGS)
        self._second = Postgres(home / "postgres-b", settings=SETTINGS)
        self._valkey = Valkey(home / "valkey", settings=SMALL)
        services.use([self._first, self._valkey], home=home, remove=True)
        self.open()
        self.follow()

    @property
    def database(self) -> str:
        """The URL of whichever server is the primary."""
        return self._url("primary")

    @property
    def replica(self) -> str:
        return self._url("replica")

    @property
    def store(self) -> str:
        return self._valkey.url

    def valkey_pid(self) -> int | None:
        return self._valkey.pid()

    def start_valkey(self) -> None:
        self._valkey.start()

    def postgres_pid(self) -> int | None:
        return self._first.pid()

    def start_postgres(self) -> None:
        self._first.start()

    def pause_replica(self) -> None:
        """Let the replica receive what the primary writes, and not show it."""
        self._ask(self._second, "SELECT pg_wal_replay_pause()")

    def resume_replica(self) -> None:
        self._ask(self._second, "SELECT pg_wal_replay_resume()")

    def cut_replica(self) -> None:
        """Let the replica receive nothing more: what is committed from now on is lost if it takes over."""
        self._ask(self._second, "ALTER SYSTEM SET primary_conninfo = ''")
        self._ask(self._second, "SELECT pg_reload_conf()")

    def close(self) -> None:
        """Let nobody find the PostgreSQLs, and end everybody's connections to the primary."""
        for name in ("primary", "replica"):
            (self._home / name).unlink(missing_ok=True)
        self._ask(
            self._first,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name <> 'observer'",
        )

    def promote(self, how: signal.Signals) -> str:
        """Kill the primary and let the replica take its place, still closed. Returns the URL of the new primary."""
        if pid := self._first.pid():
            os.kill(pid, how)
            await_end([pid], seconds=20)
        self._first, self._second = self._second, self._first
        self._ask(self._first, f"SELECT pg_promote(true, {LONGEST})")
        return self._first.url

    def open(self) -> None:
        """Let everybody find the primary."""
        self._link("primary", self._first)

    def follow(self) -> None:
        """Make the other server a replica of the primary as it is now, and let everybody find it."""
        self._second.follow(self._first)
        self._second.start()
        self._link("replica", self._second)

    def _link(self, name: str, server: Postgres) -> None:
        link = self._home / name
        link.unlink(missing_ok=True)
        link.symlink_to(str(conninfo_to_dict(server.url)["host"]))

    def _url(self, name: str) -> str:
        return f"postgresql://postgres@/larder?host={quote(str(self._home / name))}"

    def _ask(self, server: Postgres, statement: str) -> None:
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute(statement)
