"""Processes that read through one cache library each, and take turns: so noise of the machine meets all of them alike."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from cachecontrol.api import local_reads, prepare
from tests.bench.goods import GOODS, SHELVES
from tests.bench.models import KeptPart, PeerPart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from django.db.models import QuerySet

PEERS = ("cachalot", "cacheops")
IN_REDIS, IN_MEMORY = "Larder, in Redis", "Larder, in memory"
LIBRARIES = ("uncached", *PEERS, IN_REDIS, IN_MEMORY)
SHAPES = ("get", "get by slug", "fetch", "list of 24", "prepared list of 24", "count")
WARM = 8
"""Reads of everything before the measurement: the memory of a process takes what was asked for several times."""
PAUSE = 0.3
"""Seconds between them, in which the memory follows what moved."""


class Reader:
    """A process that reads as it is told."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin and process.stdout
        self._sent, self._received = process.stdin, process.stdout

    def read(self, shape: str, times: int) -> list[float]:
        """Let the process read, and return the seconds of each read."""
        self._sent.write(f"{times} {shape}\n")
        self._sent.flush()
        seconds: list[float] = json.loads(self._received.readline())
        return seconds


@contextlib.contextmanager
def reader(library: str) -> Iterator[Reader | None]:
    """Run a process that reads through ``library``; None if the library does not run here."""
    peer = library if library in PEERS else ""
    command = [sys.executable, "-m", "tests.bench", "reader", "--library", library]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, env=os.environ | {"BENCH_PEER": peer}, stdin=pipe, stdout=pipe, text=True
    )
    assert process.stdin and process.stdout
    try:
        yield Reader(process) if process.stdout.readline() == "ready\n" else None
    finally:
        process.stdin.close()
        process.wait()


def serve(library: str) -> None:
    """Be such a process, until the input ends."""
    acts = {shape: _act(library, shape) for shape in SHAPES}
    with local_reads() if library == IN_MEMORY else contextlib.nullcontext():
        for _ in range(WARM):
            for act in acts.values():
                _timed(act, SHELVES)
            time.sleep(PAUSE)
        print("ready", flush=True)
        for line in sys.stdin:
            times, _, shape = line.strip().partition(" ")
            print(json.dumps(_timed(acts[shape], int(times))), flush=True)


@prepare
def _prepared_list(shelf: int) -> QuerySet[KeptPart]:
    return KeptPart.objects.filter(shelf=shelf).select_related("maker").order_by("name").cached()[:24]


def _timed(act: Callable[[], object], times: int) -> list[float]:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begun)
    return seconds


def _act(library: str, shape: str) -> Callable[[], object]:
    numbers = itertools.cycle(range(1, SHELVES + 1))
    if library in (IN_REDIS, IN_MEMORY) and shape == "fetch":
        return lambda: KeptPart.objects.fetch(next(numbers) * GOODS)
    if library in (IN_REDIS, IN_MEMORY) and shape == "prepared list of 24":
        return lambda: _prepared_list(next(numbers))

    def parts() -> Any:
        if library in (IN_REDIS, IN_MEMORY):
            return KeptPart.objects.cached()
        return (KeptPart if library == "uncached" else PeerPart)._default_manager.all()

    def a_list() -> object:
        return list(parts().filter(shelf=next(numbers)).select_related("maker").order_by("name")[:24])

    return {
        "get": lambda: parts().get(pk=next(numbers) * GOODS),
        "fetch": lambda: parts().get(pk=next(numbers) * GOODS),
        "get by slug": lambda: parts().get(slug=f"goods-{next(numbers)}"),
        "count": lambda: parts().filter(shelf=next(numbers)).count(),
        "list of 24": a_list,
        "prepared list of 24": a_list,
    }[shape]
