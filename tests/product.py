"""The product's own processes, run for real as the Procfile says, against the database and the Valkey of the tests."""

from __future__ import annotations

import http.client
import os
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from django.db import connection

from project.local.folders import BASE_DIR, VAR
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROCFILE = {
    name.strip(): command.strip()
    for name, _, command in (line.partition(":") for line in (BASE_DIR / "Procfile").read_text().splitlines())
}
SECRET_KEY = "a-secret-key-that-is-long-enough-for-django-and-random-enough-0123456789"
SETTINGS = {
    "DJANGO_SETTINGS_MODULE": "tests.served",
    "SECRET_KEY": SECRET_KEY,
    "ALLOWED_HOSTS": "shop.example",
    "BEHIND_PROXY": "on",
    "WEB_WORKERS": "1",
    "WORKER_CONCURRENCY": "1",
}
FOREIGN = ("LOCAL", "DEBUG", "DJANGO_SETTINGS_MODULE", "DJANGO_ALLOW_ASYNC_UNSAFE", "LARDER_TEST_HOME")


def database_url(*, user: str = "postgres", password: str = "", host: str = "") -> str:
    """Return the URL of the test database; its server asks nobody for a password, and takes any."""
    settings_dict = connection.settings_dict
    login = f"{user}:{quote(password, safe='')}" if password else user
    return f"postgresql://{login}@/{settings_dict['NAME']}?host={quote(host or settings_dict['HOST'])}"


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a production that trusts its proxy and answers to shop.example."""
    environment = {name: value for name, value in os.environ.items() if name not in FOREIGN}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return environment | SETTINGS | {"DATABASE_URL": database_url(), "PATH": path} | variables


@dataclass
class Program:
    """A process that runs, and what it has said so far."""

    process: subprocess.Popen[bytes]
    file: Path

    @property
    def log(self) -> str:
        return self.file.read_text(errors="replace")

    def says(self, text: str) -> None:
        """Wait until the process has said something."""
        until(lambda: text in self.log, self)

    def stop(self) -> float:
        """Ask the process to end; return how many seconds that took."""
        began = time.monotonic()
        self.process.terminate()
        self.process.wait(timeout=LONG)
        return time.monotonic() - began


@contextmanager
def running(command: str, folder: Path, **variables: str) -> Iterator[Program]:
    """Run a program of the Procfile, or another command, until the end of the block."""
    variables = environment(**variables)
    line = PROCFILE.get(command, command)
    file = folder / f"{shlex.split(command)[0].rpartition('/')[2]}-{time.monotonic_ns()}.log"
    with file.open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {line}"],
            cwd=BASE_DIR,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Program(process, file)
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        for schedule in schedules(process.pid):
            schedule.unlink()


def schedules(pid: int) -> list[Path]:
    """Return the files in which a beat process keeps its schedule, as tests.served names them."""
    return [*VAR.glob(f"test-beat-{pid}*")]


def until(holds: Callable[[], object], *programs: Program) -> None:
    """Wait until something holds; fail, with what the programs said, if it never does or one of them ends before."""
    deadline = time.monotonic() + LONG
    while not holds():
        logs = "\n".join(program.log for program in programs)
        assert all(program.process.poll() is None for program in programs), logs
        assert time.monotonic() < deadline, logs
        time.sleep(0.05)


def ask(
    port: int, path: str, *, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, str]:
    """Ask a web process as its proxy would; underscores in the names of headers become hyphens. Return status and body."""
    headers = {"Host": "shop.example", "Forwarded": "proto=https"}
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=LONG)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request(method, path, body=body, headers=headers | named)
        answer = client.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    finally:
        client.close()


def listens(port: int) -> bool:
    """Whether a web process answers there."""
    try:
        return ask(port, "/livez")[0] == 200
    except OSError:
        return False
