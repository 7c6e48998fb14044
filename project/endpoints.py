"""Where the database and Redis are: where the environment says, or, in a local checkout, embedded under ``var``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from project import environment
from project.local import services
from project.local.folders import VAR
from project.local.postgres import Postgres
from project.local.valkey import Valkey

if TYPE_CHECKING:
    from project.local.services import Server


@dataclass(frozen=True)
class Endpoints:
    """The URLs of the database and of Redis, and the servers among the two that this checkout embeds."""

    database: str
    redis: str
    embedded: tuple[Server, ...]


def find() -> Endpoints:
    """Return the URLs in the environment, or in a local checkout those of the embedded servers; start nothing.

    Raises ImproperlyConfigured if a URL is missing in production.
    """
    postgres, valkey = Postgres(VAR / "postgres"), Valkey(VAR / "valkey")
    database, redis = (os.environ.get(name, "").strip() for name in ("DATABASE_URL", "REDIS_URL"))
    if not (database and redis):
        environment.require_local("REDIS_URL" if database else "DATABASE_URL")
    embedded = [server for server, url in ((postgres, database), (valkey, redis)) if not url]
    return Endpoints(database or postgres.url, redis or valkey.url, tuple(embedded))


def start() -> None:
    """Start the embedded servers that do not run, and keep them running until this process ends."""
    services.use(find().embedded)
