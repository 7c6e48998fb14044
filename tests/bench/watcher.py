"""A process that reads as a web process does for its visitors: from its own memory, if that is provably fresh."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING

from cachecontrol.api import local_reads
from cachecontrol.local.tier import tier
from tests.bench.models import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE, PAUSE = 5.0, 0.001
"""Seconds that it waits at most, and seconds between two reads."""
READS = 3
"""Reads after which the memory holds a row."""


class Watcher:
    """Another process, which is told to wait for a price and tells when it has read it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin and process.stdout
        self._sent, self._received = process.stdin, process.stdout

    def expect(self, pk: int, price: Decimal) -> None:
        """Let the process read a row into its memory, and then wait for this price. Returns when it waits."""
        self._sent.write(f"{pk} {price}\n")
        self._sent.flush()
        assert self._received.readline() == "waiting\n"

    def seen(self) -> float:
        """Return when it has read the price, in seconds of the monotonic clock of this machine."""
        return float(self._received.readline())


@contextmanager
def watchers(number: int) -> Iterator[list[Watcher]]:
    """Run so many watchers."""
    command = [sys.executable, "-m", "tests.bench", "watcher"]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(number)]
    try:
        yield [Watcher(process) for process in processes]
    finally:
        for process in processes:
            assert process.stdin
            process.stdin.close()
            process.wait()


def watch() -> None:
    """Be a watcher, until the input ends."""
    for line in sys.stdin:
        pk, price = line.split()
        with local_reads():
            _await_price(int(pk), Decimal(price))
        print(time.monotonic(), flush=True)


def _await_price(pk: int, price: Decimal) -> None:
    _read_until(pk, lambda _: len(tier.store) > 0)
    for _ in range(READS):
        Kept.objects.fetch(pk)
        time.sleep(PAUSE)
    print("waiting", flush=True)
    _read_until(pk, lambda item: item.price == price)


def _read_until(pk: int, is_reached: Callable[[Kept], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_reached(Kept.objects.fetch(pk)):
        assert time.monotonic() < deadline, "the memory of this process never held it"
        time.sleep(PAUSE)
