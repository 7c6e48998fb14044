"""A drain pauses between its statement and its call to Redis.

See docs/races.md, "A drain that pauses".
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

from cachecontrol.drain import catch_up
from cachecontrol.drain.primary import Primary
from cachecontrol.drain.runner import DrainRunner, runner
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS

if TYPE_CHECKING:
    import pytest

    from tests.shelf.world import Door, World

MAX_LAG = 0.3


def test_a_drain_that_paused_does_not_vouch_for_what_was_committed_meanwhile(
    world: World, door: Door, settings: Any
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    door.ask(Subject.ROW)

    def pause() -> None:
        world.change(Subject.ROW)
        time.sleep(MAX_LAG * 1.5)

    with staged(protocol, "move", before=pause):
        world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_short_drain_that_paused_does_not_vouch_for_what_was_committed_meanwhile(
    world: World, door: Door, settings: Any
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    door.ask(Subject.ROW)

    def pause() -> None:
        world.change(Subject.ROW)
        time.sleep(MAX_LAG * 1.5)

    runner.run()
    with staged(protocol, "move", before=pause):
        runner.run(certify=False)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_the_time_of_a_drain_lies_before_its_snapshot(world: World) -> None:
    with staged(Primary, "_ask", before=lambda: time.sleep(0.05), after=lambda: time.sleep(0.05)):
        world.drain()
    clock = protocol.clock()
    assert clock.now - int(clock.time) >= 100_000


def test_a_drain_that_paused_does_not_take_back_what_a_later_one_read(world: World, door: Door) -> None:
    """Else each pause would make the later changes be moved once more."""
    with staged(protocol, "move", before=lambda: world.change_and_drain(Subject.ROW)):
        world.drain()
    door.ask(Subject.ROW)
    world.drain()
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_change_that_was_carried_is_not_moved_again_by_a_drain_that_paused(
    world: World, door: Door
) -> None:
    """Else it would end what was filled in between. See docs/races.md, "Drains at the same time"."""
    door.ask(Subject.ROW)
    world.change(Subject.ROW)

    def overtake() -> None:
        with contextlib.closing(DrainRunner()) as other:
            other.run()
        door.ask(Subject.ROW)

    with staged(protocol, "move", before=overtake):
        world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_clock_in_the_future_is_not_believed_and_is_set_right(world: World, door: Door) -> None:
    """See docs/races.md, "Redis' clock steps back"."""
    door.ask(Subject.ROW)
    world.change(Subject.ROW)
    world.redis.hset("cc:{0}:clock", "time", protocol.clock().now + 3600_000_000)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert int(protocol.clock().time) <= protocol.clock().now


def test_a_clock_in_the_future_is_not_believed_when_time_has_come_to_it(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis' clock steps back while nothing can be drained."""
    settings.CACHECONTROL = {"MAX_LAG": 0.3}
    door = DOORS["query"]
    world.drain()
    door.ask(Subject.ROW)
    monkeypatch.setattr(catch_up, "catch_up", lambda **_: False)
    world.change(Subject.ROW)
    world.redis.hset(keys.CLOCK, "time", protocol.clock().now + 400_000)
    assert door.ask(Subject.ROW) == "11"
    time.sleep(0.45)
    assert door.ask(Subject.ROW) == "11"


def test_a_drain_that_began_in_the_future_says_nothing_of_the_time(world: World) -> None:
    """Redis' clock steps back between its first step and its last."""
    clock = protocol.clock()
    future = dataclasses.replace(clock, now=clock.now + 3600_000_000)
    with mock.patch.object(protocol, "clock", lambda: future):
        world.drain()
    assert protocol.clock().time == clock.time
