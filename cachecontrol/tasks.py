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


@task_prerun.connect
def _serve(**_: Any) -> None:
    """A task works for itself, whichever thread of a worker runs it."""
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
    """Put triggers of tracked tables back that somebody dropped, disabled or enabled otherwise."""
    with runs.recorded("mend") as run:
        for relation, error in mend.mend():
            if error:
                run.failed(f"{relation}: {error}")
            else:
                run.step()
                run.note(relation)


@shared_task(name="cachecontrol.rollup")
def roll_up() -> None:
    """Carry the last minutes' statistics to PostgreSQL."""
    with runs.recorded("rollup") as run:
        run.step(rollup.roll_up())


@shared_task(name="cachecontrol.forget")
def forget() -> None:
    """Delete statistics that are older than they are kept."""
    with runs.recorded("forget") as run:
        run.step(rollup.delete_old())


def _every(name: str, seconds: float) -> dict[str, Any]:
    """A call each so many seconds; one that no worker took before the next is dropped."""
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
