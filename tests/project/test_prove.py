"""``manage.py prove`` refuses what it cannot do before it begins, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from project.local.folders import BASE_DIR
from project.local.processes import alive
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OTHERS = {"DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE", "LARDER_TEST_HOME"}


def start(*arguments: str, home: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return subprocess.Popen(
        [sys.executable, "manage.py", "prove", *arguments],
        cwd=BASE_DIR,
        env=environment | {"TMPDIR": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for what a proof writes; the path is short, since sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="larder-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "-5"], "argument --seconds: “-5” is not a number above zero."),
        (["--readers", "0"], "argument --readers: “0” is not a whole number above zero."),
        (["--faults", "kill-web,nonsense"], "Unknown faults: nonsense"),
        (["--report", "/dev/null/report"], "The report cannot be written"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(
    arguments: list[str], said: str, home: Path
) -> None:
    proof = start(*arguments, home=home)
    _, error = proof.communicate(timeout=LONG)
    assert proof.returncode != 0
    assert said in error
    assert not list(home.iterdir())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_signal_leaves_a_process_of_a_proof_behind(number: signal.Signals, home: Path) -> None:
    proof = start("--seconds", "3600", "--faults", "none", home=home)
    await_that(lambda: {"reader0", "writer0"} <= {file.stem for file in home.glob("*/*.log")})
    running = [process for process in psutil.process_iter() if works_for(process, home)]
    assert len(running) > 10
    proof.send_signal(number)
    proof.communicate(timeout=LONG)
    await_that(lambda: not any(alive(process.pid) for process in running))


def works_for(process: psutil.Process, home: Path) -> bool:
    """Whether a process has been told of this folder, by its environment or its arguments."""
    try:
        return str(home) in " ".join([*process.environ().values(), *process.cmdline()])
    except psutil.Error:
        return False


def await_that(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
