"""The promise, each sentence with a test that fails without it."""

from __future__ import annotations

import threading
import time
from typing import Any

import msgpack
import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from cachecontrol.drain import runner
from cachecontrol.exceptions import StoreDown, Unhermetic
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf import reads, views
from tests.shelf.models import Item
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import CLERK, Door, World, elsewhere

MAX_LAG = 0.4


def test_nothing_older_than_max_lag_is_served_although_nobody_drains(
    world: World, door: Door, subject: Subject, settings: Any
) -> None:
    """1. Bounded staleness: the writer is gone, and no drain process runs."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()
    door.ask(subject)
    world.change(subject)
    time.sleep(MAX_LAG)
    assert door.ask(subject) == door.truth(subject)


def test_where_freshness_cannot_be_proven_the_database_answers(
    world: World, door: Door, settings: Any, monkeypatch: Any
) -> None:
    """1. The clock is old, and no drain succeeds."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()
    door.ask(Subject.ROW)
    world.change(Subject.ROW)
    time.sleep(MAX_LAG)
    monkeypatch.setattr(runner.runner.drainer, "drain", _refuse)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "clock_old")


def _refuse(**_: Any) -> None:
    raise TimeoutError("nobody drains")


def test_a_commit_that_returned_is_seen_by_every_process(world: World, door: Door, subject: Subject) -> None:
    """2. Read your writes: the commit drains before it returns."""
    elsewhere(lambda: door.ask(subject))
    with transaction.atomic():
        connection.cursor().execute(CHANGES[subject])
    assert elsewhere(lambda: door.ask(subject)) == door.truth(subject)


def test_a_statement_that_is_its_own_transaction_is_seen_by_every_process(
    world: World, door: Door, subject: Subject
) -> None:
    elsewhere(lambda: door.ask(subject))
    connection.cursor().execute(CHANGES[subject])
    assert elsewhere(lambda: door.ask(subject)) == door.truth(subject)


def test_a_write_stands_although_redis_and_the_drain_fail(world: World, monkeypatch: Any) -> None:
    """3. The cache never stands in the way."""
    for error in (StoreDown("gone"), TimeoutError(), psycopg.OperationalError("gone")):

        def fail(*_: Any, error: Exception = error, **__: Any) -> None:
            raise error

        monkeypatch.setattr(runner.runner.drainer, "drain", fail)
        before = Item.objects.get(pk=1).price
        with transaction.atomic():
            Item.objects.filter(pk=1).update(price=before + 1)
        assert elsewhere(lambda: Item.objects.get(pk=1).price) == before + 1


def test_a_write_by_a_role_that_may_see_nothing_of_the_cache_stands(world: World, door: Door) -> None:
    """3. A role that may write a row may go on to do so. See docs/races.md, "A writer that the capture refuses"."""
    door.ask(Subject.ROW)
    world.run(f"CREATE ROLE {CLERK}")
    try:
        world.run(f"GRANT SELECT, UPDATE ON shelf_item TO {CLERK}")
        world.run(f"BEGIN; SET LOCAL ROLE {CLERK}; SET LOCAL search_path = ''; {_qualified()}; COMMIT")
    finally:
        world.run(f"DROP OWNED BY {CLERK}; DROP ROLE {CLERK}")
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "11"


def _qualified() -> str:
    return CHANGES[Subject.ROW].replace("shelf_item", "public.shelf_item")


def test_what_redis_holds_is_read_as_values_and_never_run(world: World, door: Door) -> None:
    """4. No code in the cache: an entry that somebody made is a value or a miss."""
    door.ask(Subject.ROW)
    (key,) = [*world.redis.scan_iter(f"{keys.ENTRY}*")]
    for forged in (b"\x80\x04\x95cposix\nsystem\n.", b"", b"\xc1", msgpack.packb([1, 2, 3]), b"\xdf" * 50):
        world.redis.hset(key, "body", forged)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_head_that_somebody_made_is_a_miss(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    (key,) = [*world.redis.scan_iter(f"{keys.ENTRY}*")]
    for forged in (b"", b"\xc1", msgpack.packb([1]), msgpack.packb(["", "", "", "", "", ""]), b"\xdf" * 50):
        world.redis.hset(key, "head", forged)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_signed_body_that_somebody_changed_is_a_miss(world: World, door: Door, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "SIGN_BODIES": True}
    door.ask(Subject.ROW)
    (key,) = [*world.redis.scan_iter(f"{keys.ENTRY}*")]
    body = in_bytes(world.redis.hget(key, "body"))
    world.redis.hset(key, "body", body.replace(b"10", b"99").replace(b"\x0a", b"\x63"))
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_page_sees_only_what_is_in_its_key(world: World) -> None:
    """5. Hermetic pages."""
    visitor = Client(headers={"User-Agent": "me", "X-Forwarded-For": "10.0.0.1", "Accept-Language": "de"})
    visitor.cookies["sessionid"] = "mine"
    seen = visitor.get("/seen/?secret=1&declared=2").json()
    assert seen == {
        "GET": {"declared": ["2"]},
        "cookies": {},
        "headers": {"Host": "testserver"},
        "user": False,
    }
    assert Client().get("/seen/?declared=2").json() == seen
    assert world.last.outcome is Outcome.HIT


def test_a_fragment_is_given_plain_values_only(world: World) -> None:
    """5. An instance was read before the fragment began. See docs/races.md, "Data read before the fill began"."""
    with pytest.raises(Unhermetic):
        views.fragment(Item.objects.get(pk=1))  # type: ignore[arg-type]  # what is refused


def test_a_fragment_sees_nothing_of_the_page_around_it(world: World) -> None:
    assert views.outside({"subject": "row", "loaded": "before"}) == "[]"


def test_a_page_that_read_what_cannot_be_tracked_is_served_and_not_stored(world: World) -> None:
    """6. Refuse when unsure."""
    for _ in range(2):
        assert Client().get("/raw/").content == b"3"
        assert world.last.outcome is Outcome.MISS
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]


def test_a_hit_is_one_call_to_redis_and_no_statement(world: World, door: Door, calls: list[str]) -> None:
    door.ask(Subject.LIST)
    door.ask(Subject.LIST)
    calls.clear()
    with CaptureQueriesContext(connection) as queries:
        door.ask(Subject.LIST)
    assert world.last.outcome is Outcome.HIT
    assert (calls, len(queries)) == (["EVALSHA"], 0)


def test_a_miss_is_two_calls_to_redis_and_one_statement_more(
    world: World, door: Door, calls: list[str]
) -> None:
    door.ask(Subject.ROW)
    calls.clear()
    with CaptureQueriesContext(connection) as queries:
        door.ask(Subject.LIST)
    assert world.last.outcome is Outcome.MISS
    assert (calls, len(queries)) == (["EVALSHA", "EVALSHA"], 2)


def test_a_commit_is_one_call_to_redis(world: World, calls: list[str]) -> None:
    Item.objects.filter(pk=1).update(price=1)
    Item.objects.filter(pk=1).update(price=2)
    calls.clear()
    Item.objects.filter(pk=1).update(price=3)
    assert calls == ["EVALSHA"]


def test_readers_that_wait_share_one_computation(world: World, monkeypatch: Any) -> None:
    """A hot page is computed once for all readers who ask for it at the same time.

    See docs/races.md, "A hot page that keeps changing".
    """
    computed, started = [], threading.Barrier(6)
    original = reads.read

    def slow(subject: str, **options: Any) -> Any:
        computed.append(subject)
        time.sleep(0.2)
        return original(subject, **options)

    monkeypatch.setattr(reads, "read", slow)

    def ask() -> str:
        started.wait(LONG)
        return Client().get("/page/list/").content.decode()

    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(elsewhere(ask))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert answers == ["[10, 20]"] * 6
    assert len(computed) == 1
