"""Prepares batches in a thread while the database works on an earlier one."""

from __future__ import annotations

import itertools
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Item = TypeVar("Item")
Prepared = TypeVar("Prepared")

QUEUE_SIZE = 2  # batches
PUT_TIMEOUT = 0.1  # seconds until a thread that waits to add a batch looks whether it has to stop


def prefetch_batches(
    items: Iterable[Item], *, size: int, prepare: Callable[[list[Item]], Prepared]
) -> Iterator[Prepared]:
    """Yield the items in batches, each prepared in a thread of its own that stays at most two batches ahead.

    Args:
        items: iterated in the thread. An exception of it is raised here.
        size: the number of items in a batch; the last batch may have fewer.
        prepare: gets the list of items and returns the batch. It runs in the thread.

    Closing the iterator early also stops the thread.
    """
    prefetcher = _Prefetcher(items, size, prepare)
    thread = threading.Thread(target=prefetcher.run, name="prefetch-batches", daemon=True)
    thread.start()
    try:
        while (batch := prefetcher.queue.get()) is not None:
            if isinstance(batch, BaseException):
                raise batch
            yield batch
    finally:
        prefetcher.stopped.set()
        thread.join()


class _Prefetcher(Generic[Item, Prepared]):
    """The thread's side: it fills the queue with batches, and at the end with None or the exception."""

    def __init__(self, items: Iterable[Item], size: int, prepare: Callable[[list[Item]], Prepared]) -> None:
        self.items = items
        self.size = size
        self.prepare = prepare
        self.queue: queue.Queue[Prepared | BaseException | None] = queue.Queue(QUEUE_SIZE)
        self.stopped = threading.Event()

    def run(self) -> None:
        try:
            iterator = iter(self.items)
            while not self.stopped.is_set() and (chunk := list(itertools.islice(iterator, self.size))):
                self._put(self.prepare(chunk))
            self._put(None)
        except BaseException as error:  # raised again by prefetch_batches
            self._put(error)

    def _put(self, batch: Prepared | BaseException | None) -> None:
        while not self.stopped.is_set():
            try:
                self.queue.put(batch, timeout=PUT_TIMEOUT)
                return
            except queue.Full:
                continue
