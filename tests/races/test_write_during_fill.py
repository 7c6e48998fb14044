"""A writer commits between a reader's SELECT and its store.

See docs/races.md, "A commit between a query and its store".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachecontrol import engine
from cachecontrol.postgres import read_point
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from tests.shelf.reads import Subject
    from tests.shelf.world import Door, World


def test_what_was_read_before_a_drained_commit_is_not_stored(
    world: World, door: Door, subject: Subject
) -> None:
    with staged(protocol, "fill", before=lambda: world.change_and_drain(subject)):
        door.ask(subject)
    assert door.ask(subject) == door.truth(subject)
    assert world.last.outcome is not Outcome.HIT


def test_what_was_read_before_a_commit_moves_with_the_next_drain(
    world: World, door: Door, subject: Subject
) -> None:
    with staged(protocol, "fill", before=lambda: world.change(subject)):
        door.ask(subject)
    world.drain()
    assert door.ask(subject) == door.truth(subject)


def test_a_commit_after_the_position_and_before_the_select_costs_at_most_a_miss(
    world: World, door: Door, subject: Subject
) -> None:
    with staged(read_point, "read_point", after=lambda: world.change_and_drain(subject)):
        assert door.ask(subject) == door.truth(subject)
    assert door.ask(subject) == door.truth(subject)


def test_a_commit_before_the_lease_is_in_the_answer(world: World, door: Door, subject: Subject) -> None:
    with staged(engine, "look_up", before=lambda: world.change_and_drain(subject)):
        assert door.ask(subject) == door.truth(subject)


def test_an_entry_that_nothing_moved_is_a_hit(world: World, door: Door, subject: Subject) -> None:
    first = door.ask(subject)
    world.drain()
    assert door.ask(subject) == first == door.truth(subject)
    assert world.last.outcome is Outcome.HIT


def test_an_entry_ends_with_the_drain_that_follows_the_commit(
    world: World, door: Door, subject: Subject
) -> None:
    door.ask(subject)
    world.change_and_drain(subject)
    assert door.ask(subject) == door.truth(subject)
    assert world.last.reason == "moved"
