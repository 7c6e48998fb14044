"""A writer is killed after its commit and before its drain is done (hard case 5)."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, World, elsewhere
from tests.shelf.writer import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LAG, PAUSE = 0.6, 0.005
MOMENTS = ["before its drain", "before its move"]


@pytest.fixture(autouse=True)
def lag(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {"MAX_LAG": MAX_LAG}
    world.drain()


@pytest.fixture
def readers(world: World) -> Iterator[list[tuple[float, str, str]]]:
    """Readers who never stop asking at each door: when they asked, where, and what they were told."""
    told: list[tuple[float, str, str]] = []
    is_over = threading.Event()

    def ask(name: str) -> None:
        while not is_over.wait(PAUSE):
            asked = time.monotonic()
            told.append((asked, name, DOORS[name].ask(Subject.ROW)))

    threads = [threading.Thread(target=elsewhere, args=[lambda name=name: ask(name)]) for name in DOORS]
    for thread in threads:
        thread.start()
    yield told
    is_over.set()
    for thread in threads:
        thread.join(20)


def _price(world: World) -> str:
    return str(world.run("SELECT price FROM shelf_item WHERE id = 1").fetchone()[0])


@pytest.mark.parametrize("moment", MOMENTS)
def test_its_commit_is_seen_by_the_first_who_asks_after_max_lag(world: World, moment: str) -> None:
    """Nobody reads and nobody drains meanwhile."""
    before = [door.ask(Subject.ROW) for door in DOORS.values()]
    with writing(Subject.ROW, moment) as writer:
        writer.kill()
        writer.wait(10)
    assert _price(world) not in before, "it committed nothing, so that nothing is shown"
    time.sleep(MAX_LAG)
    assert [door.ask(Subject.ROW) for door in DOORS.values()] == [_price(world)] * len(DOORS)


@pytest.mark.parametrize("moment", MOMENTS)
def test_its_commit_is_seen_by_readers_who_never_stopped_asking(
    world: World, readers: list[tuple[float, str, str]], moment: str
) -> None:
    before = _price(world)
    with writing(Subject.ROW, moment) as writer:
        committed = time.monotonic()
        writer.kill()
        time.sleep(2 * MAX_LAG)
    assert (after := _price(world)) != before
    late = [(name, answer) for asked, name, answer in readers if asked >= committed + MAX_LAG]
    assert {name for name, _ in late} == {*DOORS}
    assert {answer for _, answer in late} == {after}
    assert {answer for _, _, answer in readers} == {before, after}
