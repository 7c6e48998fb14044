"""Programs of a Procfile run together, are started again when they end, and end with the process that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from project.local.folders import BASE_DIR
from project.local.processes import alive, await_end
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STARTER = """
import os, sys, time
from pathlib import Path
from project.local import procfile
from project.local.procfile import Runner

procfile.SOON = 300.0  # what fails to start does so sooner, however slow the machine

def say(name, line):
    time.sleep(0.3)  # a busy machine: what a program says last has to come out all the same
    print(name, line, flush=True)

runner = Runner.of(Path(sys.argv[1]), say=say)
lock = os.open(sys.argv[2], os.O_RDWR | os.O_CREAT)
runner.start(lock=lock)
started = runner.wait()
runner.stop()
print("stopped" if started else "failed", flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    starters: list[subprocess.Popen[str]] = []

    def start(procfile: str) -> subprocess.Popen[str]:
        (tmp_path / "Procfile").write_text(procfile)
        command = [sys.executable, "-c", STARTER, str(tmp_path / "Procfile"), str(tmp_path / "lock")]
        starters.append(subprocess.Popen(command, cwd=BASE_DIR, stdout=subprocess.PIPE, text=True))
        return starters[-1]

    yield start
    for starter in starters:
        with starter:
            starter.kill()


def line(starter: subprocess.Popen[str]) -> str:
    """Return the next line that a process writes."""
    assert starter.stdout
    return starter.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_no_signal_leaves_a_program_or_its_children_behind(
    start: Callable[[str], subprocess.Popen[str]], number: signal.Signals
) -> None:
    starter = start("one: sh -c 'sleep 77 & echo $!; wait'\n")
    child = int(line(starter).removeprefix("one "))
    assert alive(child)
    starter.send_signal(number)
    assert await_end([child], seconds=LONG)


def test_a_killed_program_comes_back(start: Callable[[str], subprocess.Popen[str]], tmp_path: Path) -> None:
    starter = start("one: sh -c 'echo $$; exec sleep 77'\n")
    first = int(line(starter).removeprefix("one "))
    psutil.Process(first).kill()
    assert line(starter) == "up one ended (-9), starting it again\n"
    second = int(line(starter).removeprefix("one "))
    assert second != first
    starter.terminate()
    assert await_end([second], seconds=LONG)


def test_a_program_that_never_starts_ends_all_of_them(start: Callable[[str], subprocess.Popen[str]]) -> None:
    starter = start("good: sleep 77\nbad: sh -c 'echo no; exit 3'\n")
    lines = starter.communicate(timeout=LONG)[0].splitlines()
    assert lines.count("bad no") == 3
    assert lines[-1] == "failed"
    assert starter.wait(timeout=LONG) == 0
