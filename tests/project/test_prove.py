"""``manage.py prove`` refuses wrong arguments before it starts anything, and leaves no process behind."""

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


def start(*arguments: str, home: Path, folder: Path = BASE_DIR, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OTHERS}
    return subprocess.Popen(
        [sys.executable, BASE_DIR / "manage.py", "prove", *arguments],
        cwd=folder,
        env=environment | {"TMPDIR": str(home)} | variables,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder for the files of a proof. Its path is short, since it contains sockets."""
    with tempfile.TemporaryDirectory(prefix="larder-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "-5"], "argument --seconds: “-5” is not a number above zero."),
        (["--readers", "0"], "argument --readers: “0” is not a whole number above zero."),
        (["--faults", "kill-web,nonsense"], "argument --faults: Unknown faults: nonsense"),
        (["--report", "/dev/null/report"], "The report cannot be written"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_starts(
    arguments: list[str], message: str, home: Path
) -> None:
    proof = start(*arguments, home=home)
    _, error = proof.communicate(timeout=LONG)
    assert proof.returncode != 0
    assert message in error
    assert not list(home.iterdir())


def test_the_servers_of_the_environment_are_named_together(home: Path) -> None:
    proof = start(home=home, DATABASE_URL=os.environ["DATABASE_URL"])
    _, error = proof.communicate(timeout=LONG)
    assert proof.returncode == 1
    assert "Set REDIS_URL too" in error


def test_a_database_of_the_environment_has_to_be_disposable(home: Path) -> None:
    database, redis = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    proof = start(home=home, DATABASE_URL=database, REDIS_URL=redis)
    _, error = proof.communicate(timeout=LONG)
    assert proof.returncode == 1
    assert "not marked as disposable" in error


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_signal_leaves_a_process_of_a_proof_behind(number: signal.Signals, home: Path) -> None:
    """The proof is started from another folder, so that its processes have to be told where the project is."""
    proof = start("--seconds", "3600", "--faults", "none", home=home, folder=home)
    await_that(lambda: {"reader0", "writer0"} <= {file.stem for file in home.glob("*/*.log")})
    running = [process for process in psutil.process_iter() if belongs_to(process, home)]
    assert len(running) > 10
    proof.send_signal(number)
    proof.communicate(timeout=LONG)
    await_that(lambda: not any(alive(process.pid) for process in running))


def belongs_to(process: psutil.Process, home: Path) -> bool:
    """Whether a process knows this folder, by its environment or its arguments."""
    try:
        return str(home) in " ".join([*process.environ().values(), *process.cmdline()])
    except psutil.Error:
        return False


def await_that(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
