"""The installation that is proven: what the proof has to know of a project and its servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Mapping

DISPOSABLE = "disposable"
"""The comment on a database that the proof may destroy contains this word."""
_COMMENT = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = current_database()"


class Servers(Protocol):
    """Servers that the proof may kill: a PostgreSQL with a streaming replica, and a Valkey."""

    @property
    def replica(self) -> str: ...
    def valkey_pid(self) -> int | None: ...
    def start_valkey(self) -> None: ...
    def postgres_pid(self) -> int | None: ...
    def start_postgres(self) -> None: ...
    def pause_replica(self) -> None: ...
    def resume_replica(self) -> None: ...
    def cut_replica(self) -> None: ...
    def close(self) -> None: ...
    def promote(self, how: signal.Signals) -> str: ...
    def open(self) -> None: ...
    def follow(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """A project's settings, its Celery application and its servers."""

    settings_module: str
    """Settings that ``cachecontrol.prove.settings`` made of the project's."""
    celery_app: str
    """As for ``celery --app``; empty: no worker runs."""
    database_url: str
    """A connection string of libpq."""
    redis_url: str
    max_wait: float
    """``WAIT``, in seconds."""
    servers: Servers | None = None
    """None: the servers run elsewhere and are spared the faults that kill them."""
    watch: Callable[[int], None] = lambda pid: None
    """Is called with the pid of each process when it has started and again when it has ended."""


def connection_string(database: Mapping[str, Any]) -> str:
    """Return how libpq connects to a database of Django's ``DATABASES``, without options of the session."""
    names = {"NAME": "dbname", "USER": "user", "PASSWORD": "password", "HOST": "host", "PORT": "port"}
    parts = {part: database[name] for name, part in names.items() if database.get(name)}
    keywords = {option.keyword.decode() for option in pq.Conninfo.get_defaults()} - {
        "options",
        "application_name",
    }
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name in keywords}
    return make_conninfo(**parts, **options)


def is_disposable(database_url: str) -> bool:
    """Return whether the comment on the database says that it may be destroyed. Raises psycopg.Error."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(_COMMENT).fetchone()
    return row is not None and DISPOSABLE in (row[0] or "")
