"""The lock of a job: one process at a time runs it."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cachecontrol.exceptions import StoreDown
from cachecontrol.redis import keys, redis_client

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger("cachecontrol")


@contextmanager
def job_lock(job: str, *, seconds: float) -> Iterator[bool]:
    """Hold the lock of a job within the block. Yields whether this process holds it.

    The lock lapses after ``seconds``, so that a process that died does not keep others out. Raises StoreDown if Redis does not
    answer at the beginning.
    """
    with redis_client.translating_errors():
        lock = redis_client.client().lock(keys.JOB + job, timeout=seconds, blocking=False)
        is_acquired = lock.acquire()
    if not is_acquired:
        yield False
        return
    try:
        yield True
    finally:
        try:
            with redis_client.translating_errors():
                lock.release()
        except StoreDown as error:
            logger.warning("The job %s ends without its lock, which lapses by itself: %s", job, error)
