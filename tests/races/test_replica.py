"""Reads that are sent to a replica, which may lag behind.

See docs/races.md, "A replica that lags behind".
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections, transaction
from psycopg.conninfo import conninfo_to_dict

from cachecontrol import engine
from cachecontrol.api import depends_on
from cachecontrol.core.dependency import Dependency
from cachecontrol.core.policy import Policy, register_policy
from cachecontrol.core.reading import ReadRequest
from cachecontrol.dependencies.collection import Collection, collecting
from cachecontrol.exceptions import StoreDown
from cachecontrol.frontends import frontend
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.replies import one_row
from tests.shelf import cluster
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from cachecontrol.core.reading import ReadResult


class Reads:
    """Sends every read to the replica."""

    def db_for_read(self, model: Any, **hints: Any) -> str:
        return "replica"

    def db_for_write(self, model: Any, **hints: Any) -> str:
        return "default"


@pytest.fixture(scope="module")
def standby(django_db_setup: None, django_db_blocker: Any) -> Iterator[Any]:
    with django_db_blocker.unblock(), cluster.clone(standby=True) as server:
        yield server


@pytest.fixture
def replica(world: World, standby: Any, settings: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the replica that Django reads from."""
    place = {"HOST": conninfo_to_dict(standby.url)["host"], "PORT": ""}
    connections.settings["replica"] = {**connections.settings["default"], **place}
    settings.CACHECONTROL = {**settings.CACHECONTROL, "REPLICAS": ("replica",), "BREAKER_SECONDS": 0.0}
    settings.DATABASE_ROUTERS = [Reads()]
    with cluster.connect(standby) as own:
        _follow(world, own)
        yield own
        own.execute("SELECT pg_wal_replay_resume()")
    connections["replica"].close()
    del connections["replica"]
    del connections.settings["replica"]


def _follow(world: World, replica: psycopg.Connection[Any]) -> None:
    """Wait until the replica has replayed all that the primary has written."""
    (position,) = world.run("SELECT pg_current_wal_insert_lsn()").fetchone()
    replayed = "SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn"
    world.run("SELECT pg_switch_wal()")
    cluster._wait(lambda: one_row(replica.execute(replayed, [position]))[0])


def _price(world: World) -> str:
    return str(world.run("SELECT price FROM shelf_item WHERE id = 1").fetchone()[0])


@pytest.mark.parametrize("name", DOORS)
@pytest.mark.parametrize("is_known", [True, False], ids=["known", "unknown"])
def test_a_replica_that_lags_behind_answers_nobody(
    world: World, replica: Any, name: str, is_known: bool
) -> None:
    """Whether Redis knows the tag that moved past the replica, or has to believe its clock."""
    if is_known:
        DOORS[name].ask(Subject.ROW)
    replica.execute("SELECT pg_wal_replay_pause()")
    world.change_and_drain(Subject.ROW)
    assert DOORS[name].ask(Subject.ROW) == _price(world) == "11"
    replica.execute("SELECT pg_wal_replay_resume()")
    world.drain()
    assert DOORS[name].ask(Subject.ROW) == "11"


@pytest.mark.parametrize("name", DOORS)
def test_a_count_on_a_replica_that_lags_behind_answers_nobody(world: World, replica: Any, name: str) -> None:
    replica.execute("SELECT pg_wal_replay_pause()")
    world.change_and_drain(Subject.COUNT)
    assert DOORS[name].ask(Subject.COUNT) == "3"


@pytest.mark.parametrize("name", DOORS)
def test_a_replica_that_keeps_up_fills_the_cache(
    world: World, replica: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door: Door = DOORS[name]
    world.change_and_drain(Subject.ROW)
    _follow(world, replica)
    used: list[str] = []
    monkeypatch.setattr(Collection, "add_positions", _noting(used, Collection.add_positions))
    assert door.ask(Subject.ROW) == "11"
    assert door.ask(Subject.ROW) == "11"
    assert world.last.outcome is Outcome.HIT
    assert used == ["replica"]
    world.change_and_drain(Subject.ROW)
    assert door.ask(Subject.ROW) == _price(world) == "12"


def test_declared_sql_counts_on_the_server_that_ran_it(world: World, replica: Any) -> None:
    replica.execute("SELECT pg_wal_replay_pause()")
    world.change_and_drain(Subject.ROW)
    own = Collection("default")
    with collecting(own) as collection, depends_on(Item), connections["replica"].cursor() as cursor:
        cursor.execute("SELECT price FROM shelf_item WHERE id = 1")
        assert cursor.fetchone() == (10,)
    assert collection.final_refusal() is None
    assert collection.used_replica
    assert (
        collection.tags[Dependency("shelf_item")]
        == collection.read_point("replica").position
        < collection.first_read_point.position
    )


def test_sql_that_always_asks_a_replica_runs_twice_at_most(world: World, replica: Any) -> None:
    """Asking the primary instead changes nothing where the code itself names the replica."""
    runs: list[str] = []

    def compute() -> Any:
        runs.append("run")
        with depends_on(Item), connections["replica"].cursor() as cursor:
            cursor.execute("SELECT price FROM shelf_item WHERE id = 1")
            return cursor.fetchone()[0]

    replica.execute("SELECT pg_wal_replay_pause()")
    world.change_and_drain(Subject.ROW)
    result = _read(compute)
    assert (result.value, result.refusal, len(runs)) == (10, "moved", 2)


@pytest.mark.parametrize("context", [Context, copy_context], ids=["empty", "copied"])
def test_a_thread_of_a_fill_is_not_answered_by_a_replica_that_lags_behind(
    world: World, replica: Any, context: Callable[[], Context]
) -> None:
    """The fill does not see what its thread reads, so that it cannot ask the primary afterwards."""

    def read() -> Any:
        try:
            return Item.objects.get(pk=1).price
        finally:
            connections.close_all()

    def compute() -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(context().run, read).result()

    replica.execute("SELECT pg_wal_replay_pause()")
    world.change_and_drain(Subject.ROW)
    policy = register_policy(Policy(name="shelf.thread", kind="query", ttl=60.0))
    key = frontend.entry_key(policy, "", "thread")
    result = engine.read(
        ReadRequest(policy=policy, key=key, compute=compute, database="default", recipe=None)
    )
    assert (str(result.value), result.refusal) == (_price(world), "thread")


def _read(compute: Callable[[], Any]) -> ReadResult[Any]:
    """Read a value of a front end that computes it in this way."""
    policy = register_policy(Policy(name="shelf.declared", kind="query", ttl=60.0))
    key = frontend.entry_key(policy, "", "declared")
    return engine.read(ReadRequest(policy=policy, key=key, compute=compute, database="default", recipe=None))


def _noting(used: list[str], take: Any) -> Any:
    def note(collection: Collection, *args: Any, **kwargs: Any) -> None:
        used.extend(alias for alias in collection.read_points if alias not in used)
        take(collection, *args, **kwargs)

    return note


def test_a_read_of_a_replica_before_the_commit_does_not_forget_the_write(world: World, replica: Any) -> None:
    """What this thread wrote on the primary is drained once it is committed."""
    items = Item.objects.using("default").cached("shelf.query", ttl=3600)
    assert items.get(pk=1).price == 10
    with transaction.atomic():
        Item.objects.filter(pk=1).update(price=88)
        DOORS["query"].ask(Subject.COUNT)
    assert elsewhere(lambda: items.get(pk=1).price) == 88


def test_a_fill_that_connects_anew_is_not_stored(world: World, replica: Any) -> None:
    """Another replica of the same name may answer, which is behind the position of the first."""
    with cluster.clone(standby=True) as behind, cluster.connect(behind) as own:
        own.execute("SELECT pg_wal_replay_pause()")
        world.change_and_drain(Subject.ROW)
        _follow(world, replica)
        with collecting(Collection("replica")) as collection:
            DOORS["query"].truth(Subject.COUNT)
            connections["replica"].close()
            connections["replica"].settings_dict["HOST"] = conninfo_to_dict(behind.url)["host"]
            assert DOORS["query"].truth(Subject.ROW) == "10"
        assert collection.final_refusal() == ("session", "replica")


@pytest.mark.parametrize("name", DOORS)
def test_without_redis_reads_go_to_the_primary(
    world: World, replica: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.execute("SELECT pg_wal_replay_pause()")
    world.change(Subject.ROW)

    def down(*_: Any, **__: Any) -> None:
        raise StoreDown("gone")

    monkeypatch.setattr(protocol, "read", down)
    assert DOORS[name].ask(Subject.ROW) == _price(world) == "11"
