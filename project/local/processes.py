"""Whether processes run, and how they end; and a watcher that ends them when the process that started them is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

from project.local.folders import BASE_DIR

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PATIENCE = 15.0
"""Seconds for a process to end by itself."""


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not, and may stay one where no parent reaps it."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def await_end(pids: Iterable[int], *, seconds: float) -> bool:
    """Wait until all these processes have ended, for ``seconds`` at most; return whether they have."""
    pids, deadline = list(pids), time.monotonic() + seconds
    while running := any(map(alive, pids)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return not running


def end(groups: Sequence[int], *, patience: float = PATIENCE) -> None:
    """Ask the leaders of process groups to end; kill what is left of the groups then, or after ``patience`` seconds."""
    for group in groups:
        with suppress(ProcessLookupError):
            os.kill(group, signal.SIGTERM)
    await_end(groups, seconds=patience)
    for group in groups:
        with suppress(ProcessLookupError):
            os.killpg(group, signal.SIGKILL)


class ParentWatch:
    """End the processes that were reported to it when the process that created it is gone, even by ``kill -9``."""

    def __init__(self, *, hold: Sequence[int] = ()) -> None:
        """``hold``: descriptors of files that stay open until the last of the processes has ended."""
        command = [sys.executable, "-m", "project.local.processes"]
        watcher = subprocess.Popen(
            command, cwd=BASE_DIR, stdin=subprocess.PIPE, pass_fds=hold, start_new_session=True
        )
        assert watcher.stdin
        self._pipe = watcher.stdin

    def toggle(self, pid: int) -> None:
        """Report that a process, the leader of a group, has started, or that it has ended."""
        self._pipe.write(b"%d\n" % pid)
        self._pipe.flush()


def watch_parent() -> None:
    """Read the pids of processes, as they start and as they end, until the parent is gone; end those that run."""
    running: set[int] = set()
    for line in sys.stdin:
        running ^= {int(line)}
    end(list(running))


if __name__ == "__main__":
    watch_parent()
