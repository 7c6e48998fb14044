"""Runs of jobs: recorded as they go, within a budget of seconds, one of each job at a time where it asks for that."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db.models import F
from django.utils import timezone

from cachecontrol.conf import conf
from cachecontrol.models import JobRun
from cachecontrol.redis.job_lock import job_lock
from cachecontrol.stats import recording

if TYPE_CHECKING:
    from collections.abc import Iterator


GRACE = 30
"""Seconds over its budget for which a run keeps its lock. A run whose process died keeps others out until then."""
REPORT_EVERY = 1.0
"""Seconds between two reports of progress."""
LONGEST_NOTE = 2000
"""Characters of a run's notes that are recorded."""


@dataclass(slots=True)
class RunningJob:
    """A run in progress."""

    record: JobRun
    """The row that the dashboard shows."""
    deadline: float
    """The end of its budget, in seconds of the monotonic clock."""
    notes: list[str] = field(default_factory=list)
    _reported: float = 0.0

    @property
    def done(self) -> int:
        return self.record.done

    @property
    def is_over_budget(self) -> bool:
        return time.monotonic() >= self.deadline

    def step(self, n: int = 1) -> None:
        """Count ``n`` units of work done, and record them each ``REPORT_EVERY`` seconds."""
        self.record.done += n
        if time.monotonic() - self._reported >= REPORT_EVERY:
            self._reported = time.monotonic()
            self.record.save(using=conf.database, update_fields=["done", "errors"])

    def note(self, text: str) -> None:
        """Add a line to the note of the run."""
        self.notes.append(text)

    def error(self, text: str) -> None:
        """Count an error, and note it."""
        self.record.errors += 1
        self.note(text)

    def finish(self) -> None:
        """Record the end of the run."""
        self.record.note = "\n".join(self.notes)[:LONGEST_NOTE]
        self.record.finished_at = timezone.now()
        self.record.save(using=conf.database)


@contextmanager
def recorded(name: str, *, seconds: float = 3600) -> Iterator[RunningJob]:
    """Record the work of the block as a run of the job ``name``, with a budget of ``seconds``.

    An exception of the block is recorded in the run, counted and raised again.
    """
    run = RunningJob(JobRun.objects.create(name=name, started_at=timezone.now()), time.monotonic() + seconds)
    try:
        yield run
    except Exception as error:
        run.error(f"{type(error).__name__}: {error}")
        recording.count(f"{name}.failed")
        raise
    finally:
        run.finish()


@contextmanager
def exclusive(name: str, *, seconds: float) -> Iterator[RunningJob | None]:
    """Record the work of the block as a run of the job ``name``, which runs in one process at a time.

    Yields the run; or None if another process runs this job now, which is noted. Raises StoreDown if Redis does not answer, which
    is recorded too.
    """
    with recorded(name, seconds=seconds) as run, job_lock(name, seconds=seconds + GRACE) as is_held:
        if not is_held:
            run.note("another process runs this job")
            yield None
            return
        _close_dead_runs(run)
        yield run


def _close_dead_runs(run: RunningJob) -> None:
    """Record the end of earlier runs that have none: their processes died, since this one holds the lock now."""
    dead = JobRun.objects.filter(name=run.record.name, finished_at=None).exclude(pk=run.record.pk)
    dead.update(finished_at=timezone.now(), errors=F("errors") + 1, note="its process died")
