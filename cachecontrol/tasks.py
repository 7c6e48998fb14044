"""The jobs as Celery tasks, and their schedule. The only module that knows Celery."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.schedules import crontab
from celery.signals import task_prerun
from django.utils import timezone

from cachecontrol.dependencies import declarations
from cachecontrol.jobs import mend, prune, reconcile, runs, warm
from cachecontrol.models import JobRun
from cachecontrol.stats import rollup

KEEP_RUNS = timedelta(days=7)
"""The age at which runs of jobs are deleted."""


@task_prerun.connect
def _mark_independent(**_: Any) -> None:
    """Declare that a task works for no fill, whichever thread of a worker runs it."""
    declarations.mark_independent()


@shared_task(name="cachecontrol.warm")
def warm_pages() -> None:
    """Fill the hottest pages that are missing, moved or near their end."""
    warm.warm()


@shared_task(name="cachecontrol.reconcile")
def reconcile_entries() -> None:
    """Compare a sample of entries with the database."""
    reconcile.reconcile()


@shared_task(name="cachecontrol.prune")
def prune_changes() -> None:
    """Delete changes that every drain has seen, and runs of jobs older than ``KEEP_RUNS``."""
    with runs.recorded("prune") as run:
        run.step(prune.prune())
        JobRun.objects.filter(started_at__lt=timezone.now() - KEEP_RUNS).delete()


@shared_task(name="cachecontrol.mend")
def mend_triggers() -> None:
    """Restore triggers of tracked tables that were dropped, disabled or are no longer ``ENABLE ALWAYS``."""
    with runs.recorded("mend") as run:
        for relation, error in mend.mend():
            if error:
                run.error(f"{relation}: {error}")
            else:
                run.step()
                run.note(relation)


@shared_task(name="cachecontrol.rollup")
def roll_up() -> None:
    """Write the statistics of the last minutes to PostgreSQL."""
    with runs.recorded("rollup") as run:
        run.step(rollup.roll_up())


@shared_task(name="cachecontrol.forget")
def forget() -> None:
    """Delete statistics older than ``DAYS_KEPT``."""
    with runs.recorded("forget") as run:
        run.step(rollup.delete_old())


def _every(name: str, seconds: float) -> dict[str, Any]:
    """Return the entry of a task that is called each ``seconds``. A call that no worker took before the next one is dropped."""
    return {"task": name, "schedule": seconds, "options": {"expires": seconds}}


BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "warm": _every("cachecontrol.warm", 30),
    "reconcile": _every("cachecontrol.reconcile", 60),
    "rollup": _every("cachecontrol.rollup", 60),
    "mend": _every("cachecontrol.mend", 60),
    "prune": _every("cachecontrol.prune", 300),
    "forget": {"task": "cachecontrol.forget", "schedule": crontab(minute="17", hour="3")},
}
"""The schedule for ``app.conf.beat_schedule``: job to its task and time."""
