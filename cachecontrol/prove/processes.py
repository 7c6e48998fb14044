"""The cast: the real processes that are proven, and what they report."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from cachecontrol.prove import messages, mutations, process_main

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path


SETTINGS = "project.proving"
REPLICA = "LARDER_PROVE_REPLICA"


@contextmanager
def standing_still(pid: int) -> Iterator[None]:
    """SIGSTOP, and SIGCONT at the end of the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@dataclass(slots=True)
class Processes:
    """Starts, kills and hears the processes.

    ``hear`` gets each report, from several threads; ``tell`` the pid of each process as it starts and as it ends.
    """

    folder: Path
    """Where links to Redis' socket lie, and the logs."""
    store: str
    seed: int
    max_lag: float
    rule: str
    hear: Callable[[dict[str, Any]], None]
    tell: Callable[[int], None]
    readers: int = 3
    writers: int = 2
    reader_pause: float = 0.002
    writer_pause: float = 0.15
    replica: str = ""
    """The URL of the replica that all but the writers read from as well; empty: there is none."""
    port: int = 0
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _place: socket.socket = field(default_factory=socket.socket)
    """Bound to the port and never listening: it keeps the port for the web server, also while that is dead."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def begin(self) -> None:
        """Start everybody but the readers and writers."""
        self._place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._place.bind(("127.0.0.1", 0))
        self.port = self._place.getsockname()[1]
        self.start("drain")
        self.start("web")
        if not self.rule:  # jobs follow every rule: their repairs would hide what is broken
            self.start("worker")
        self._await_web()

    def act(self) -> None:
        """Start the readers and writers."""
        for name in self.named("writer") + self.named("reader"):
            self.start(name)

    def named(self, kind: str) -> list[str]:
        count = self.writers if kind == "writer" else self.readers
        return [f"{kind}{number}" for number in range(count)]

    def run(self, role: str) -> None:
        """Run a short task of the entry module to its end. Raises CalledProcessError."""
        subprocess.run(
            [sys.executable, "-m", process_main.__name__, role], env=self._environ(role), check=True
        )

    def start(self, name: str, *, pause: float = 0.0, shift: float = 0.0) -> None:
        """Start a process by name."""
        environ = self._environ(name) | {process_main.PAUSE: str(pause), process_main.SHIFT: str(shift)}
        told = name.startswith(("reader", "writer"))
        with self._lock, (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(name),
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if told else log,
                stderr=log,
                start_new_session=True,
            )
            self.processes[name] = process
            self.tell(process.pid)
        if told:
            threading.Thread(target=self._listen, args=(process,), name=name, daemon=True).start()

    def kill(self, name: str) -> None:
        """kill -9, with everything it started."""
        with self._lock:
            process = self.processes.pop(name, None)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.tell(process.pid)

    def kill_worker(self, chance: random.Random) -> None:
        """kill -9 of one worker of the web server, which starts another."""
        workers = psutil.Process(self.processes["web"].pid).children()
        if workers:
            with suppress(psutil.NoSuchProcess):
                chance.choice(workers).kill()

    def standing_still(self, name: str) -> AbstractContextManager[None]:
        """Let a process stand still within this block."""
        return standing_still(self.processes[name].pid)

    def cut(self, name: str) -> None:
        """Take a process' way to Redis. Only a socket of the file system has one of its own."""
        self._link(name).unlink(missing_ok=True)

    def heal(self, name: str) -> None:
        parts = urlsplit(self.store)
        if parts.scheme == "unix" and not self._link(name).is_symlink():
            self._link(name).symlink_to(parts.path)

    def end(self) -> None:
        """Kill everybody."""
        for name in list(self.processes):
            self.kill(name)
        self._place.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        for said in messages.hear(process.stdout):
            self.hear(said)

    def _link(self, name: str) -> Path:
        return self.folder / f"{name}.sock"

    def _environ(self, name: str) -> dict[str, str]:
        self.heal(name)
        parts = urlsplit(self.store)
        url = self.store
        if parts.scheme == "unix":
            url = f"unix://{self._link(name)}?{parts.query}&client_name={name}"
        said = {"DJANGO_SETTINGS_MODULE": SETTINGS, "REDIS_URL": url, mutations.VARIABLE: self.rule}
        if not name.startswith("writer"):
            said[REPLICA] = self.replica
        return os.environ | said | {"LOG_LEVEL": "ERROR", "LARDER_PROVE_MAX_LAG": str(self.max_lag)}

    def _command(self, name: str) -> list[str]:
        if name == "web":
            options = [
                "--interface",
                "wsgi",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--workers",
                "2",
            ]
            options += [
                "--blocking-threads",
                "4",
                "--respawn-failed-workers",
                "--no-ws",
                "--log-level",
                "error",
            ]
            return [sys.executable, "-m", "granian", *options, "cachecontrol.prove.wsgi:application"]
        if name == "worker":
            options = ["worker", "--beat", "--schedule", str(self.folder / "schedule"), "--concurrency", "1"]
            return [sys.executable, "-m", "celery", "--app", "project.celery", "--quiet", *options]
        role = name.rstrip("0123456789")
        command = [sys.executable, "-m", process_main.__name__, role]
        if role == "drain":
            return command
        pause = self.reader_pause if role == "reader" else self.writer_pause
        return [*command, name.removeprefix(role), str(self.seed), str(self.port), str(pause)]

    def _await_web(self) -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        raise TimeoutError("the web server did not start")
