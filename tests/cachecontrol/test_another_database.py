"""Tracked tables in another database than Django's default: the cache's own tables are read and written there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connections, transaction
from django.test.utils import CaptureQueriesContext, override_settings
from psycopg import sql

from cachecontrol import checks, engine, tasks
from cachecontrol.drain import runner
from cachecontrol.jobs import reconcile, warm
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.models import Change, JobRun, Rollup, Tracked
from cachecontrol.reasons import Verdict
from cachecontrol.redis import entry_store, redis_client
from cachecontrol.stats import recording
from cachecontrol.stats.rollup import delete_old, roll_up
from cachecontrol.stats.timeseries import RANGES, time_series
from catalog.models import Brand
from tests.shelf.cluster import parameters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model
    from django.test import Client
    from redis import Redis

SHOP = "shop"
"""The alias of the second database, which has all tables that the first has."""

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", SHOP]),
    pytest.mark.urls(__name__),
]


class CatalogRouter:
    """Leaves users and sessions in the default database, and has the catalog in the second."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return SHOP if model._meta.app_label == "catalog" else None

    db_for_write = db_for_read


@pytest.fixture(scope="module", autouse=True)
def shop_database(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A second database of this worker, migrated as a project with this setting migrates it."""
    with django_db_blocker.unblock():
        name = f"{connections['default'].settings_dict['NAME']}_{SHOP}"
        server = parameters()
        with psycopg.connect(**server, autocommit=True) as admin:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        connections.settings[SHOP] = {**connections.settings["default"], "NAME": name}
        with override_settings(CACHECONTROL={"DATABASE": SHOP}):
            call_command("migrate", database=SHOP, verbosity=0)
        yield
        connections[SHOP].close()
        del connections[SHOP], connections.settings[SHOP]
        with psycopg.connect(**server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(autouse=True)
def shop(shop_database: None, redis: Redis, settings: Any) -> Iterator[None]:
    """A cache of the second database, with one brand and a clock."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "DATABASE": SHOP}
    settings.DATABASE_ROUTERS = [CatalogRouter()]
    runner.runner.close()
    with connections[SHOP].cursor() as cursor:
        cursor.execute("TRUNCATE cachecontrol_change, cachecontrol_snapshot")
    runner.runner.run()
    Brand.objects.create(name="Acme", slug="acme")
    yield
    runner.runner.close()


def urlconf() -> list[Any]:
    """Return the pages of the test site beside those of the project."""
    from project.urls import urlpatterns as project
    from tests.cachecontrol.site import urlpatterns as site

    return [*site, *project]


urlpatterns = urlconf()


def execute(statement: str) -> None:
    with connections[SHOP].cursor() as cursor:
        cursor.execute(statement)


def rows(model: type[Model], alias: str) -> int:
    return model._default_manager.using(alias).count()


def about_the_cache(queries: CaptureQueriesContext) -> list[str]:
    """Return the statements that ask for the cache's tables, or for the version of the server."""
    statements = [query["sql"] for query in queries]
    return [statement for statement in statements if "cachecontrol_" in statement or "SHOW" in statement]


def entry_key(client: Client) -> str:
    """Return the key of a page that was just stored."""
    assert client.get("/brand/acme/").headers["Cache-Status"].endswith("stored")
    (key,) = entry_store.scan_entry_keys(at_least=10)
    return key


def test_migrate_creates_the_triggers_there_and_they_write_the_changes() -> None:
    assert rows(Tracked, SHOP) > 0
    assert Change.objects.get().relation == "catalog_brand"


def test_rollups_are_written_and_read_there(redis: Redis) -> None:
    recording.record_read("p", "hit", "", 0.001)
    assert recording.flush()
    assert roll_up(now=datetime.now(UTC) + timedelta(minutes=2)) == 1
    assert (rows(Rollup, "default"), rows(Rollup, SHOP) > 0) == (0, True)
    redis.flushall()
    assert time_series(RANGES["1h"]).whole.reads() == 1
    delete_old(now=datetime.now(UTC) + timedelta(days=2000))
    assert rows(Rollup, SHOP) == 0


def test_warm_fills_pages_and_records_its_run_there(client: Client) -> None:
    key = entry_key(client)
    assert recording.flush()
    redis_client.client().delete(key)
    assert warm.warm() == 1
    assert engine.look_up(key).verdict is Verdict.FRESH
    assert JobRun.objects.using(SHOP).get().done == 1
    assert rows(JobRun, "default") == 0


def test_a_run_whose_process_died_is_closed_there() -> None:
    dead = JobRun.objects.create(name="warm", started_at=datetime.now(UTC))
    warm.warm()
    assert JobRun.objects.using(SHOP).get(pk=dead.pk).note == "its process died"


def test_reconcile_computes_in_a_snapshot_of_it(client: Client) -> None:
    key = entry_key(client)
    assert reconcile.reconcile() == {Finding.SAME: 1}
    with transaction.atomic(using=SHOP):  # as a superuser can: no drain sees this write
        Brand.objects.update(name="Apex")
        Change.objects.all().delete()
    assert engine.look_up(key).verdict is Verdict.FRESH
    assert reconcile.reconcile() == {Finding.DRIFT: 1}
    assert rows(JobRun, SHOP) == 2


def test_prune_deletes_its_changes_and_old_runs(settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "PRUNE_AFTER": 0.0}
    JobRun.objects.create(name="warm", started_at=datetime.now(UTC) - 2 * tasks.KEEP_RUNS)
    tasks.prune_changes()
    assert (rows(Change, SHOP), rows(JobRun, SHOP)) == (0, 1)
    assert JobRun.objects.using(SHOP).get().done == 1


def test_mend_restores_its_triggers() -> None:
    execute("ALTER TABLE catalog_brand DISABLE TRIGGER cachecontrol_update")
    assert [message.id for message in checks.servers(databases=[SHOP])] == ["cachecontrol.W002"]
    tasks.mend_triggers()
    assert JobRun.objects.using(SHOP).get().note == "catalog_brand"
    assert checks.servers(databases=[SHOP]) == []


def test_the_dashboard_shows_it(client: Client, operator: Any) -> None:
    tasks.prune_changes()
    client.force_login(operator)
    with CaptureQueriesContext(connections["default"]) as queries:
        context = client.get("/admin/cache/").context
    assert [change.relation for change in context["changes"]] == ["catalog_brand"]
    assert [run.name for run in context["job_runs"]] == ["prune"]
    health = {check.name: check.text for check in context["checks"]}
    assert health["Triggers"].startswith("in place on ")
    assert health["PostgreSQL"].startswith("answers, version")
    assert not about_the_cache(queries)


def test_the_admin_lists_its_changes_and_runs(admin_client: Client) -> None:
    tasks.prune_changes()
    with CaptureQueriesContext(connections["default"]) as queries:
        assert ">catalog_brand<" in admin_client.get("/admin/cachecontrol/change/").content.decode()
        assert ">prune<" in admin_client.get("/admin/cachecontrol/jobrun/").content.decode()
    assert not about_the_cache(queries)


@pytest.mark.parametrize(("alias", "status"), [("default", 200), (SHOP, 503)])
def test_readiness_depends_on_it_alone(client: Client, alias: str, status: int) -> None:
    connection = connections[alias]
    server = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    connection.close()
    connection.settings_dict.update(HOST="127.0.0.1", PORT="1")
    try:
        response = client.get("/readyz")
    finally:
        connection.close()
        connection.settings_dict.update(server)
    assert (response.status_code, response.json()["checks"]["postgresql"]) == (
        status,
        "ok" if status == 200 else "down",
    )
