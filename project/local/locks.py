"""Locks on files, which the kernel gives up when the last process that holds the file open has ended."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def open_lock(file: Path) -> int:
    """Return the descriptor of the file, made if need be; it is not locked yet. Closing it gives the lock up."""
    return os.open(file, os.O_RDWR | os.O_CREAT, 0o600)


def try_lock(descriptor: int) -> bool:
    """Take the exclusive lock if no other process holds the lock, shared or exclusive; return whether it was taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
