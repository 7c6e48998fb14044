"""The lease: one process fills, others wait for its answer, and nobody waits for one that will not come.

See docs/races.md, "A lease that passed on".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.redis import keys, protocol
from tests.shelf.reads import Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from tests.shelf.world import Door, World


def held(world: World) -> list[bytes]:
    """Leases that somebody holds: ``-`` says that nobody needs one."""
    return [key for key in world.redis.scan_iter(f"{keys.LEASE}*") if world.redis.get(key) != b"-"]


def test_a_refused_answer_gives_the_lease_back(world: World, door: Door, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_ENTRY_BYTES": 1}
    door.ask(Subject.ROW)
    assert not held(world)


def test_an_answer_of_an_epoch_that_ended_gives_the_lease_back(world: World, door: Door) -> None:
    def restart() -> None:
        world.redis.delete(keys.CLOCK)
        world.drain()

    with staged(protocol, "read", after=restart):
        door.ask(Subject.ROW)
    assert not held(world)


def test_a_view_that_fails_gives_the_lease_back(world: World, door: Door) -> None:
    world.run("ALTER TABLE shelf_item RENAME price TO cost")
    try:
        with pytest.raises(Exception, match="price"):
            door.ask(Subject.ROW)
    finally:
        world.run("ALTER TABLE shelf_item RENAME cost TO price")
    assert not held(world)
