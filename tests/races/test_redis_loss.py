"""Redis restarts or fails over and has lost the last writes it acknowledged.

See docs/races.md, "Redis lost its last writes".
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from cachecontrol.drain import runner
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.exceptions import StoreDown
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol, redis_client
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged
from tests.shelf.world import Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from project.local.valkey import Valkey


@pytest.fixture
def lose(world: World, valkey: Valkey, settings: Any) -> Iterator[Callable[[], None]]:
    """Save what Redis has now; each call of the fixture kills Redis, which comes back as it was saved."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0}
    saved = valkey.home / "dump.rdb"

    def crash() -> None:
        pid = valkey.pid()
        assert pid
        os.kill(pid, signal.SIGKILL)
        while valkey.pid():
            time.sleep(0.01)
        valkey.start()

    yield crash
    saved.unlink(missing_ok=True)


def test_moves_that_redis_lost_are_replayed(world: World, door: Door, lose: Callable[[], None]) -> None:
    door.ask(Subject.LIST)
    world.redis.save()
    world.change_and_drain(Subject.LIST)
    lose()
    assert world.redis.exists("cc:{0}:clock")
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


def test_an_entry_that_nothing_moved_survives_the_restart(
    world: World, door: Door, lose: Callable[[], None]
) -> None:
    door.ask(Subject.ROW)
    world.redis.save()
    lose()
    world.drain()
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_drain_that_spans_the_loss_does_not_skip_what_was_lost(
    world: World, door: Door, lose: Callable[[], None]
) -> None:
    door.ask(Subject.ROW)
    world.redis.save()
    world.change_and_drain(Subject.ROW)
    world.change(Subject.COUNT)
    with staged(protocol, "move", before=lose):
        world.drain()
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def _write_past_a_trigger(world: World) -> None:
    world.run("ALTER TABLE shelf_item DISABLE TRIGGER cachecontrol_update")
    world.change(Subject.ROW)
    world.run("ALTER TABLE shelf_item ENABLE ALWAYS TRIGGER cachecontrol_update")


def test_a_short_drain_does_not_certify_where_redis_lost_the_moves_of_an_altered_table(
    world: World, lose: Callable[[], None]
) -> None:
    """Another process has carried the changes again, so the rank of the clock is what it was before the loss."""
    with contextlib.closing(DrainRunner()) as other:
        other.run()
        world.redis.save()
        _write_past_a_trigger(world)
        runner.runner.run()
        lose()
        other.run(certify=False)
        assert not runner.runner.run(certify=False).has_certified


def test_a_whole_drain_that_spans_the_loss_does_not_skip_an_altered_table(
    world: World, door: Door, lose: Callable[[], None]
) -> None:
    with contextlib.closing(DrainRunner()) as other:
        other.run()
        door.ask(Subject.ROW)
        world.redis.save()
        _write_past_a_trigger(world)
        world.drain()

        def rival() -> None:
            lose()
            other.run(certify=False)

        with staged(protocol, "clock", after=rival):
            runner.runner.run()
    runner.runner.run()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_loss_between_two_chunks_of_a_drain_skips_nothing(
    world: World, door: Door, lose: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first chunk's moves are gone, and the clock is as the drain saw it."""
    door.ask(Subject.LIST)
    door.ask(Subject.ROW)
    world.drain()
    world.redis.save()
    world.change(Subject.LIST)
    world.change(Subject.ROW)
    monkeypatch.setattr(keys, "TAGS_PER_CALL", 1)
    with staged(protocol, "_move", after=lose):
        world.drain()
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_fill_that_spans_the_loss_is_moved_by_the_replay(
    world: World, door: Door, lose: Callable[[], None]
) -> None:
    world.redis.save()

    def rival() -> None:
        world.change_and_drain(Subject.LIST)
        lose()

    with staged(protocol, "fill", before=rival):
        door.ask(Subject.LIST)
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


def test_a_redis_that_is_gone_costs_no_answer_and_no_write(
    world: World, door: Door, valkey: Valkey, settings: Any
) -> None:
    """Only the database answers, and what was written meanwhile is seen once Redis is back."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0}
    door.ask(Subject.ROW)
    valkey.stop()
    connection.cursor().execute("UPDATE shelf_item SET price = 77 WHERE id = 1")
    assert door.ask(Subject.ROW) == "77"
    assert world.last.reason == "redis_down"
    valkey.start()
    assert elsewhere(lambda: door.ask(Subject.ROW)) == "77"


def test_a_writer_cut_off_from_redis_is_carried_by_the_next_drain(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit stands, and another drain carries it. See docs/races.md, "A writer cut off from Redis"."""
    door.ask(Subject.LIST)

    def cut(*args: Any, **kwargs: Any) -> None:
        raise StoreDown("cut off")

    with monkeypatch.context() as patched:
        patched.setattr(runner.runner.drainer, "drain", cut)
        connection.cursor().execute(CHANGES[Subject.LIST])
    assert elsewhere(lambda: door.truth(Subject.LIST)) == door.truth(Subject.LIST)
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
    world.drain()
    assert elsewhere(lambda: door.ask(Subject.LIST)) == door.truth(Subject.LIST)


def test_a_server_that_became_a_replica_is_left(world: World, door: Door) -> None:
    """Its name may mean the new primary by then."""
    before = redis_client.thread_connection.send("CLIENT", "ID")
    world.redis.replicaof("127.0.0.1", 1)
    try:
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    finally:
        world.redis.replicaof("no", "one")
    assert redis_client.thread_connection.send("CLIENT", "ID") != before
