"""Tables of what was measured, on the terminal and between markers in docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from project.local.folders import BASE_DIR
from tests.bench.http.servers import program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.http.load import Load

    Found = Mapping[tuple[str, int], Load]

PAGE = BASE_DIR / "docs" / "performance.md"
BARS = {"static": 0.5, "cache_page": 20.0}
"""The least that requests a second of Larder may be, as a multiple of another server's."""
CONNECTIONS_OF_BARS = 16
PACKAGES = ("granian", "Django", "django-redis", "django-cachalot", "django-cacheops")


@dataclass(frozen=True)
class Bars:
    """The bars, as text, and whether all of them are kept."""

    text: str
    are_kept: bool


def bars(found: Found) -> Bars:
    """Compare Larder with the servers that have a bar, as far as they were measured."""
    larder = found["larder", CONNECTIONS_OF_BARS].rate
    lines, are_kept = [], True
    for name, bar in BARS.items():
        if (name, CONNECTIONS_OF_BARS) not in found:
            lines.append(f"- `{name}`: not measured.")
            continue
        ratio = larder / found[name, CONNECTIONS_OF_BARS].rate
        are_kept = are_kept and ratio >= bar
        word = "kept" if ratio >= bar else "missed"
        lines.append(
            f"- Larder, requests a second at {CONNECTIONS_OF_BARS} connections: {ratio:.2f} × `{name}`; bar ≥ {bar:g}: {word}."
        )
    return Bars("\n".join(lines), are_kept)


def servers_table(found: Found, memory: Mapping[str, float], names: Mapping[str, str]) -> str:
    """One row for each server and number of connections."""
    rows = [
        ["server", "connections", "requests/s", "p50, ms", "p99, ms", "CPU per request, µs", "memory, MB"]
    ]
    for name, megabytes in memory.items():
        for connections in sorted(number for one, number in found if one == name):
            load = found[name, connections]
            rows.append([names[name], str(connections), *_figures(load), f"{megabytes:.0f}"])
    return table(rows)


def granian_table(hits: Found, misses: Found) -> str:
    """One row for each interface and number of threads."""
    rows = [["interface", "threads", "hits/s", "hit p99, ms", "misses/s", "miss p99, ms"]]
    for key, hit in hits.items():
        miss = misses[key]
        rates = f"{hit.rate:,.0f}", f"{hit.p99 * 1e3:.2f}", f"{miss.rate:,.0f}", f"{miss.p99 * 1e3:.1f}"
        rows.append([*key[0].split(), *rates])
    return table(rows)


def machine() -> str:
    """The machine and the versions of what was measured."""
    info = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", info.read_text()) if info.exists() else []
    names = [f"{name} {version(name)}" for name in PACKAGES]
    if nginx := program("nginx"):
        said = subprocess.run([nginx, "-v"], check=True, capture_output=True, text=True).stderr
        names.append(said.strip().rpartition(": ")[2].replace("/", " "))
    cpu = models[0] if models else platform.machine()
    return f"Machine: {cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, {', '.join(names)}."


def method(size: int, rounds: int, seconds: int) -> str:
    """How it was measured, as sentences."""
    return (
        f"One product page of {size:,} bytes of HTML, uncompressed; one web process each, with the options of the Procfile."
        f" All servers ran at once and took their turn in each of {rounds} rounds of {seconds} s;"
        " the figures are medians of the rounds. wrk, with one thread, PostgreSQL and Valkey share the cores with the servers,"
        " so a fast server is also limited by wrk. CPU and memory are those of the server's own processes, without PostgreSQL,"
        " Valkey, the drain process and, for `proxy_cache`, what stands behind it."
    )


def publish(name: str, text: str, *, write: bool) -> None:
    """Print a result, and write it between its markers in the documentation."""
    print(f"\n{text}", flush=True)
    if write:
        PAGE.write_text(between_markers(PAGE.read_text(), name, text))


def between_markers(page: str, name: str, text: str) -> str:
    """Return the page with the text between the markers of this name.

    Raises:
        ValueError: if the page lacks the markers.
    """
    begin, end = f"<!-- measured {name} -->\n", f"\n<!-- end of {name} -->"
    before, inner = page[: page.index(begin)], page[page.index(begin) :]
    return f"{before}{begin}{text}{inner[inner.index(end) :]}"


def _figures(load: Load) -> tuple[str, ...]:
    return (
        f"{load.rate:,.0f}",
        f"{load.p50 * 1e3:.2f}",
        f"{load.p99 * 1e3:.2f}",
        f"{load.cpu * 1e6:,.0f}",
    )


def table(rows: list[list[str]]) -> str:
    head, *body = [f"| {' | '.join(cells)} |" for cells in rows]
    return "\n".join([head, "|---" * len(rows[0]) + "|", *body])
