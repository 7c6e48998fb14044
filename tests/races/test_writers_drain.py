"""A writer's drain carries what it committed, and vouches for nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachecontrol import drain, store

if TYPE_CHECKING:
    from tests.shelf.reads import Subject
    from tests.shelf.world import Door, World


def test_it_carries_every_commit(world: World, door: Door, subject: Subject) -> None:
    door.ask(subject)
    world.change(subject)
    drain.drain.run(certify=False)
    assert door.ask(subject) == door.truth(subject)
    assert world.last.reason == "moved"


def test_it_leaves_the_clock_as_old_as_it_was(world: World) -> None:
    world.drain()
    before = store.clock()
    drain.drain.run(certify=False)
    assert store.clock().time == before.time


def test_it_leaves_altered_tables_to_a_drain_that_certifies(world: World) -> None:
    world.drain()
    before = store.clock().tables
    world.run("ALTER TABLE shelf_item ADD COLUMN spare integer")
    drain.drain.run(certify=False)
    assert store.clock().tables == before
    world.drain()
    assert store.clock().tables != before
    world.run("ALTER TABLE shelf_item DROP COLUMN spare")


def test_it_begins_a_new_epoch_where_the_clock_is_gone(world: World) -> None:
    world.redis.flushall()
    drain.drain.run(certify=False)
    assert store.clock().tables
