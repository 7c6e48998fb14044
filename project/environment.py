"""What the environment says, read into settings: where the services are, and a local checkout's secret."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from redis import Redis

from project import services

DATABASE_SCHEMES = ("postgres://", "postgresql://")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
TELL_OPTION = "-c cachecontrol.tell=on"
"""See ``cachecontrol.writers``, which cannot be imported while the settings are read."""
WORDS = {
    "on": True,
    "yes": True,
    "true": True,
    "1": True,
    "off": False,
    "no": False,
    "false": False,
    "0": False,
}


class Env(environ.Env):  # type: ignore[misc]
    """The environment's variables: an empty one is unset, and one that cannot be read is refused by name.

    A switch that is neither on nor off is an error: ``HTTPS=ture`` must not mean plain HTTP.
    """

    def get_value(self, var: str, cast: Any = None, default: Any = None, parse_default: bool = False) -> Any:
        text = self.ENVIRON.get(var, "").strip()
        if not text:
            return default
        try:
            return WORDS[text.lower()] if cast is bool else self.parse_value(text, cast)
        except (KeyError, ValueError) as error:
            kind = "on or off" if cast is bool else "a whole number"
            raise ImproperlyConfigured(f"{var} must be {kind}, not “{text}”.") from error

    def log_level(self, var: str, default: str) -> str:
        """Return the name of a log level of Python's."""
        level = str(self.get_value(var, default=default)).upper()
        if level not in logging.getLevelNamesMapping():
            raise ImproperlyConfigured(f"{var} must be DEBUG, INFO, WARNING or ERROR, not “{level}”.")
        return level

    def time_zone(self, var: str, default: str) -> str:
        """Return the name of a time zone that is known here."""
        name = str(self.get_value(var, default=default))
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ImproperlyConfigured(f"{var} must be like Europe/Berlin, not “{name}”.") from error
        return name


def program() -> str:
    """Return what this process tells PostgreSQL that it is: ``larder granian``, ``larder celery``, ``larder import_catalog``."""
    path, *words = Path(sys.argv[0]), *sys.argv[1:2]
    name = path.parent.name if path.stem == "__main__" else path.stem
    return f"larder {words[0] if name == 'manage' and words else name}"


def database(url: str, *, behind_pooler: bool = False) -> dict[str, Any]:
    """Return Django's settings for a PostgreSQL URL, with all of libpq's options: its own parser reads it.

    Connections ask at startup to be told of their writes, unless a pooler refuses such options.
    """
    if not url.startswith(DATABASE_SCHEMES):
        raise ImproperlyConfigured("DATABASE_URL must look like postgres://user:password@host:5432/name.")
    try:
        parts: dict[str, Any] = dict(conninfo_to_dict(url))
    except ProgrammingError as error:
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {str(error).strip()}.") from error
    if not behind_pooler:
        parts["options"] = f"{parts.get('options', '')} {TELL_OPTION}".strip()
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": {"application_name": program(), **parts},
        "CONN_MAX_AGE": 60,
        "CONN_HEALTH_CHECKS": True,
    }


def redis(url: str) -> str:
    """Return a Redis URL that begins as redis-py wants it."""
    if not url.startswith(REDIS_SCHEMES):
        raise ImproperlyConfigured(
            "REDIS_URL must look like redis://:password@host:6379/0 or unix:///path/to/socket."
        )
    try:
        Redis.from_url(url).close()  # nothing is asked yet
    except ValueError as error:
        raise ImproperlyConfigured(f"REDIS_URL: {error}") from None
    return url


def broker(redis_url: str) -> str:
    """Return Celery's URL on the same server: database 1, so that flushing the cache drops no task."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"redis+socket://{parts.path}?virtual_host=1"
    return urlunsplit(parts._replace(path="/1"))


def secret_key(file: Path) -> str:
    """Return the key kept in a file that only its owner can read, made at first."""
    if not file.exists():
        services.make_folder(file.parent)
        new = file.with_suffix(f".{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            os.link(new, file)  # two processes may come here at once: the first one's key counts
        new.unlink()
    return file.read_text()
