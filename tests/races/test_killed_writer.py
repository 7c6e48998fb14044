"""A writer is killed after its commit and before its drain is done.

See docs/races.md, "A writer killed between commit and drain".
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.patience import LONG
from tests.shelf.cluster import _wait
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, World, elsewhere
from tests.shelf.writer import writing

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LAG, PAUSE = 0.6, 0.005
MOMENTS = ["before its drain", "before its move"]


@pytest.fixture(autouse=True)
def lag(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()


@pytest.fixture
def readers(world: World) -> Iterator[list[tuple[float, str, str]]]:
    """Readers who never stop asking at each door: when they asked, where, and what they were told, each once at least."""
    answers: list[tuple[float, str, str]] = []
    is_over = threading.Event()

    def ask(name: str) -> None:
        while not is_over.wait(PAUSE):
            asked = time.monotonic()
            answers.append((asked, name, DOORS[name].ask(Subject.ROW)))

    threads = [threading.Thread(target=elsewhere, args=[lambda name=name: ask(name)]) for name in DOORS]
    for thread in threads:
        thread.start()
    _wait(lambda: _doors(answers) == {*DOORS})
    yield answers
    is_over.set()
    for thread in threads:
        thread.join(LONG)


def _doors(answers: list[tuple[float, str, str]]) -> set[str]:
    return {name for _, name, _ in answers}


def _price(world: World) -> str:
    return str(world.run("SELECT price FROM shelf_item WHERE id = 1").fetchone()[0])


@pytest.mark.parametrize("moment", MOMENTS)
def test_its_commit_is_seen_by_the_first_who_asks_after_max_lag(world: World, moment: str) -> None:
    """Nobody reads and nobody drains meanwhile."""
    before = [door.ask(Subject.ROW) for door in DOORS.values()]
    with writing(Subject.ROW, moment) as writer:
        writer.kill()
        writer.wait(LONG)
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

    def late() -> list[tuple[float, str, str]]:
        return [(asked, name, answer) for asked, name, answer in readers if asked >= committed + MAX_LAG]

    _wait(lambda: _doors(late()) == {*DOORS})
    assert (after := _price(world)) != before
    assert {answer for _, _, answer in late()} == {after}
    assert {answer for _, _, answer in readers} == {before, after}
