"""A writer's drain carries what it committed, and vouches for nothing else.

See docs/races.md, "A writer's drain that knows too little".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from cachecontrol.drain import catch_up, runner
from cachecontrol.postgres import drain_query
from cachecontrol.redis import keys, protocol
from tests.replies import fields_of, in_bytes
from tests.shelf.reads import Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from tests.shelf.world import Door, World


@pytest.fixture(autouse=True)
def drained(world: World) -> None:
    """A whole drain came first, as the first drain of a process always is one."""
    runner.runner.run()


def test_it_carries_every_commit(world: World, door: Door, subject: Subject) -> None:
    door.ask(subject)
    world.change(subject)
    runner.runner.run(certify=False)
    assert door.ask(subject) == door.truth(subject)
    assert world.last.reason == "moved"


def test_it_leaves_the_clock_as_old_as_it_was(world: World) -> None:
    world.drain()
    before = protocol.clock()
    runner.runner.run(certify=False)
    assert protocol.clock().time == before.time


def test_it_leaves_altered_tables_to_a_drain_that_certifies(world: World) -> None:
    world.drain()
    before = protocol.clock().tables
    world.run("ALTER TABLE shelf_item ADD COLUMN spare integer")
    runner.runner.run(certify=False)
    assert protocol.clock().tables == before
    world.drain()
    assert protocol.clock().tables != before
    world.run("ALTER TABLE shelf_item DROP COLUMN spare")


def test_it_begins_a_new_epoch_where_the_clock_is_gone(world: World) -> None:
    world.redis.flushall()
    runner.runner.run(certify=False)
    assert protocol.clock().tables


def test_a_new_connection_knows_nothing_of_the_drains_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its backend may have the number of the last one's: a server that started again counts from the beginning."""
    for name in ("CARRY_SQL", "WHOLE_SQL"):
        monkeypatch.setattr(drain_query, name, getattr(drain_query, name).replace("pg_backend_pid()", "1"))
    runner.runner.run()
    runner.runner.close()
    with staged(protocol, "clock", after=lambda: None):
        runner.runner.run(certify=False)


def test_it_asks_redis_once_and_the_database_once(world: World) -> None:
    world.run("UPDATE shelf_item SET price = 1")
    primary = runner.runner.drainer.primary
    with (
        staged(protocol, "_move", after=lambda: None),
        mock.patch.object(protocol, "_clock", side_effect=AssertionError("the clock was asked")),
        mock.patch.object(primary, "_execute", wraps=primary._execute) as asked,
    ):
        runner.runner.run(certify=False)
    assert asked.call_count == 1


def test_it_becomes_a_whole_one_on_another_backend(world: World) -> None:
    """Behind a pooler the next statement may be answered by a server that recovered since.

    See docs/races.md, "A crash of PostgreSQL".
    """
    own = runner.runner.drainer.primary.connection()
    assert own.last_state
    own.last_state = dataclasses.replace(own.last_state, backend=0)
    with staged(protocol, "_clock", after=lambda: None):
        runner.runner.run(certify=False)


def test_it_carries_although_the_server_ended_its_connection(world: World, door: Door) -> None:
    """PostgreSQL restarted or failed over since: the writer's own connection is new, and its commit has to be seen."""
    door.ask(Subject.ROW)
    backend = runner.runner.drainer.primary.connection().info.backend_pid
    world.run(f"SELECT pg_terminate_backend({backend}, 10000)")
    world.change(Subject.ROW)
    assert catch_up.catch_up(certify=False)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_it_becomes_a_whole_one_where_the_log_was_pruned_past_what_it_saw(world: World, door: Door) -> None:
    world.run("UPDATE cachecontrol_epoch SET pruned_rank = 9000000000")
    epoch = protocol.clock().epoch
    runner.runner.run(certify=False)
    assert protocol.clock().epoch != epoch


def test_it_becomes_a_whole_one_for_more_than_one_call_can_move(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "TAGS_PER_CALL", 1)
    door.ask(Subject.LIST)
    world.change(Subject.LIST)
    with staged(protocol, "_clock", after=lambda: None):
        runner.runner.run(certify=False)
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


def test_it_becomes_a_whole_one_where_its_statement_left_tags_out(
    world: World, door: Door, settings: Any
) -> None:
    """However few tags a drain may move one by one: what was not read must not count as moved."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "TAGS_PER_DRAIN": 1}
    door.ask(Subject.ROW)
    world.run("UPDATE shelf_shelf SET name = name || '!'")
    world.change(Subject.ROW)
    runner.runner.run(certify=False)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_it_replays_nothing_but_vouches_for_nothing_either_where_redis_lost_moves(
    world: World, door: Door
) -> None:
    """The clock fell behind what this process drained: a whole drain moves what was lost."""
    door.ask(Subject.ROW)
    before, entries = fields_of(world.redis, "cc:{0}:clock"), _strings(world)
    world.change(Subject.ROW)
    runner.runner.run(certify=False)
    world.redis.hset("cc:{0}:clock", mapping=dict[Any, Any](before))
    for key, value in entries.items():
        world.redis.set(key, value, keepttl=True)
    runner.runner.run(certify=False)
    assert protocol.clock().rank == before["rank"].decode()
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def _strings(world: World) -> dict[bytes, bytes]:
    return {in_bytes(key): in_bytes(world.redis.get(key)) for key in world.redis.keys("cc:{0}:t:*")}
