"""``python -m tests.bench.http [servers|granian] [--quick]``: measure, print, and write the same into docs/performance.md.

``--quick`` measures for a moment only, and writes nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.http.settings")

import django

PROGRAMS = ("nginx", "wrk")
CONNECTIONS = (1, 16, 64)
FULL, QUICK = (200, 5, 3), (20, 1, 1)
"""How many products there are, how many rounds, and seconds of load in each."""
INTERFACES = [("wsgi", 1), ("wsgi", 2), ("wsgi", 4), ("asgi", 1)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.http", description=__doc__)
    parser.add_argument("part", nargs="?", default="all", choices=["all", "servers", "granian"])
    parser.add_argument("--quick", action="store_true", help="measure for a moment only, and write nothing")
    chosen = parser.parse_args()
    from tests.bench.http import servers

    missing = [name for name in PROGRAMS if servers.program(name) is None]
    for name in missing:
        print(f"Skipped: what needs {name}, which is not installed (apt-get install {name})")
    if "wrk" in missing:
        return 0
    django.setup()
    kept = True
    if chosen.part in ("all", "servers"):
        kept = measure_servers(quick=chosen.quick)
    if chosen.part in ("all", "granian"):
        measure_granian(quick=chosen.quick)
    return 0 if kept else 1


def measure_servers(*, quick: bool) -> bool:
    """Compare the servers; whether every bar is kept."""
    from tests.bench.http import contestants, report
    from tests.bench.http.load import compare

    products, rounds, seconds = QUICK if quick else FULL
    contestants.prepare(products)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="larder-nginx-")))
        started, path = contestants.start(stack, folder, products=products)
        size = len(started["bare"].get(path)[0])
        found = compare(started, path, connections=CONNECTIONS, rounds=rounds, seconds=seconds)
        memory = {name: server.memory() for name, server in started.items()}
    table = report.servers_table(found, memory, contestants.NAMES)
    bars = report.bars(found)
    text = f"{report.machine()} {report.method(size, rounds, seconds)}\n\n{table}\n\n{bars.text}"
    report.publish("servers", text, write=not quick)
    return bars.are_kept


def measure_granian(*, quick: bool) -> None:
    """Compare interfaces and numbers of threads of granian."""
    from tests.bench.http import contestants, report
    from tests.bench.http.load import compare
    from tests.bench.http.servers import django as granian
    from tests.bench.http.servers import drain

    products, rounds, seconds = QUICK if quick else FULL
    contestants.prepare(products)
    with ExitStack() as stack:
        stack.enter_context(drain())
        started = {
            f"{interface} {threads}": stack.enter_context(
                granian("larder", interface=interface, threads=threads)
            )
            for interface, threads in INTERFACES
        }
        path = contestants.choose(next(iter(started.values())), of=products)
        for server in started.values():
            contestants.warm(server, path, contestants.HITS["larder"])
        ask = partial(compare, started, connections=[16], rounds=rounds, seconds=seconds)
        hits, misses = ask(path), ask(path.replace("/p/", "/miss/"), is_new=True)
    report.publish("granian", report.granian_table(hits, misses), write=not quick)


if __name__ == "__main__":
    sys.exit(main())
