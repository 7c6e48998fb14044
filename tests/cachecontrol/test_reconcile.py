"""Reconcile finds exactly the entries that claim to be fresh and are not. It runs no forged recipe."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from cachecontrol import engine, signing
from cachecontrol.core import codec
from cachecontrol.drain import runner
from cachecontrol.frontends import frontend, pages, recipes
from cachecontrol.jobs import reconcile
from cachecontrol.jobs.reconcile import Finding
from cachecontrol.models import Change, JobRun
from cachecontrol.reasons import Verdict
from cachecontrol.redis import entry_store, keys, protocol, redis_client
from cachecontrol.stats import recording
from catalog.models import Brand

if TYPE_CHECKING:
    from django.test import Client
    from redis import Redis

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]

SAMPLES = 300
"""So many that chance leaves an entry out once in 10²¹ runs."""


@pytest.fixture(autouse=True)
def brands(redis: Redis) -> None:
    runner.runner.run()
    for name in ("Acme", "Bolt", "Cork"):
        Brand.objects.create(name=name, slug=name.lower())


@pytest.fixture
def key(client: Client) -> str:
    """The key of a page that is fresh."""
    client.get("/brand/acme/")
    (key,) = [key for key in entry_store.scan_entry_keys(at_least=10) if keys.policy_of(key) == "tests.brand"]
    return key


def write_uncaptured(name: str) -> None:
    """Do what a superuser can: change a row, and delete the change from the log before it is committed."""
    with transaction.atomic():
        Brand.objects.filter(slug="acme").update(name=name)
        Change.objects.filter(xid=_xid()).delete()


def _xid() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_current_xact_id()::text")
        return str(cursor.fetchone()[0])


def write_elsewhere(sql: str) -> None:
    """Write as another program does, which drains nothing."""
    settings = connection.settings_dict
    parameters = {"dbname": settings["NAME"], "user": settings["USER"], "host": settings["HOST"]}
    with psycopg.connect(**parameters, port=settings["PORT"] or None, password=settings["PASSWORD"]) as other:
        other.execute(sql)


def last_run() -> JobRun:
    return JobRun.objects.filter(name="reconcile").latest("started_at")


def counted(name: str) -> int:
    assert recording.flush()
    return int(redis_client.client().hget(keys.STATS_TOTAL, f"counter||{name}|") or 0)


def test_drift_is_found_counted_shown_and_repaired(client: Client, key: str) -> None:
    write_uncaptured("Apex")
    assert (client.get("/brand/acme/").content, engine.look_up(key).verdict) == (b"Acme", Verdict.FRESH)
    assert reconcile.reconcile() == {Finding.DRIFT: 1}
    assert counted("reconcile.drift") == 1
    run = last_run()
    assert (run.done, run.errors) == (1, 1)
    assert run.note == f"{key}: drift\n1 drift"
    assert client.get("/brand/acme/").content == b"Apex"
    assert reconcile.reconcile() == {Finding.SAME: 1}


def test_entries_that_equal_the_database_stay(client: Client, key: str) -> None:
    client.get("/brands/")
    list(Brand.objects.cached("tests.rows"))
    before = engine.look_up(key).entry
    assert reconcile.reconcile() == {Finding.SAME: 3}
    assert engine.look_up(key).entry == before
    assert (last_run().done, last_run().errors, last_run().note) == (3, 0, "3 same")


def test_a_write_that_was_not_drained_yet_is_no_drift(key: str) -> None:
    write_elsewhere("UPDATE catalog_brand SET name = 'Apex' WHERE slug = 'acme'")
    assert protocol.read(key).verdict is Verdict.FRESH
    assert reconcile.judge(key) is Finding.MOVED
    assert engine.look_up(key).reason == "moved"


def test_a_write_while_it_computes_is_no_drift(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = pages.Page.ask

    def ask_after_a_write(page: pages.Page) -> Any:
        write_elsewhere("UPDATE catalog_brand SET name = 'Apex' WHERE slug = 'acme'")
        return ask(page)

    monkeypatch.setattr(pages.Page, "ask", ask_after_a_write)
    assert reconcile.judge(key) in (Finding.MOVED, Finding.SAME)


def test_an_entry_that_was_replaced_while_it_computed_is_no_drift(
    client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = pages.Page.ask
    write_uncaptured("Apex")

    def ask_and_replace(page: pages.Page) -> Any:
        redis_client.client().delete(key)
        return ask(page)

    def fill_before_the_drain_is_over() -> None:
        monkeypatch.undo()
        client.get("/brand/acme/")

    monkeypatch.setattr(pages.Page, "ask", ask_and_replace)
    monkeypatch.setattr(runner.runner, "run", fill_before_the_drain_is_over)
    assert reconcile.judge(key) is Finding.MOVED
    assert engine.look_up(key).verdict is Verdict.FRESH


def test_it_computes_in_one_read_only_snapshot_and_not_from_the_cache(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def ask_and_note(page: pages.Page) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
            )
            seen.append(cursor.fetchone())
        with recording.trace() as trace:
            response = ask(page)
        seen.extend((read.outcome, read.reason) for read in trace.reads)
        return response

    ask = pages.Page.ask
    monkeypatch.setattr(pages.Page, "ask", ask_and_note)
    monkeypatch.setattr(recording, "muted", recording.trace)
    assert reconcile.judge(key) is Finding.SAME
    assert seen == [("repeatable read", "on"), ("bypass", "isolation")]


def test_an_entry_that_moved_claims_nothing(key: str) -> None:
    Brand.objects.filter(slug="acme").update(name="Apex")
    assert reconcile.judge(key) is Finding.MOVED


def test_a_page_that_fails_is_an_error_and_stays(client: Client) -> None:
    client.get("/broken/")
    write_elsewhere("INSERT INTO catalog_brand (name, slug) VALUES ('Broken', 'broken')")
    assert reconcile.reconcile() == {Finding.FAILED: 1}
    assert "/broken/ answers 500" in last_run().note
    assert entry_store.scan_entry_keys(at_least=1)


def forged_recipes(key: str) -> list[bytes]:
    sql = {
        "kind": "query",
        "alias": "default",
        "sql": "DELETE FROM catalog_brand",
        "params": [],
        "one": False,
    }
    sealed = entry_store.read_recipe(key)
    return [
        codec.encode(sql),
        bytes(signing.SIGNATURE_BYTES) + codec.encode(sql),
        sealed[: signing.SIGNATURE_BYTES] + codec.encode(sql),
        sealed[:-1] + bytes([sealed[-1] ^ 1]),
        signing.seal(
            "recipe", keys.entry("tests.brand", "0" * 8, ["other"]), codec.encode(recipes.read_recipe(key))
        ),
        signing.seal("recipe", key, codec.encode(recipes.read_recipe(key) | {"path": "/brand/bolt/"})),
        b"\x80\x04cos\nsystem\n",
    ]


@pytest.mark.parametrize("index", range(7))
def test_forged_recipes_run_nothing_are_counted_and_are_deleted_with_their_entry(
    key: str, index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[Any] = []
    redis_client.client().hset(key, "recipe", forged_recipes(key)[index])
    monkeypatch.setattr(pages.Page, "ask", ran.append)
    assert reconcile.reconcile() == {Finding.FORGED: 1}
    assert not ran
    assert counted("reconcile.forged") == 1
    assert engine.look_up(key).reason == "absent"
    assert Brand.objects.count() == 3


def test_an_entry_of_another_release_is_not_judged(
    client: Client, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its recipe may be signed or written in another way."""
    redis_client.client().hset(key, "recipe", b"of another release")
    monkeypatch.setattr(frontend, "FORMAT", "another")
    assert reconcile.reconcile() == {Finding.UNKNOWN: 1}
    assert entry_store.scan_entry_keys(at_least=10) == [key]


def test_a_recipe_moved_to_another_entry_is_refused(client: Client, key: str) -> None:
    client.get("/brands/")
    (other,) = [
        other for other in entry_store.scan_entry_keys(at_least=10) if keys.policy_of(other) == "tests.brands"
    ]
    redis_client.client().hset(other, "recipe", entry_store.read_recipe(key))
    assert reconcile.reconcile() == {Finding.FORGED: 1, Finding.SAME: 1}


def test_a_body_that_was_altered_is_drift_or_damage(key: str) -> None:
    redis_client.client().hset(key, "body", codec.encode((200, {}, b"<script>", b"", "")))
    assert reconcile.reconcile() == {Finding.DRIFT: 1}


@pytest.mark.parametrize(
    "body", [b"", b"\x01", codec.encode(5), codec.encode((200, {}, b"", b"not gzip", ""))]
)
def test_a_body_that_cannot_be_read_is_damage(key: str, body: bytes) -> None:
    redis_client.client().hset(key, "body", body)
    assert reconcile.reconcile() == {Finding.DAMAGED: 1}
    assert engine.look_up(key).reason == "absent"


def test_every_entry_comes_up_in_time_and_the_sample_is_bounded(client: Client) -> None:
    for number in range(120):
        client.get("/brands/", {"q": str(number)})
    seen: set[str] = set()
    for _ in range(SAMPLES):
        sample = reconcile.sample(20)
        assert len(sample) == len(set(sample)) <= 20
        seen.update(sample)
    assert len(seen) == 120


def test_a_run_ends_with_its_budget(key: str) -> None:
    assert reconcile.reconcile(seconds=0) == {}
    assert last_run().note == "no entries"


def test_the_command_shows_its_findings(key: str) -> None:
    out = StringIO()
    call_command("reconcile", stdout=out)
    assert out.getvalue() == "same: 1\n"
    write_uncaptured("Apex")
    with pytest.raises(CommandError, match="1 entries had drifted"):
        call_command("reconcile", stdout=out)
