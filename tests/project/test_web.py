"""The web process over its socket: whom it believes, and how it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from project import readiness
from project.local.folders import BASE_DIR
from project.local.processes import PATIENCE
from tests.patience import LONG
from tests.ports import reserved_port
from tests.product import Program, environment, listens, running, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = """
import time
from project import endpoints

def start():
    print("loading", flush=True)
    time.sleep(600)

endpoints.start = start
from project.wsgi import application
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with reserved_port() as port:
        yield port


@pytest.fixture(scope="module")
def web(django_db_setup: None, folder: Path, port: int) -> Iterator[Program]:
    with running("web", folder, PORT=str(port)) as program:
        until(lambda: listens(port), program)
        yield program


def send(port: int, *lines: str, body: str = "") -> socket.socket:
    """Send a request as it is written, and leave the connection open."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=LONG)
    connection.sendall("\r\n".join(lines).encode() + body.encode())
    return connection


def scheme(port: int, *headers: str) -> str:
    """Return the scheme that Django takes a visitor with these headers to have come by."""
    lines = "GET /livez/scheme/ HTTP/1.1", "Host: shop.example", "Connection: close", *headers, "", ""
    with send(port, *lines) as connection:
        status, _, rest = connection.makefile("rb").read().partition(b"\r\n")
    if b" 301 " in status:  # to HTTPS
        return "http"
    assert b" 200 " in status
    return rest.rpartition(b"\r\n\r\n")[2].decode()


@pytest.mark.parametrize(
    ("headers", "scheme_seen"),
    [
        ((), "http"),
        (("Forwarded: proto=https",), "https"),
        (("Forwarded: proto=http",), "http"),
        (("X-Forwarded-Proto: https",), "http"),
        (("X_Forwarded_Proto: https",), "http"),
        (("Forwarded: proto=http", "X_Forwarded_Proto: https"), "http"),
        (("Forwarded: proto=http", "HTTP_FORWARDED: proto=https"), "http"),
        (("Forwarded: proto=http", "_Forwarded: proto=https", "Forwarded_: proto=https"), "http"),
    ],
)
def test_only_the_header_that_has_one_spelling_says_how_a_visitor_came(
    web: Program, port: int, headers: tuple[str, ...], scheme_seen: str
) -> None:
    assert scheme(port, *headers) == scheme_seen


def test_orchestrators_need_not_come_by_https(web: Program, port: int) -> None:
    for path, status in (("/livez", b"200"), ("/readyz", b"200"), ("/", b"301")):
        with send(
            port, f"GET {path} HTTP/1.1", "Host: shop.example", "Connection: close", "", ""
        ) as connection:
            assert connection.makefile("rb").readline().split()[1] == status


def test_requests_that_are_sent_by_half_do_not_hold_up_the_end(django_db_setup: None, folder: Path) -> None:
    with reserved_port() as port, running("web", folder, PORT=str(port)) as program:
        until(lambda: listens(port), program)
        head = "POST /admin/login/ HTTP/1.1", "Host: shop.example"
        with send(port, *head), send(port, *head, "Content-Length: 500", "", "", body="username=ad"):
            assert listens(port), "both lie before it"
            assert program.stop() < PATIENCE


def test_a_worker_that_still_loads_the_application_ends_at_once(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    variables = environment(DATABASE_URL="postgres://localhost/none", PYTHONPATH=f"{tmp_path}:{BASE_DIR}")
    command = [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--port",
        "0",
        "--blocking-threads",
        "1",
    ]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "slow:application"],
            env=variables,
            cwd=BASE_DIR,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        until(lambda: "loading" in (tmp_path / "log").read_text())
        began = time.monotonic()
        process.terminate()
        process.wait(timeout=PATIENCE)
        assert time.monotonic() - began < PATIENCE
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_worker_that_waits_for_a_broker_that_hangs_ends_soon(django_db_setup: None, folder: Path) -> None:
    with socket.socket() as hung:
        hung.bind(("127.0.0.1", 0))
        hung.listen()
        hung.settimeout(LONG)
        url = f"redis://127.0.0.1:{hung.getsockname()[1]}"
        with running("worker", folder, BROKER_URL=url) as program:
            first, _ = hung.accept()
            assert program.stop() < PATIENCE
            first.close()


def test_a_port_on_which_something_else_answers_cannot_serve() -> None:
    def speak_another_protocol(listener: socket.socket) -> None:
        with listener.accept()[0] as visitor:
            visitor.recv(1000)
            visitor.sendall(b"-ERR unknown command\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        spoken = pool.submit(speak_another_protocol, listener)
        assert not readiness.answers("127.0.0.1", listener.getsockname()[1], path="/readyz")
        spoken.result()
