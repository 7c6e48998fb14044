"""A short drain, as a writer's, carries what was committed, and certifies only what it knows.

See docs/races.md, "A short drain that knows too little".
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from cachecontrol.drain import catch_up, runner
from cachecontrol.drain.drainer import LONGEST_WITHOUT_LOOK
from cachecontrol.drain.primary import Primary
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.postgres import drain_query
from cachecontrol.redis import keys, protocol
from tests.patience import LONG
from tests.replies import fields_of, in_bytes
from tests.shelf.reads import Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from tests.shelf.world import Door, World

PATIENCE = 50


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


def test_it_leaves_the_clock_as_old_as_it_was_if_a_transaction_has_ended(world: World) -> None:
    """The transaction may have altered a table, or written past a trigger that was disabled for a moment."""
    runner.runner.run()
    before = protocol.clock()
    world.run("SELECT pg_current_xact_id()")
    assert not runner.runner.run(certify=False).has_certified
    assert not runner.runner.run(certify=False).has_certified
    assert protocol.clock().time == before.time


def test_it_certifies_if_nothing_has_happened_since_a_look_at_the_tables(world: World) -> None:
    """What it certifies is the time of the drain before. Other databases of the server may disturb: then it is tried again."""
    for _ in range(PATIENCE):
        runner.runner.run()
        before = protocol.clock()
        result = runner.runner.run(certify=False)
        now = protocol.clock()
        if now.snapshot == before.snapshot:
            break
    assert result.has_certified
    assert int(before.time) < int(now.time) < before.now + 1_000_000
    runner.runner.run(certify=False)
    assert int(now.time) < int(protocol.clock().time)


def test_a_write_past_a_disabled_trigger_is_noticed_before_its_time_is_certified(
    world: World, door: Door
) -> None:
    door.ask(Subject.ROW)
    runner.runner.run()
    world.run("ALTER TABLE shelf_item DISABLE TRIGGER cachecontrol_update")
    world.change(Subject.ROW)
    world.run("ALTER TABLE shelf_item ENABLE ALWAYS TRIGGER cachecontrol_update")
    written = protocol.clock().now
    for _ in range(3):
        assert not runner.runner.run(certify=False).has_certified
    assert int(protocol.clock().time) < written
    assert runner.runner.drainer._has_certified is False
    runner.runner.run()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_it_certifies_nothing_where_redis_lost_moves(world: World) -> None:
    for _ in range(PATIENCE):
        runner.runner.run()
        before = protocol.clock()
        world.redis.hset(keys.CLOCK, mapping={"rank": "1", "time": "1"})
        result = runner.runner.run(certify=False)
        last = runner.runner.drainer.primary.connection().last_drain
        if last is not None and last.state.snapshot == before.snapshot:
            break
    assert not result.has_certified
    assert protocol.clock().time == "1"
    assert runner.runner.run().has_certified


def test_a_process_that_drains_all_the_time_looks_when_it_must(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": 2.0, "DRAIN_INTERVAL": 0.01}
    drainer = DrainRunner().drainer
    assert drainer.is_look_due()
    drainer.drain(certify=True, seconds=LONG)
    drainer._look_seconds = 0.001
    assert not drainer.is_look_due(), "it has certified"
    world.run("SELECT pg_current_xact_id()")
    drainer.drain(certify=False, seconds=LONG)
    drainer._looked -= 0.03
    assert drainer.is_look_due(), "a transaction has ended"
    drainer._look_seconds = 1.0
    assert not drainer.is_look_due(), "looks must not take all of its time"
    drainer._looked -= 0.6
    assert drainer.is_look_due(), "the clock must not become old"
    drainer.drain(certify=True, seconds=LONG)
    drainer._looked -= LONGEST_WITHOUT_LOOK
    assert drainer.is_look_due(), "other programs may have changed the clock"
    drainer.primary.close()


def test_a_short_drain_asks_as_much_however_many_tables_there_are(world: World) -> None:
    """An idle process that drains all the time: one statement, which names no table, and one script."""
    with (
        staged(protocol, "_move", after=lambda: None),
        mock.patch.object(protocol, "_clock", side_effect=AssertionError("the clock was asked")),
        mock.patch.object(Primary, "_execute", autospec=True, side_effect=Primary._execute) as asked,
    ):
        runner.runner.run(certify=False)
    (call,) = asked.call_args_list
    assert "cachecontrol_tracked" not in call.args[1]


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
    assert own.last_drain
    own.last_drain = dataclasses.replace(
        own.last_drain, state=dataclasses.replace(own.last_drain.state, backend=0)
    )
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
