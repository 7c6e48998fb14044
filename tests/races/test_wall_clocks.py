"""Processes whose wall clocks are half an hour apart: only Redis' clock counts.

See docs/races.md, "Wall clocks that differ".
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import time_machine

from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from tests.shelf.reads import Subject

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from tests.shelf.world import Door, World

MAX_LAG = 0.3
APART = [-900.0, 900.0]
"""Seconds: more than a clock may be old where nothing sets MAX_LAG."""


def _process(seconds: float) -> AbstractContextManager[Any]:
    """Run as a process whose clock is that much ahead."""
    return time_machine.travel(time.time() + seconds, tick=True)


@pytest.mark.parametrize("filled", APART)
@pytest.mark.parametrize("asked", APART)
def test_they_share_what_each_fills(world: World, door: Door, filled: float, asked: float) -> None:
    with _process(filled):
        world.drain()
        answer = door.ask(Subject.ROW)
    with _process(asked):
        assert door.ask(Subject.ROW) == answer
        assert world.last.outcome is Outcome.HIT


@pytest.mark.parametrize("drains", APART)
@pytest.mark.parametrize("asks", APART)
def test_nothing_is_older_than_max_lag_whichever_process_drained_last(
    world: World, door: Door, settings: Any, drains: float, asks: float
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    with _process(drains):
        world.drain()
        door.ask(Subject.ROW)
    world.change(Subject.ROW)
    time.sleep(MAX_LAG)
    with _process(asks):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_epochs_grow_whichever_process_begins_them(world: World) -> None:
    begun = []
    for seconds in (900.0, -900.0, 0.0):
        world.redis.delete(keys.CLOCK)
        with _process(seconds):
            world.drain()
        begun.append(protocol.clock().epoch)
    assert begun == sorted({*begun})
