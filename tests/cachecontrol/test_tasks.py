"""The jobs run in a real Celery worker, called by a real beat, on this test's database and Valkey."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from celery.beat import PersistentScheduler
from django.conf import settings
from django.db import connection

from cachecontrol import engine, tasks
from cachecontrol.drain import runner
from cachecontrol.models import JobRun
from cachecontrol.reasons import Verdict
from cachecontrol.redis import entry_store, keys, redis_client
from cachecontrol.stats import recording
from catalog import tasks as catalog_tasks
from catalog.models import Brand, SearchStatistics
from project.celery import app
from tests.patience import LONG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from django.test import Client
    from redis import Redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]

MINUTE = 60


@pytest.fixture
def celery(redis: Redis, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts a process of Celery that works on this test's servers; all end with the test."""
    name = connection.settings_dict["NAME"]
    database = os.environ["DATABASE_URL"].replace("/larder?", f"/{name}?")
    environment = os.environ | {
        "DATABASE_URL": database,
        "DJANGO_SETTINGS_MODULE": "tests.cachecontrol.worker",
        "SECRET_KEY": settings.SECRET_KEY,
    }
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "celery", "--app", "project.celery", *arguments]
        with (tmp_path / f"{arguments[0]}.log").open("wb") as log:
            running.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        return running[-1]

    yield start
    for process in reversed(running):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(LONG)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def ended_runs(name: str) -> list[JobRun]:
    return list(JobRun.objects.filter(name=name, finished_at__isnull=False))


def test_the_schedule_names_every_task_and_beat_has_it() -> None:
    app.loader.import_default_modules()
    names = {name for name in app.tasks if name.startswith(("cachecontrol.", "catalog."))}
    schedule = tasks.BEAT_SCHEDULE | catalog_tasks.BEAT_SCHEDULE
    assert {entry["task"] for entry in schedule.values()} == names
    assert app.conf.beat_schedule == schedule


@pytest.mark.django_db
def test_the_task_of_the_catalog_counts_lexemes() -> None:
    catalog_tasks.count_lexemes()
    assert SearchStatistics.objects.count() == 1


def test_reconcile_runs_every_minute_and_no_call_outlives_the_next() -> None:
    assert tasks.BEAT_SCHEDULE["reconcile"]["schedule"] == MINUTE
    for entry in tasks.BEAT_SCHEDULE.values():
        if isinstance(entry["schedule"], int | float):
            assert entry["options"]["expires"] <= entry["schedule"]


def test_a_worker_runs_every_job(celery: Callable[..., object], client: Client) -> None:
    runner.runner.run()
    Brand.objects.create(name="Acme", slug="acme")
    client.get("/brand/acme/", SERVER_NAME="localhost")
    assert recording.flush()
    (key,) = [key for key in entry_store.scan_entry_keys(at_least=10) if keys.policy_of(key) == "tests.brand"]
    redis_client.client().delete(key)
    celery("worker", "--pool", "solo", "--loglevel", "INFO")
    names = ("warm", "mend", "prune", "rollup", "forget")
    for name in names:
        app.send_task(f"cachecontrol.{name}")
    wait_for(lambda: all(ended_runs(name) for name in names))
    assert (ended_runs("warm")[0].done, ended_runs("warm")[0].note) == (1, "")
    assert engine.look_up(key).verdict is Verdict.FRESH
    app.send_task("cachecontrol.reconcile")
    wait_for(lambda: bool(ended_runs("reconcile")))
    assert ended_runs("reconcile")[0].note == "1 same"
    assert not any(run.errors for run in JobRun.objects.all()), [run.note for run in JobRun.objects.all()]


def test_beat_calls_the_jobs(celery: Callable[..., object], tmp_path: Path) -> None:
    """The beat called each of them two days ago, so that all are due now."""
    write_schedule(tmp_path / "beat", called=timedelta(days=2))
    celery("beat", "--schedule", str(tmp_path / "beat"), "--pidfile", "")
    celery("worker", "--pool", "solo")
    wait_for(lambda: all(ended_runs(name) for name in tasks.BEAT_SCHEDULE))


def write_schedule(file: Path, *, called: timedelta) -> None:
    """Write the schedule of a beat that called all its tasks ``called`` ago."""
    app.loader.import_default_modules()
    scheduler = PersistentScheduler(app, schedule_filename=str(file))
    for entry in scheduler.schedule.values():
        assert entry.last_run_at
        entry.last_run_at -= called
    scheduler.close()
