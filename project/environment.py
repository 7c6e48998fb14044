"""What the environment says, read into settings: where the services are, and a local checkout's secret."""

from __future__ import annotations

import logging
import os
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured
from kombu.transport.redis import Channel
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from redis import Redis
from redis.connection import parse_url

from project.local.folders import make_folder

DATABASE_SCHEMES = ("postgres://", "postgresql://")
REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
NOTICE_OPTION = "-c cachecontrol.tell=on"
"""See ``cachecontrol.postgres.sessions``, which cannot be imported while the settings are read."""
BROKER_PATIENCE = {"socket_connect_timeout": 2.0, "socket_timeout": 5.0}
"""Timeouts in seconds. A process does not react to signals while it waits for a broker that hangs."""
QUOTING = "Write / ? # @ % & and : in a password as %2F %3F %23 %40 %25 %26 and %3A."
PRODUCTION = ("SECRET_KEY", "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS", "BEHIND_PROXY")
"""Variables that no local checkout needs: one that is set says that this is production."""
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

    def proxy_header(self, var: str) -> tuple[str, str] | None:
        """Return the header in which a proxy says that a visitor came by HTTPS, as Django wants it, and its value.

        WSGI does not tell ``X_Forwarded_Proto``, which a visitor may send, from ``X-Forwarded-Proto``, which the proxy
        replaces. ``Forwarded`` (RFC 7239) has no second spelling. Another header has to be named.
        """
        text = str(self.get_value(var, default="off"))
        if text.lower() in WORDS:
            return ("HTTP_FORWARDED", "proto=https") if WORDS[text.lower()] else None
        if not re.fullmatch(r"[A-Za-z]+(-[A-Za-z]+)*", text):
            raise ImproperlyConfigured(
                f"{var} must be on, off or the name of a header such as X-Forwarded-Proto, not “{text}”."
            )
        return f"HTTP_{text.upper().replace('-', '_')}", "https"


def is_local() -> bool:
    """Whether this is a local checkout: LOCAL says it, and without LOCAL that no variable of production is set."""
    return bool(Env().bool("LOCAL", default=not _production_variables()))


def require_local(missing: str) -> None:
    """Refuse to go on without the variable ``missing`` in production: embedded servers must not answer there."""
    if is_local():
        return
    switch = "LOCAL=0" if os.environ.get("LOCAL", "").strip() else " and ".join(_production_variables())
    raise ImproperlyConfigured(
        f"{missing} is missing, and production is switched on by {switch}: no server is embedded there."
        " Quote the value if it holds an &, or set LOCAL=1 in a local checkout."
    )


def _production_variables() -> list[str]:
    return [name for name in PRODUCTION if os.environ.get(name, "").strip()]


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
        raise ImproperlyConfigured(f"DATABASE_URL cannot be read: {_reason(error, url)}") from None
    if not all(port.isdecimal() for port in str(parts.get("port", "")).split(",") if port):
        raise ImproperlyConfigured(f"DATABASE_URL: the port is not a number. {QUOTING}")
    if "@" in str(parts.get("host", "")).partition("/")[0][1:]:  # at its head it names an abstract socket
        raise ImproperlyConfigured(f"DATABASE_URL: the host holds an @. {QUOTING}")
    if not behind_pooler:
        parts["options"] = f"{parts.get('options', '')} {NOTICE_OPTION}".strip()
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


def redis(url: str, *, variable: str = "REDIS_URL") -> str:
    """Return a Redis URL that begins as redis-py wants it, and that redis-py can read."""
    if not url.startswith(REDIS_SCHEMES):
        raise ImproperlyConfigured(
            f"{variable} must look like redis://:password@host:6379/0 or unix:///path/to/socket."
        )
    try:
        Redis.from_url(url).close()  # nothing is asked yet
    except ValueError as error:
        raise ImproperlyConfigured(f"{variable}: {_reason(error, url)}") from None
    if "@" in url and "@" not in urlsplit(url).netloc + urlsplit(url).path:
        raise ImproperlyConfigured(f"{variable}: the host is missing. {QUOTING}")
    return url


def _reason(error: Exception, url: str) -> str:
    """Return what is wrong with a URL; values are left out where they may be parts of a password."""
    reason = str(error).strip().rstrip(".")
    if "@" not in url and "password" not in url:
        return f"{reason}."
    bare = re.sub(r"""(["']).*\1""", "…", reason)
    return f"{bare}. {QUOTING}"


def broker(url: str, *, database: int | None = None) -> tuple[str, dict[str, Any]]:
    """Return Celery's URL and transport options for the server of a Redis URL.

    They keep the credentials, the options and the certificate verification of the URL. ``database`` replaces the number of
    the URL's database.
    """
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    number = options.get("db", 0) if database is None else database
    names = (quote(options.get(name, ""), safe="") for name in ("username", "password"))
    login = f"{credentials}@" if (credentials := ":".join(names)) != ":" else ""
    given = {name: value for name, value in options.items() if name in Channel.from_transport_options}
    broker_options = BROKER_PATIENCE | given
    if "path" in options:
        return f"redis+socket://{login}{quote(options['path'])}?virtual_host={number}", broker_options
    host = options.get("host", "localhost")
    address = f"{f'[{host}]' if ':' in host else host}:{options.get('port', 6379)}"
    if not url.startswith("rediss://"):
        return f"redis://{login}{address}/{number}", broker_options
    tls = {"ssl_cert_reqs": "required"} | {n: v for n, v in options.items() if n.startswith("ssl_")}
    return f"rediss://{login}{address}/{number}?{urlencode(tls)}", broker_options


def broker_of(url: str, *, redis_url: str) -> tuple[str, dict[str, Any]]:
    """Return ``broker`` of BROKER_URL or, if it is empty, of database 1 of the cache's Redis.

    That is another database than the cache's, so that flushing the cache drops no task.
    """
    if not url:
        return broker(redis_url, database=1)
    return broker(redis(url, variable="BROKER_URL")) if url.startswith(REDIS_SCHEMES) else (url, {})


def secret_key(file: Path) -> str:
    """Return the key kept in a file that only its owner can read, made at first."""
    if not file.exists():
        make_folder(file.parent)
        new = file.with_suffix(f".{secrets.token_hex(4)}")
        new.touch(mode=0o600)
        new.write_text(secrets.token_urlsafe(50))
        with suppress(FileExistsError):
            os.link(new, file)  # two processes may come here at once: the first one's key counts
        new.unlink()
    return file.read_text()
