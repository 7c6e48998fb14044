"""``python -m tests.bench [--quick]``: measure, print, and write the same to ``var/bench.json``."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.bench.settings")

import django
from django.core.management import call_command

from project.local.folders import VAR, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.bench.measure import Measured

PEERS = ("cachalot", "cacheops")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    helpers = ["drain", "peer", "reader", "watcher"]
    parser.add_argument("part", nargs="?", default="all", choices=["all", *helpers, *PARTS])
    parser.add_argument("--library", default="", help="what the part reader reads through")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see where one stands")
    chosen = parser.parse_args()
    django.setup()
    if chosen.part == "drain":
        call_command("drain")
    elif chosen.part == "watcher":
        from tests.bench.watcher import watch

        watch()
    elif chosen.part == "reader":
        from tests.bench.readers import serve

        serve(chosen.library)
    elif chosen.part == "peer":
        print(json.dumps(_peer_save()))
    else:
        sys.exit(_measure([*PARTS] if chosen.part == "all" else [chosen.part], 10 if chosen.quick else 1))


def _measure(parts: list[str], divisor: int) -> int:
    """Print and write what was measured; 1 if a bar was missed."""
    from tests.bench import goods

    call_command("migrate", run_syncdb=True, verbosity=0)
    goods.load()
    found = [measured for part in parts for measured in PARTS[part](divisor)]
    make_folder(VAR)
    report = {m.name: {"median": m.median, "ratio": m.ratio, "bar": m.bar} for m in found}
    (VAR / "bench.json").write_text(json.dumps(report, indent=1) + "\n")
    missed = [measured.name for measured in found if not measured.is_kept]
    print(f"\nMissed: {', '.join(missed)}" if missed else "\nEvery bar is kept.")
    return len(missed) > 0


def _print(found: Iterable[Measured]) -> list[Measured]:
    found = list(found)
    for measured in found:
        ratio = "" if measured.ratio is None else f"{measured.ratio:8.2f} ×"
        bar = (
            ""
            if measured.bar is None
            else f"   {'kept' if measured.is_kept else 'MISSED'} (bar {measured.bar:g})"
        )
        print(f"{measured.name:<44}{_quantity(measured):>12}{ratio:>11}{bar}", flush=True)
    return found


def _quantity(measured: Measured) -> str:
    if measured.name.endswith("% of misses"):
        return f"{measured.median:.2f} %"
    if measured.name.endswith("MB"):
        return f"{measured.median:.1f} MB"
    return f"{measured.median * 1e6:,.0f} µs"


def _pages(divisor: int) -> list[Measured]:
    from tests.bench import pages

    print("\nPages, beside Django's cache_page on django-redis")
    return _print(pages.measure(rounds=1500 // divisor))


def _misses(divisor: int) -> list[Measured]:
    from tests.bench import misses

    print("\nMisses of the shop's pages, beside the same pages without the cache")
    return _print(misses.measure())


def _queries(divisor: int) -> list[Measured]:
    from tests.bench import queries

    print("\nQuerysets, beside cachalot and cacheops; and a small query that is missed")
    return _print(queries.measure(rounds=1500 // divisor))


def _writes(divisor: int) -> list[Measured]:
    from tests.bench import writes

    print("\nWrites, beside the same without triggers")
    return _print(writes.measure(rounds=1000 // divisor))


def _peers(divisor: int) -> list[Measured]:
    from tests.bench.measure import Measured

    print("\nA save with other libraries, for context: beside the same uncached")
    found = []
    for peer in PEERS:
        command = [sys.executable, "-m", "tests.bench", "peer"]
        environ = os.environ | {"BENCH_PEER": peer}
        process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        if process.returncode:
            print(f"{peer} does not run here: {process.stderr.strip().splitlines()[-1:]}")
            continue
        median, ratio = json.loads(process.stdout.splitlines()[-1])
        found.append(Measured(f"save with {peer}", median, ratio))
    return _print(found)


def _peer_save() -> tuple[float, float]:
    """Seconds of a save under the library that the settings put in our place, and the ratio to one without."""
    from tests.bench import peers

    return peers.measure(rounds=500)


def _delay(divisor: int) -> list[Measured]:
    from tests.bench import delay

    print("\nDelays, with the drain process running")
    return _print(delay.measure(writes=1000 // divisor))


def _memory(divisor: int) -> list[Measured]:
    from tests.bench import memory
    from tests.bench.measure import Measured

    pages = 10_000 // divisor
    print("\nMemory of a web process")
    return _print(
        [Measured(f"grown by {pages} pages, MB", memory.measure(pages=pages), None, memory.MEGABYTES_BAR)]
    )


def _hit_rates(divisor: int) -> list[Measured]:
    from tests.bench import rates

    print("\nHit rates, with one write in a hundred reads")
    return _print(rates.measure(reads=20_000 // divisor))


def _idle(divisor: int) -> list[Measured]:
    from tests.bench import idle

    print("\nDrains that find nothing, with few and with many tracked tables")
    return _print(idle.measure(rounds=1000 // divisor, seconds=20 / divisor))


PARTS = {
    "pages": _pages,
    "misses": _misses,
    "queries": _queries,
    "writes": _writes,
    "peers": _peers,
    "delay": _delay,
    "memory": _memory,
    "rates": _hit_rates,
    "idle": _idle,
}

if __name__ == "__main__":
    main()
