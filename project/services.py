"""Local services: started by the first process that needs them, stopped soon after the last one ended.

Each process that uses the services of a folder holds a shared lock there until it ends, however it ends. A
watcher sees when the last lock is gone and stops them: neither Ctrl-C nor ``kill -9`` leaves anything behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from project.processes import alive, end

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from project.embedded import Postgres, Valkey

    Servers = Sequence[Postgres | Valkey]

BASE_DIR = Path(__file__).resolve().parent.parent
VAR = BASE_DIR / "var"
GRACE = 3.0  # seconds without a user before the watcher stops the services

_held: dict[Path, int] = {}  # locks of this process, kept open until it ends


@dataclass(frozen=True)
class Urls:
    """Where the database and Redis are, and which of the two are ours to start."""

    database: str
    redis: str
    embedded: tuple[Postgres | Valkey, ...]


def urls() -> Urls:
    """Return the URLs in the environment, or in a local checkout of the embedded services; start nothing."""
    from project import environment
    from project.embedded import Postgres, Valkey

    postgres, valkey = Postgres(VAR / "postgres"), Valkey(VAR / "valkey")
    database, redis = (os.environ.get(name, "").strip() for name in ("DATABASE_URL", "REDIS_URL"))
    if not (database and redis):
        environment.require_local("REDIS_URL" if database else "DATABASE_URL")
    embedded = [server for server, url in ((postgres, database), (valkey, redis)) if not url]
    return Urls(database or postgres.url, redis or valkey.url, tuple(embedded))


def use(
    servers: Sequence[Postgres | Valkey] | None = None, *, home: Path = VAR, remove: bool = False
) -> None:
    """Start the servers that do not run, and keep them running until this process ends.

    Without ``servers``: the embedded ones of this checkout, if the environment names no others. ``remove``
    deletes ``home`` after the last user. Safe to call from many processes at once.
    """
    servers = urls().embedded if servers is None else servers
    if not servers:
        return
    make_folder(home)
    with _locked(home):
        for server in servers:
            server.start()
        if home not in _held:
            _held[home] = _open(home / "users.lock")
            fcntl.flock(_held[home], fcntl.LOCK_SH)
        _watch(home, remove=remove)


def release(home: Path = VAR) -> bool:
    """Give up this process' use; stop the services now if it was the last; return whether they stopped."""
    if home in _held:
        os.close(_held.pop(home))
    return stop(home, if_unused=True)


def stop(home: Path = VAR, *, if_unused: bool = False) -> bool:
    """Stop all servers under ``home``, unless ``if_unused`` and they are used; return whether stopped."""
    if not home.exists():
        return False
    with _locked(home):
        if if_unused and not _unused(home):
            return False
        for server in servers_in(home):
            server.stop()
        return True


def remove(home: Path = VAR) -> None:
    """Delete the files of the stopped servers under ``home``, wherever they are, with all their data."""
    for server in servers_in(home):
        server.remove()


def make_folder(home: Path) -> None:
    """Make the folder, passable whatever the umask: root's PostgreSQL runs as another user."""
    if not home.exists():
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o755)


def servers_in(home: Path) -> list[Postgres | Valkey]:
    """Return the servers that have files under ``home``."""
    from project.embedded import Postgres, Valkey

    return [*map(Postgres, home.glob("postgres*")), *map(Valkey, home.glob("valkey*"))]


def _watch(home: Path, *, remove: bool) -> None:
    """Start a watcher in a session of its own, unless one is there; it inherits the lock that says so."""
    lock = _open(home / "watcher.lock")
    try:
        if not _try(lock, fcntl.LOCK_EX):
            return
        pids = [str(pid) for server in servers_in(home) if (pid := server.pid())]
        command = [sys.executable, "-m", "project.services", str(home), str(lock), str(int(remove)), *pids]
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(  # type: ignore[call-overload]
            command, check=True, cwd=BASE_DIR, start_new_session=True, pass_fds=[lock], **quiet
        )
    finally:
        os.close(lock)


def _watcher(home: Path, lock: int, *, remove: bool, pids: set[int]) -> None:
    """Wait until nobody has used the services for ``GRACE`` seconds, then stop them.

    1. While somebody holds the users' lock, wait.
    2. After the grace, stop the servers and give up the watcher's lock in one breath: a process that comes
       meanwhile starts the servers anew, and another watcher.
    3. If ``home`` is deleted under running servers, end them: their files are lost.
    """
    since = time.monotonic()
    with suppress(FileNotFoundError):
        while (home / "watcher.lock").exists():
            running = {pid for server in servers_in(home) if (pid := server.pid())}
            pids = running | set(filter(alive, pids))  # what is being deleted names fewer and fewer of them
            if not _unused(home):
                since = time.monotonic()
            elif (not running or time.monotonic() - since > GRACE) and _retire(home, lock, remove=remove):
                return
            time.sleep(0.25)
    end(list(pids), patience=2)


def _retire(home: Path, lock: int, *, remove: bool) -> bool:
    with _locked(home):
        if not _unused(home):
            return False
        for server in servers_in(home):
            server.stop()
        if remove:
            for server in servers_in(home):
                server.remove()
            shutil.rmtree(home, ignore_errors=True)
        os.close(lock)
        return True


def _unused(home: Path) -> bool:
    """Whether no process holds the users' lock."""
    try:
        users = os.open(home / "users.lock", os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        return _try(users, fcntl.LOCK_EX)
    finally:
        os.close(users)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the lock under which services start and stop."""
    lock = _open(home / "services.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _open(file: Path) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__" and os.fork() == 0:  # nobody waits for the watcher: it is nobody's child
    _home, _lock, _remove, *_pids = sys.argv[1:]
    _watcher(Path(_home), int(_lock), remove=_remove == "1", pids=set(map(int, _pids)))
