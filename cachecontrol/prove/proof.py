"""A proof from beginning to end: processes read and write, faults are injected, every answer is judged."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg
import redis

from cachecontrol.prove.checker import Checker
from cachecontrol.prove.environment import ProcessEnvironment
from cachecontrol.prove.faults.injector import FaultInjector
from cachecontrol.prove.faults.target import Target
from cachecontrol.prove.history import History
from cachecontrol.prove.judge import Judge
from cachecontrol.prove.observer import Observer
from cachecontrol.prove.processes import Processes
from cachecontrol.prove.report import Report
from cachecontrol.prove.results import Results

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cachecontrol.prove.installation import Installation
    from cachecontrol.prove.options import Options

STARTING = 5.0
"""Seconds after the start of readers and writers in which costs are not judged: all processes load and connect."""
REST = 2.0
"""Seconds, in addition to ``MAX_LAG``, in which nothing is written at the end."""
PROGRESS = 60.0
"""Seconds between two messages about the progress."""


@dataclass(slots=True, kw_only=True)
class Proof:
    """One run."""

    installation: Installation
    options: Options
    folder: Path
    """Of the processes' logs."""
    log: Callable[[str], None] = print
    """Gets messages about the progress."""
    results: Results = field(init=False, default_factory=Results)
    observer: Observer = field(init=False)
    checker: Checker = field(init=False)
    processes: Processes = field(init=False)
    injector: FaultInjector = field(init=False)
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        history = History()
        self.observer = Observer(self.installation.database_url, history)
        self.checker = Checker(history=history, max_lag=self.options.max_lag)
        self.processes = self._new_processes()
        self.injector = FaultInjector(self._new_target())
        self.judge = Judge(
            installation=self.installation,
            checker=self.checker,
            observer=self.observer,
            results=self.results,
            windows=self.injector.windows,
            max_cost=self.options.max_cost,
        )

    def _new_processes(self) -> Processes:
        servers = self.installation.servers
        environment = ProcessEnvironment(
            rule=self.options.rule,
            max_lag=self.options.max_lag,
            replica_url=servers.replica if servers else "",
        )
        return Processes(
            installation=self.installation,
            folder=self.folder,
            seed=self.options.seed,
            environment=environment,
            receive=self.results.receive,
            readers=self.options.readers,
            burst=self.options.burst,
            writer_pause=self.options.writer_pause,
        )

    def _new_target(self) -> Target:
        return Target(
            rng=random.Random(f"{self.options.seed}/faults"),  # noqa: S311
            processes=self.processes,
            installation=self.installation,
            observer=self.observer,
            max_lag=self.options.max_lag,
        )

    def run(self) -> Report:
        """Run the proof and return its report. No process is left at the end."""
        begun = time.monotonic()
        try:
            self._start()
            self._inject_faults()
            self._rest()
            self.judge.finish()
        finally:
            self.processes.end()
            self.observer.stop()
        return self._report(time.monotonic() - begun)

    def _start(self) -> None:
        self.processes.run("migrate")
        self.observer.start()
        self.processes.run("load")
        self.processes.start_servers()
        self.judge.start()
        self.processes.start_clients()
        self.judge.costs_count_from = time.monotonic() + STARTING

    def _inject_faults(self) -> None:
        """Inject one fault after the other until the time is over."""
        rng, deadline = self.injector.target.rng, time.monotonic() + self.options.seconds
        logged = time.monotonic()
        while (now := time.monotonic()) < deadline and not self._has_shown_enough:
            if self.options.faults:
                self._inject(rng.choice(self.options.faults))
            if now - logged > PROGRESS:
                logged = now
                self._log_progress(deadline - now)
            pause = rng.uniform(0.5, self.options.fault_pause)
            time.sleep(min(pause, max(0.0, deadline - time.monotonic())))

    @property
    def _has_shown_enough(self) -> bool:
        """Whether a rule is switched off and its violation was found."""
        return bool(self.options.rule and self.checker.violations)

    def _inject(self, name: str) -> None:
        try:
            self.injector.inject(name)
        except (redis.RedisError, psycopg.Error, OSError) as error:
            self.log(f"The fault {name} was not injected completely: {error}")

    def _log_progress(self, seconds: float) -> None:
        kinds = Counter(str(violation.kind) for violation in self.checker.violations)
        violations = ", ".join(f"{kind} {number}" for kind, number in kinds.items()) or "none"
        self.log(f"{self.checker.judged:,} answers judged, violations: {violations}, {seconds:.0f} s left")

    def _rest(self) -> None:
        """Stop the writers, wait until ``MAX_LAG`` is over, and stop the readers: their last answers have to be current."""
        for name in self.processes.named("writer"):
            self.processes.kill(name)
        time.sleep(self.options.max_lag + REST)
        for name in self.processes.named("reader"):
            self.processes.kill(name)

    def _report(self, seconds: float) -> Report:
        return Report(
            options=self.options,
            seconds=seconds,
            checker=self.checker,
            results=self.results,
            faults=Counter(window.name for window in self.injector.windows),
            versions=self.observer.versions,
            lost_versions=self.observer.lost_versions,
        )
