"""Local servers: started by the first process that needs them, stopped soon after the last one ended.

Each process that uses the servers of a folder holds a shared lock there until it ends, however it ends. A
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
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from project.local.folders import BASE_DIR, VAR, make_folder
from project.local.locks import open_lock, try_lock
from project.local.postgres import Postgres
from project.local.processes import alive, end
from project.local.valkey import Valkey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Server: TypeAlias = Postgres | Valkey

GRACE = 3.0
"""Seconds without a user before the watcher stops the servers."""

_held: dict[Path, int] = {}  # locks of this process, kept open until it ends


def use(servers: Sequence[Server], *, home: Path = VAR, remove: bool = False) -> None:
    """Start the servers that do not run, and keep them running until this process ends.

    ``remove`` deletes ``home`` after the last user. Safe to call from many processes at once.
    """
    if not servers:
        return
    make_folder(home)
    with _locked(home):
        for server in servers:
            server.start()
        if home not in _held:
            _held[home] = open_lock(home / "users.lock")
            fcntl.flock(_held[home], fcntl.LOCK_SH)
        _watch(home, remove=remove)


def release(home: Path = VAR) -> bool:
    """Give up this process' use; stop the servers now if it was the last; return whether they stopped."""
    if home in _held:
        os.close(_held.pop(home))
    return stop(home, if_unused=True)


def stop(home: Path = VAR, *, if_unused: bool = False) -> bool:
    """Stop all servers under ``home``, unless ``if_unused`` and they are used; return whether they stopped."""
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


def servers_in(home: Path) -> list[Server]:
    """Return the servers that have files under ``home``."""
    return [*map(Postgres, home.glob("postgres*")), *map(Valkey, home.glob("valkey*"))]


def _watch(home: Path, *, remove: bool) -> None:
    """Start a watcher in a session of its own, unless there is one; it inherits the lock that says so."""
    lock = open_lock(home / "watcher.lock")
    try:
        if not try_lock(lock):
            return
        pids = [str(pid) for server in servers_in(home) if (pid := server.pid())]
        arguments = [str(home), str(lock), str(int(remove)), *pids]
        quiet = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        subprocess.run(  # type: ignore[call-overload]
            [sys.executable, "-m", "project.local.services", *arguments],
            check=True,
            cwd=BASE_DIR,
            start_new_session=True,
            pass_fds=[lock],
            **quiet,
        )
    finally:
        os.close(lock)


def _watcher(home: Path, lock: int, *, remove: bool, pids: set[int]) -> None:
    """Wait until no process has used the servers for ``GRACE`` seconds, then stop them.

    1. While a process holds the users' lock, wait.
    2. After the grace, stop the servers and give up the watcher's lock, both under the lock of services: a process that
       comes meanwhile then starts the servers again, and another watcher.
    3. If ``home`` is deleted under running servers, end them: their files are lost.
    """
    since = time.monotonic()
    with suppress(FileNotFoundError):
        while (home / "watcher.lock").exists():
            running = {pid for server in servers_in(home) if (pid := server.pid())}
            pids = running | set(
                filter(alive, pids)
            )  # a folder that is being deleted names fewer and fewer of them
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
        return try_lock(users)
    finally:
        os.close(users)


@contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Hold the lock under which servers start and stop."""
    lock = open_lock(home / "services.lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


if __name__ == "__main__" and os.fork() == 0:  # nobody waits for the watcher: it is nobody's child
    _home, _lock, _remove, *_pids = sys.argv[1:]
    _watcher(Path(_home), int(_lock), remove=_remove == "1", pids=set(map(int, _pids)))
