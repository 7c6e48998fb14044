"""Warm fills the hottest pages before visitors find them missing, moved or expired."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Value
from django.db.models.functions import Concat
from django.utils import timezone

from cachecontrol import engine
from cachecontrol.core.policy import Policy, find_policy
from cachecontrol.drain import runner
from cachecontrol.exceptions import StoreDown
from cachecontrol.frontends.pages import PageRecipe
from cachecontrol.jobs import runs, warm
from cachecontrol.models import JobRun
from cachecontrol.reasons import Verdict
from cachecontrol.redis import keys, redis_client
from cachecontrol.stats import hot_keys, recording
from catalog.models import Brand

if TYPE_CHECKING:
    from django.test import Client
    from redis import Redis

    from project.local.valkey import Valkey

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.cachecontrol.site")]


ALL_TIME = 10**12


@pytest.fixture(autouse=True)
def brands(redis: Redis) -> None:
    runner.runner.run()
    for name in ("Acme", "Bolt", "Cork"):
        Brand.objects.create(name=name, slug=name.lower())


@pytest.fixture
def visited(client: Client, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of three pages that visitors read within one window, the hottest first."""
    monkeypatch.setattr(hot_keys, "WINDOW", ALL_TIME)
    for slug, times in (("acme", 5), ("bolt", 3), ("cork", 1)):
        for _ in range(times):
            client.get(f"/brand/{slug}/")
    assert recording.flush()
    return [hot_key.key for hot_key in hot_keys.hottest("tests.brand", 10)]


def test_a_page_that_is_never_stored_is_never_warmed(client: Client, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_KEY_BYTES": 10}
    assert client.get("/brand/acme/").headers["Cache-Status"].endswith("key_too_long")
    assert recording.flush()
    assert hot_keys.hottest("tests.brand", 10) == []


def test_an_invented_url_is_never_warmed(client: Client) -> None:
    for _ in range(3):
        assert client.get("/brand/invented/").status_code == 404
    assert status(client, "/brand/invented/") == "larder; hit"
    assert recording.flush()
    assert hot_keys.hottest("tests.brand", 10) == []


def status(client: Client, path: str) -> str:
    return client.get(path).headers["Cache-Status"]


def verdicts(entry_keys: list[str]) -> list[Verdict]:
    return [engine.look_up(key).verdict for key in entry_keys]


def last_run() -> JobRun:
    return JobRun.objects.filter(name="warm").latest("started_at")


def test_pages_that_moved_are_filled_and_the_next_visitor_hits(client: Client, visited: list[str]) -> None:
    Brand.objects.update(name=Concat("name", Value("!")))
    assert verdicts(visited) == [Verdict.UNUSABLE] * 3
    assert warm.warm() == 3
    assert verdicts(visited) == [Verdict.FRESH] * 3
    response = client.get("/brand/acme/")
    assert (response.content, response.headers["Cache-Status"]) == (b"Acme!", "larder; hit")


def test_pages_that_are_gone_are_filled(visited: list[str]) -> None:
    redis_client.client().delete(*visited)
    assert warm.warm() == 3
    assert verdicts(visited) == [Verdict.FRESH] * 3


def test_fresh_pages_are_left_alone(visited: list[str]) -> None:
    before = [engine.look_up(key).entry for key in visited]
    assert warm.warm() == 0
    assert [engine.look_up(key).entry for key in visited] == before


def test_pages_near_their_end_are_filled_while_visitors_get_hits(
    client: Client, visited: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [engine.look_up(key) for key in visited]
    monkeypatch.setattr(warm, "NEAR_END", 1.0)
    assert warm.warm() == 3
    after = [engine.look_up(key) for key in visited]
    assert [lookup.verdict for lookup in before + after] == [Verdict.FRESH] * 6
    assert all(
        new.entry and old.entry and new.entry.stored > old.entry.stored
        for old, new in zip(before, after, strict=True)
    )


def test_the_share_of_the_ttl_that_is_left_decides(visited: list[str]) -> None:
    policy = find_policy("tests.brand")
    assert policy is not None
    assert not warm.needs_filling(policy, visited[0])
    longer = Policy(name="tests.longer", kind="page", ttl=policy.ttl * 11)
    assert warm.needs_filling(longer, visited[0])


def test_the_hottest_come_first_within_the_limit(visited: list[str]) -> None:
    redis_client.client().delete(*visited)
    assert warm.warm(limit=2) == 2
    assert verdicts(visited) == [Verdict.FRESH, Verdict.FRESH, Verdict.UNUSABLE]


def test_a_run_ends_with_its_budget(visited: list[str]) -> None:
    redis_client.client().delete(*visited)
    assert warm.warm(seconds=0) == 0
    assert last_run().note == "out of time after 0 of 3"


def test_its_reads_are_not_counted(visited: list[str]) -> None:
    before = redis_client.client().hgetall(keys.STATS_TOTAL)
    redis_client.client().delete(*visited)
    warm.warm()
    assert recording.flush()
    assert redis_client.client().hgetall(keys.STATS_TOTAL) == before


def test_a_run_is_recorded(visited: list[str]) -> None:
    redis_client.client().delete(visited[0])
    warm.warm()
    run = last_run()
    assert (run.done, run.errors, run.note) == (1, 0, "")
    assert run.finished_at is not None
    assert run.finished_at >= run.started_at


def test_a_page_that_is_not_stored_is_noted(client: Client, visited: list[str], settings: Any) -> None:
    redis_client.client().delete(visited[0])
    settings.ALLOWED_HOSTS = ["elsewhere.example"]
    assert warm.warm() == 0
    assert last_run().note == "/brand/acme/: not a cached page on this host"


def test_a_page_that_fails_is_counted_and_the_rest_goes_on(client: Client, visited: list[str]) -> None:
    client.get("/broken/")
    recording.flush()
    Brand.objects.create(name="Broken", slug="broken")
    Brand.objects.update(name=Concat("name", Value("!")))
    assert warm.warm() == 3
    assert verdicts(visited) == [Verdict.FRESH] * 3
    assert last_run().errors == 1
    assert "/broken/ answers 500" in last_run().note


def test_a_hot_key_with_the_recipe_of_another_page_is_refused(visited: list[str]) -> None:
    acme, bolt, _ = hot_keys.hottest("tests.brand", 10)
    redis_client.client().flushall()
    runner.runner.run()
    recording.record_read(
        "tests.brand", "hit", "", 0.0, key=acme.key, recipe=PageRecipe.of_plain(bolt.recipe)
    )
    assert recording.flush()
    assert warm.warm() == 0
    assert last_run().errors == 1
    assert "describes" in last_run().note
    assert verdicts(visited) == [Verdict.UNUSABLE] * 3


def test_one_run_at_a_time(visited: list[str]) -> None:
    with redis_client.client().lock(keys.JOB + "warm", timeout=600):
        assert warm.warm() is None
    assert last_run().note == "another process runs this job"
    assert warm.warm() == 0


def test_a_run_whose_process_died_is_closed_by_the_next(visited: list[str]) -> None:
    dead = JobRun.objects.create(name="warm", started_at=timezone.now(), done=7)
    other = JobRun.objects.create(name="reconcile", started_at=timezone.now())
    warm.warm()
    dead.refresh_from_db()
    other.refresh_from_db()
    assert (dead.finished_at is not None, dead.done, dead.errors, dead.note) == (
        True,
        7,
        1,
        "its process died",
    )
    assert other.finished_at is None


def test_a_run_without_redis_is_recorded_with_its_error(visited: list[str], valkey: Valkey) -> None:
    valkey.stop()
    with pytest.raises(StoreDown):
        warm.warm()
    assert last_run().errors == 1
    assert last_run().finished_at is not None


def test_progress_is_seen_while_it_runs(visited: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "REPORT_EVERY", 0.0)
    redis_client.client().delete(*visited)
    reports: list[tuple[int, int, int, Any]] = []

    def report(done: int, total: int) -> None:
        run = last_run()
        reports.append((done, total, run.done, run.finished_at))

    warm.warm(progress=report)
    assert reports == [(1, 3, 1, None), (2, 3, 2, None), (3, 3, 3, None)]


def test_the_command_warms_a_policy_or_all(visited: list[str]) -> None:
    for arguments in (["tests.brand"], ["--all"]):
        redis_client.client().delete(*visited)
        out = StringIO()
        call_command("warm", *arguments, stdout=out)
        assert out.getvalue() == "3 pages filled.\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name policies"),
        (["--all", "tests.brand"], "Name policies"),
        (["tests.gone"], "no page policy tests.gone"),
    ],
)
def test_the_command_refuses_wrong_arguments(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("warm", *arguments)
