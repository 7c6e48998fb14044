"""Run the programs of a Procfile together: restart those that end, and leave no process behind however this one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from project.local.folders import BASE_DIR
from project.local.processes import ParentWatch, end

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SOON = 5.0  # seconds: a process that ends sooner than that has failed to start
ATTEMPTS = 3  # failed starts in a row before everything stops


@dataclass
class Program:
    """One line of the Procfile and the process that runs it."""

    name: str
    command: str
    process: subprocess.Popen[bytes] | None = None
    relay: threading.Thread | None = None
    """Carries what the process says, until it has said everything."""
    started: float = 0.0
    failures: int = 0

    def start(self) -> subprocess.Popen[bytes]:
        """Run the command in a session of its own, so that only we decide when it ends."""
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {self.command}"],
            cwd=BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return self.process


@dataclass
class Runner:
    """All programs of a Procfile; ``say`` prints one line of one program."""

    programs: list[Program]
    say: Callable[[str, str], None]
    watch: ParentWatch | None = None
    stopping: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def of(cls, procfile: Path, *, say: Callable[[str, str], None]) -> Runner:
        lines = (line.partition(":") for line in procfile.read_text().splitlines() if line.strip())
        return cls([Program(name.strip(), command.strip()) for name, _, command in lines], say)

    def start(self, *, lock: int) -> None:
        """Start every program. However this process ends, ``lock`` stays held until the last program is gone."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(number, lambda *_: self.stopping.set())
        self.watch = ParentWatch(hold=[lock])
        for program in self.programs:
            self._start(program)

    def wait(self) -> bool:
        """Wait for a signal or the end of ``make``; restart what ends. False: a program does not start."""
        parent = os.getppid()
        while not self.stopping.wait(0.2) and not ("MAKELEVEL" in os.environ and os.getppid() != parent):
            for program in self.programs:
                if program.process and program.process.poll() is not None and not self._restart(program):
                    return False
        return True

    def stop(self) -> None:
        """End every program, with everything it started."""
        processes = [program.process for program in self.programs if program.process]
        end([process.pid for process in processes])
        for process in processes:
            process.wait()
            self._report(process.pid)
        for program in self.programs:
            self._finish_relay(program)

    def _start(self, program: Program) -> None:
        process = program.start()
        assert process.stdout
        self._report(process.pid)
        program.relay = threading.Thread(target=self._relay, args=(program.name, process.stdout), daemon=True)
        program.relay.start()

    def _restart(self, program: Program) -> bool:
        assert program.process
        end([program.process.pid])  # what it left behind
        self._report(program.process.pid)
        failed = time.monotonic() - program.started < SOON
        self._finish_relay(program)
        program.failures = program.failures + 1 if failed else 0
        if program.failures == ATTEMPTS:
            return False
        self.say("up", f"{program.name} ended ({program.process.returncode}), starting it again")
        self._start(program)
        return True

    def _finish_relay(self, program: Program) -> None:
        """Print the last lines of an ended process first: they say why it ended."""
        if program.relay:
            program.relay.join(SOON)  # what left its group may hold the pipe for ever

    def _report(self, pid: int) -> None:
        assert self.watch
        self.watch.toggle(pid)

    def _relay(self, name: str, output: IO[bytes]) -> None:
        for line in output:
            self.say(name, line.decode(errors="replace").rstrip())
