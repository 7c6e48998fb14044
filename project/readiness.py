"""What has to be true before the product runs, and how one sees that it does; each failure is one line."""

from __future__ import annotations

import hashlib
import http.client
import os
import secrets
import socket
import time
from errno import ENOSPC
from pathlib import Path

import psutil
import psycopg
import redis
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.db import connection
from django.utils.translation import gettext as _

from cachecontrol.exceptions import StoreDown
from project.local.folders import VAR, make_folder
from project.local.locks import open_lock, try_lock
from project.local.processes import PATIENCE

SHUTDOWN = (
    "57P"  # the class of errors of a PostgreSQL that is going away; one that is not there sends no code
)


def address() -> tuple[str, int]:
    """Return HOST and PORT of the environment, if one can listen there."""
    host, text = os.environ.get("HOST") or "127.0.0.1", os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        raise CommandError(_("PORT must be a number from 1 to 65535, not “%(port)s”.") % {"port": text})
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, int(text)))
        except OSError as error:
            facts = {"host": host, "port": text, "reason": error.strerror}
            message = (
                _("Cannot listen on %(host)s, port %(port)s: %(reason)s. Try: make up PORT=8001") % facts
            )
            raise CommandError(message) from None
    return host, int(text)


def only_one() -> int:
    """Return the lock of this checkout's one run; wait for what is left of a run that was killed."""
    make_folder(VAR)
    lock = open_lock(VAR / "up.lock")
    deadline = time.monotonic() + 2 * PATIENCE
    while not try_lock(lock):
        pid = int(os.pread(lock, 20, 0) or b"0")
        if psutil.pid_exists(pid) or time.monotonic() > deadline:
            raise CommandError(_("Larder already runs from this folder (process %(pid)s).") % {"pid": pid})
        time.sleep(0.1)
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d" % os.getpid(), 0)
    return lock


def require_services() -> None:
    """Ask both services once, so that a wrong URL is one line and not a traceback later."""
    try:
        connection.ensure_connection()
        url = str(settings.CACHES["default"]["LOCATION"])
        redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5).ping()
    except (DatabaseError, redis.RedisError) as error:
        raise CommandError(explain(error) or str(error)) from None


def explain(error: Exception) -> str:
    """Say in one line what is wrong with a service or its folder; empty if the error is about something else."""
    cause = error.__cause__ if isinstance(error, DatabaseError) else error
    reason = {"reason": str(error).partition("\n")[0].rstrip(".")}
    if isinstance(cause, psycopg.OperationalError) and (cause.sqlstate or SHUTDOWN).startswith(SHUTDOWN):
        return _("The database does not answer, see DATABASE_URL: %(reason)s") % reason
    if isinstance(cause, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
        return _("The database is not up to date, run “manage.py migrate”: %(reason)s") % reason
    if isinstance(cause, (redis.RedisError, StoreDown)):
        return _("Redis does not answer, see REDIS_URL: %(reason)s") % reason
    if isinstance(error, OSError) and (error.errno == ENOSPC or str(error.filename).startswith(str(VAR))):
        return f"{error.strerror}: {error.filename or VAR}"
    return ""


def login() -> str:
    """Make the user ``admin`` if there is no superuser, and return the line that says how to log in.

    The password is ADMIN_PASSWORD, or a random one kept in a file; one that was changed since is left alone.
    """
    users = get_user_model().objects
    file, wanted = VAR / "admin-password", os.environ.get("ADMIN_PASSWORD", "")
    if not users.filter(is_superuser=True).exists():
        if not wanted:
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(12))
        users.create_superuser("admin", "admin@localhost", wanted or file.read_text())
    admin = users.filter(username="admin", is_superuser=True).first()
    if admin and wanted and not admin.check_password(wanted):
        admin.set_password(wanted)
        admin.save()
    if admin and wanted:
        return _("admin, with ADMIN_PASSWORD")
    if admin and file.exists() and admin.check_password(file.read_text()):
        return f"admin {file.read_text()}"
    return _("your own superuser and password")


def answers(host: str, port: int, *, path: str = "/admin/login/") -> bool:
    """Whether the web process gives a good answer to who comes through the proxy."""
    client = http.client.HTTPConnection(reachable(host), port, timeout=5)
    try:
        client.request("HEAD", path, headers=_headers())
        return client.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        client.close()


def _headers() -> dict[str, str]:
    """Return what the proxy would send: a host that the site answers to, and that the visitor came by HTTPS."""
    host = (settings.ALLOWED_HOSTS or ["localhost"])[0]
    headers = {"Host": "localhost" if host == "*" else host.removeprefix(".")}
    if settings.SECURE_PROXY_SSL_HEADER:
        name, value = settings.SECURE_PROXY_SSL_HEADER
        headers[name.removeprefix("HTTP_").replace("_", "-")] = value
    return headers


def reachable(host: str) -> str:
    """Return the name under which a browser on this machine reaches what listens on ``host``."""
    return "localhost" if host in {"", "0.0.0.0", "::", "::1", "127.0.0.1"} else host  # noqa: S104 - no bind


def static_state() -> str:
    """Return a digest of all static files' names, sizes and times."""
    digest = hashlib.sha256()
    for finder in get_finders():
        for name, storage in finder.list([]):
            status = Path(storage.path(name)).stat()
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()
