"""The proven processes: starts, kills and suspends them, and receives their messages."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from cachecontrol.prove import messages, process_main

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cachecontrol.prove.environment import ProcessEnvironment
    from cachecontrol.prove.installation import Installation

WEB_STARTS = 300.0
"""Seconds within which the web server has to accept connections."""
LONGEST_LOG = 2000
"""Characters of a log that an error shows."""
WEB_OPTIONS = (
    *("--interface", "wsgi", "--host", "127.0.0.1", "--workers", "2", "--blocking-threads", "4"),
    *("--respawn-failed-workers", "--no-ws", "--log-level", "error"),
)
WEB_APPLICATION = "cachecontrol.prove.wsgi:application"


@contextmanager
def suspended(pid: int) -> Iterator[None]:
    """Suspend a process within this block (SIGSTOP, and SIGCONT at its end)."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@dataclass(slots=True, kw_only=True)
class Processes:
    """The processes of a proof by name: ``drain``, ``web``, ``worker``, ``writer0``, ``reader0`` and so on."""

    installation: Installation
    folder: Path
    """Holds the processes' logs, and their links to the socket of Redis."""
    seed: int
    environment: ProcessEnvironment
    """Of every process, with a Redis URL of its own. Writers know no replica."""
    receive: Callable[[dict[str, Any]], None]
    """Is called with each message, from several threads."""
    readers: int = 3
    burst: int = 1
    """Pages that a reader requests at once."""
    writers: int = 2
    reader_pause: float = 0.002
    """Seconds between two reads of a reader on average."""
    writer_pause: float = 0.15
    """Seconds between two writes of a writer on average."""
    port: int = 0
    """Where the web server listens, once it was started."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _reserved: socket.socket = field(default_factory=socket.socket)
    """Is bound to the port and does not listen, so that no other program takes the port while the web server is away."""
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def start_servers(self) -> None:
        """Start the drain process, the web server and the Celery worker, and wait for the web server.

        No worker runs while a rule is switched off: its jobs follow all rules and would repair the effects.
        """
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port = self._reserved.getsockname()[1]
        self.start("drain")
        self.start("web")
        if self.installation.celery_app and not self.environment.rule:
            self.start("worker")
        self._await_web()

    def start_clients(self) -> None:
        """Start the writers and readers."""
        for name in self.named("writer") + self.named("reader"):
            self.start(name)

    def named(self, role: str) -> list[str]:
        """Return the names of the writers or of the readers."""
        count = self.writers if role == "writer" else self.readers
        return [f"{role}{number}" for number in range(count)]

    def run(self, role: str) -> None:
        """Run a role that ends by itself (``migrate`` or ``load``). Raises CalledProcessError."""
        command = [sys.executable, "-m", process_main.__name__, role]
        subprocess.run(command, env=self._variables(role, self.environment), check=True)

    def start(self, name: str, **changes: float) -> None:
        """Start a process. ``changes`` are fields of its environment, such as ``clock_shift``."""
        variables = self._variables(name, replace(self.environment, **changes))  # type: ignore[arg-type]
        is_client = name.startswith(("reader", "writer"))
        with self._lock, (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self._command(name),
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if is_client else log,
                stderr=log,
                start_new_session=True,
            )
            self._running[name] = process
            self.installation.watch(process.pid)
        if is_client:
            threading.Thread(target=self._listen, args=(process,), name=name, daemon=True).start()

    def kill(self, name: str) -> None:
        """Kill a process and all that it started (SIGKILL)."""
        with self._lock:
            process = self._running.pop(name, None)
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            self.installation.watch(process.pid)

    def restart(self, name: str, **changes: float) -> None:
        """Kill a process and start it again, with these changes of its environment."""
        self.kill(name)
        self.start(name, **changes)

    def is_running(self, name: str) -> bool:
        """Whether a process was started and not killed."""
        return name in self._running

    def kill_web_worker(self, rng: random.Random) -> None:
        """Kill one worker of the web server, which starts another."""
        if pid := self.web_worker(rng):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def web_worker(self, rng: random.Random) -> int | None:
        """Return the process id of one worker of the web server; None if it has none now."""
        workers = psutil.Process(self._running["web"].pid).children()
        return rng.choice(workers).pid if workers else None

    def suspended(self, name: str) -> AbstractContextManager[None]:
        """Suspend a process within a block."""
        return suspended(self._running[name].pid)

    def cut_off(self, name: str) -> None:
        """Let a process not reach Redis. Only a socket of the file system can be taken away from one process."""
        self._link(name).unlink(missing_ok=True)

    def reconnect(self, name: str) -> None:
        """Let a process reach Redis."""
        parts = urlsplit(self.installation.redis_url)
        if parts.scheme == "unix" and not self._link(name).is_symlink():
            self._link(name).symlink_to(parts.path)

    def end(self) -> None:
        """Kill all processes."""
        for name in list(self._running):
            self.kill(name)
        self._reserved.close()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        for message in messages.receive(process.stdout):
            self.receive(message)

    def _link(self, name: str) -> Path:
        """Return the process' own link to the socket of Redis."""
        return self.folder / f"{name}.sock"

    def _redis_url(self, name: str) -> str:
        """Return the URL by which a process reaches Redis, and by which Redis knows the process."""
        self.reconnect(name)
        parts = urlsplit(self.installation.redis_url)
        if parts.scheme != "unix":
            return self.installation.redis_url
        return f"unix://{self._link(name)}?{parts.query}&client_name={name}"

    def _variables(self, name: str, environment: ProcessEnvironment) -> dict[str, str]:
        environment = replace(environment, redis_url=self._redis_url(name))
        if name.startswith("writer"):
            environment = replace(environment, replica_url="")
        django = {"DJANGO_SETTINGS_MODULE": self.installation.settings_module, "LOG_LEVEL": "ERROR"}
        return os.environ | django | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment.variables()

    def _command(self, name: str) -> list[str]:
        role = name.rstrip("0123456789")
        entry = [sys.executable, "-m", process_main.__name__, role]
        match role:
            case "web":
                options = [*WEB_OPTIONS, "--port", str(self.port)]
                return [sys.executable, "-m", "granian", *options, WEB_APPLICATION]
            case "worker":
                options = ["--beat", "--schedule", str(self.folder / "schedule"), "--concurrency", "1"]
                app = ["--app", self.installation.celery_app, "--quiet"]
                return [sys.executable, "-m", "celery", *app, "worker", *options]
            case "drain":
                return entry
        command = [*entry, name.removeprefix(role), str(self.seed), str(self.port)]
        if role == "writer":
            return [*command, str(self.writer_pause)]
        return [*command, str(self.reader_pause), str(self.burst)]

    def _await_web(self) -> None:
        deadline = time.monotonic() + WEB_STARTS
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.1)
        log = (self.folder / "web.log").read_text()[-LONGEST_LOG:]
        raise TimeoutError(f"the web server did not start: {log}")
