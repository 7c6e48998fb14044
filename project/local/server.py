"""What the local PostgreSQL and the local Valkey have in common: sockets, pid files, ends and errors.

They listen on Unix sockets only: no port can be taken, two checkouts never meet, and nobody else gets in.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from project.local.processes import await_end

if TYPE_CHECKING:
    import signal

LONGEST_SOCKET_PATH = 107
"""Bytes: ``sun_path`` of Linux without its final NUL."""


class ServiceError(Exception):
    """A local service cannot run here; the message says in one line why, and what to do."""


def read_pid(file: Path, *, folder: Path) -> int | None:
    """Return the pid in a pid file if that process works in ``folder``: pids are given out again."""
    try:
        pid = int(file.read_text().split("\n", 1)[0])
        return pid if psutil.Process(pid).cwd() == str(folder.resolve()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def end_server(pid: int, *, first: signal.Signals, last: signal.Signals, seconds: float) -> None:
    """Send the first signal, and the last one if the process is still there after ``seconds``."""
    with suppress(ProcessLookupError):
        os.kill(pid, first)
        if not await_end([pid], seconds=seconds):
            os.kill(pid, last)
            await_end([pid], seconds=seconds)


def socket_folder(home: Path) -> Path:
    """Return where a server's socket goes: ``home``, or a private folder if that path is too long."""
    if len(os.fsencode(home / ".s.PGSQL.5432")) <= LONGEST_SOCKET_PATH:
        return home
    return Path(tempfile.gettempdir()) / f"larder-{os.getuid()}-{digest(home)}"


def digest(path: Path) -> str:
    """Return a short name for a path, for folders outside the checkout."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def error_in(*logs: Path) -> str:
    """Return the last line of the logs that reports an error, or their last line."""
    lines = [
        line for log in logs if log.exists() for line in log.read_text(errors="replace").splitlines() if line
    ]
    errors = [line for line in lines if "FATAL" in line or "error" in line.lower() or "No space" in line]
    return (errors or lines or ["no reason given"])[-1]
