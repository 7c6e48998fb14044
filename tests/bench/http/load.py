"""Load on a server by wrk, and what the server took for it."""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.http.servers import HOST, program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tests.bench.http.servers import Server

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Load:
    """What one server did under load."""

    rate: float
    """Requests a second."""
    p50: float
    """Seconds."""
    p99: float
    """Seconds."""
    cpu: float
    """Seconds of CPU of the server's processes for each request."""


def load(server: Server, path: str, *, connections: int, seconds: int, is_new: bool = False) -> Load:
    """Ask one server for a page as often as it answers; with ``is_new`` for another query string each time.

    Raises:
        AssertionError: if an answer was an error.
    """
    url = f"http://127.0.0.1:{server.port}{path}"
    options = [
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        f"{seconds}s",
        "-s",
        str(SCRIPT),
        "-H",
        f"Host: {HOST}",
    ]
    new = ["--", str(time.monotonic_ns())] if is_new else []
    before = server.cpu()
    said = subprocess.run(
        [str(program("wrk")), *options, url, *new], check=True, capture_output=True, text=True
    ).stdout
    cpu = server.cpu() - before
    counted = json.loads(said.partition("JSON ")[2])
    assert counted["errors"] == 0, f"{url}: {said}"
    requests = max(counted["requests"], 1)
    return Load(requests / counted["seconds"], counted["p50"], counted["p99"], cpu / requests)


def compare(
    servers: Mapping[str, Server],
    path: str,
    *,
    connections: Sequence[int],
    rounds: int,
    seconds: int,
    is_new: bool = False,
) -> dict[tuple[str, int], Load]:
    """Medians of each server, by name and number of connections. In each round all take their turn, and meet the same noise."""
    found: dict[tuple[str, int], list[Load]] = {}
    for _ in range(rounds):
        for number in connections:
            for name, server in servers.items():
                done = load(server, path, connections=number, seconds=seconds, is_new=is_new)
                found.setdefault((name, number), []).append(done)
    return {key: median(loads) for key, loads in found.items()}


def median(loads: Sequence[Load]) -> Load:
    """The median of each figure."""
    return Load(*(statistics.median(figures) for figures in zip(*map(astuple, loads), strict=True)))
