"""Redis forgets in the middle of a fill: tags, the clock, everything, or it is full.

See docs/races.md, "Redis forgets during a fill" and "A full Redis".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.world import Door, World


def _evict_tags(world: World) -> None:
    for key in world.redis.scan_iter(f"{keys.TAG}*"):
        world.redis.delete(key)


def _evict_clock(world: World) -> None:
    world.redis.delete(keys.CLOCK)


def _flush(world: World) -> None:
    world.redis.flushall()


LOSSES = {"tags": _evict_tags, "clock": _evict_clock, "everything": _flush}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_late_store_does_not_bring_back_what_moved_before_it_was_forgotten(
    world: World, door: Door, loss: str
) -> None:
    def rival() -> None:
        world.change_and_drain(Subject.LIST)
        LOSSES[loss](world)

    with staged(protocol, "fill", before=rival):
        door.ask(Subject.LIST)
    for _ in range(2):
        world.drain()
        assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_late_store_after_the_loss_and_a_new_drain_is_not_believed(
    world: World, door: Door, loss: str
) -> None:
    def rival() -> None:
        world.change_and_drain(Subject.LIST)
        LOSSES[loss](world)
        world.drain()

    with staged(protocol, "fill", before=rival):
        door.ask(Subject.LIST)
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_was_forgotten_under_an_entry_ends_it(world: World, door: Door, loss: str) -> None:
    door.ask(Subject.ROW)
    world.change(Subject.ROW)
    LOSSES[loss](world)
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


@pytest.fixture
def full(world: World) -> Iterator[World]:
    """A Redis that refuses to store more."""
    yield world
    world.redis.config_set("maxmemory", "256mb")
    world.redis.config_set("maxmemory-policy", "volatile-lru")


def _fill_up(world: World) -> None:
    world.redis.config_set("maxmemory-policy", "noeviction")
    world.redis.config_set("maxmemory", 1)


def test_a_full_redis_serves_what_was_computed(full: World, door: Door) -> None:
    with staged(protocol, "fill", before=lambda: _fill_up(full)):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not [*full.redis.scan_iter(f"{keys.ENTRY}*:*")]


def test_a_full_redis_still_drains_and_still_answers(full: World, door: Door) -> None:
    door.ask(Subject.ROW)
    _fill_up(full)
    full.drain()
    door.ask(Subject.ROW)
    assert full.last.outcome is Outcome.HIT
    full.change_and_drain(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_who_reads_a_tag_first_and_stores_last_is_not_refused_where_nothing_moved(world: World) -> None:
    """Two entries meet over a tag that Redis does not know, and the database wrote something else between their positions."""

    def overtake() -> None:
        world.run("SELECT pg_logical_emit_message(false, 'other', 'work')")
        DOORS["fragment"].ask(Subject.ROW)

    with staged(protocol, "fill", before=overtake):
        DOORS["query"].ask(Subject.ROW)
    for name in ("query", "fragment"):
        DOORS[name].ask(Subject.ROW)
        assert world.last.outcome is Outcome.HIT, name
