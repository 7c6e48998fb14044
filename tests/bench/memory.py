"""How much a web process grows by serving many pages: the production server's worker, asked over HTTP."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import psutil

from tests.bench.goods import SHELVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MEGABYTES_BAR = 20.0
CLIENTS = 4


def measure(*, pages: int) -> float:
    """Megabytes that the resident memory of one web process grows by while it serves that many distinct pages."""
    with _server() as (port, server):
        _ask(port, range(200))  # imports, templates and connections
        (worker,) = server.children()
        before = worker.memory_info().rss
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(
                clients.map(
                    partial(_ask, port), (range(200 + n, 200 + pages, CLIENTS) for n in range(CLIENTS))
                )
            )
        return (worker.memory_info().rss - before) / 2**20


def _ask(port: int, numbers: Iterable[int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for number in numbers:
        connection.request(
            "GET", f"/larder/{number % SHELVES + 1}/?n={number}", headers={"Accept-Encoding": "gzip"}
        )
        response = connection.getresponse()
        response.read()
        assert response.status == 200, response.status
    connection.close()


@contextmanager
def _server() -> Iterator[tuple[int, psutil.Process]]:
    """Granian with one worker, as in the Procfile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = [
        "--interface",
        "wsgi",
        "--port",
        str(port),
        "--workers",
        "1",
        "--blocking-threads",
        "4",
        "--no-ws",
    ]
    command = [
        sys.executable,
        "-m",
        "granian",
        *options,
        "--log-level",
        "warning",
        "tests.bench.wsgi:application",
    ]
    process = subprocess.Popen(command, env=os.environ.copy())
    try:
        _await(port)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            return _ask(port, [0])
        except OSError:
            assert time.monotonic() < deadline, "the web server did not start"
            time.sleep(0.1)
