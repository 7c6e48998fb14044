"""The clock in Redis says what no drain wrote: it counts as gone, and stands in nobody's way.

See docs/races.md, "A damaged clock".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.db import connection

from cachecontrol.drain import catch_up
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from tests.replies import in_bytes
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import DOORS, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

door = DOORS["query"]
DAMAGES = [b"", b"?", b"\xff\xfe", b"[]", b"9" * 30, b"1:2:3"]
FIELDS = ["epoch", "identity", "snapshot", "rank", "position", "time", "tables", "seen"]


@pytest.fixture(params=FIELDS)
def field(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def damages(world: World, field: str) -> Iterator[bytes | None]:
    """Damages one field of a sound clock in one way after the other."""

    def damaged() -> Iterator[bytes | None]:
        sound = in_bytes(world.redis.hget(keys.CLOCK, field))
        for damage in [*DAMAGES, sound.replace(b"0", b"z"), None]:
            world.redis.delete(keys.CLOCK)
            world.drain()
            if damage is None:
                world.redis.hdel(keys.CLOCK, field)
            else:
                world.redis.hset(keys.CLOCK, field, damage)
            yield damage

    return damaged()


def test_a_write_and_the_reads_after_it_go_on(world: World, damages: Iterator[bytes | None]) -> None:
    for damage in damages:
        connection.cursor().execute(CHANGES[Subject.ROW])
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW), damage
        assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW), damage


def test_an_epoch_of_a_far_future_does_not_use_up_the_numbers(world: World) -> None:
    world.redis.hset(keys.CLOCK, "epoch", "9999999999.0")
    world.drain()
    for expected in (Outcome.MISS, Outcome.HIT):
        door.ask(Subject.ROW)
        assert world.last.outcome is expected


def test_the_next_drain_sets_it_right(world: World, damages: Iterator[bytes | None]) -> None:
    for damage in damages:
        assert catch_up.catch_up(), damage
        clock = protocol.clock()
        assert int(clock.time) <= clock.now, damage
        door.ask(Subject.ROW)
        world.change_and_drain(Subject.ROW)
        for expected in (Outcome.MISS, Outcome.HIT):
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW), damage
            assert world.last.outcome is expected, (damage, world.last)


def test_a_change_of_an_xid_that_is_still_to_come_moves_nothing(world: World) -> None:
    """A change log of another cluster was restored, whose xids are ahead: else its tags would move at every drain."""
    door.ask(Subject.ROW)
    world.run(
        "INSERT INTO cachecontrol_change (xid, operation, relation, tags)"
        " VALUES ('999999999999', 'UPDATE', 'shelf_item', ARRAY['shelf_item#1', 'shelf_item*', 'shelf_item'])"
    )
    for _ in range(2):
        world.drain()
        door.ask(Subject.ROW)
        assert world.last.outcome is Outcome.HIT
