"""Make the next batches in a thread while the database is busy with this one."""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

T = TypeVar("T")
B = TypeVar("B")

DEPTH = 2
WAIT = 0.1


def batches_ahead(items: Iterable[T], *, size: int, of: Callable[[list[T]], B]) -> Iterator[B]:
    """Yield what `of` makes of each list of `size` items, in a thread that stays at most two batches ahead.

    An error of the items is raised here. Who stops early also stops the thread.
    """
    ready: queue.Queue[B | BaseException | None] = queue.Queue(DEPTH)
    stopped = threading.Event()

    def put(value: B | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(value, timeout=WAIT)
                break
            except queue.Full:
                continue

    def make() -> None:
        iterator = iter(items)
        try:
            while not stopped.is_set():
                batch = list(itertools.islice(iterator, size))
                put(of(batch) if batch else None)
                if not batch:
                    return
        except BaseException as error:  # raised again where the batches are used
            put(error)

    thread = threading.Thread(target=make, name="batches-ahead", daemon=True)
    thread.start()
    try:
        while (batch := ready.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        stopped.set()
        thread.join()
