"""All rows of a large table are changed in one transaction while visitors ask for hot pages.

See docs/races.md, "A storm of changes".
"""

from __future__ import annotations

import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connections

from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from tests.patience import LONG
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS, SINGLES = 100_000, 6_000
"""How many rows one statement changes, and how many statements of one row come before it in the same transaction."""
MAX_LAG = 2.0
PAGES = [*itertools.product(DOORS, (Subject.ROW, Subject.LIST, Subject.COUNT))]

FILL = "INSERT INTO shelf_item (shelf_id, name, price, looks) SELECT 2, 'many', 0, 0 FROM generate_series(1, {rows})"
ONE_BY_ONE = """DO $$ BEGIN FOR n IN 1..{singles} LOOP
    UPDATE shelf_item SET price = price + 1 WHERE id = 3 + n; END LOOP; END $$"""
ALL = "UPDATE shelf_item SET price = price + 1000"


@dataclass(slots=True)
class Crowd:
    """Visitors who ask for hot pages without a pause: when each asked, for what, and what it was told."""

    answers: list[tuple[float, tuple[str, Subject], str]] = field(default_factory=list)
    is_over: threading.Event = field(default_factory=threading.Event)

    def visit(self) -> None:
        for page in itertools.cycle(PAGES):
            if self.is_over.is_set():
                return
            asked = time.monotonic()
            self.answers.append((asked, page, _ask(page)))

    def drain(self, world: World) -> None:
        while not self.is_over.wait(0.05):
            world.drain()


def _ask(page: tuple[str, Subject]) -> str:
    door, subject = page
    return DOORS[door].ask(subject)


@pytest.fixture
def crowd(world: World, settings: Any) -> Iterator[Crowd]:
    """Visitors and the drain process, at work until the test ends."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.run(FILL.format(rows=ROWS))
    world.drain()
    crowd = Crowd()
    acts = [crowd.visit, crowd.visit, lambda: crowd.drain(world)]
    threads = [threading.Thread(target=_until_over, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    yield crowd
    crowd.is_over.set()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()


def _until_over(act: Callable[[], None]) -> None:
    try:
        act()
    finally:
        connections.close_all()


def _wait_for(crowd: Crowd, more: int) -> None:
    deadline, known = time.monotonic() + LONG, len(crowd.answers)
    while len(crowd.answers) < known + more:
        assert time.monotonic() < deadline, "the visitors were told nothing"
        time.sleep(0.01)


def test_a_storm_leaves_nothing_stale_keeps_redis_answering_and_passes(
    world: World, crowd: Crowd, tags_moved: list[int]
) -> None:
    _wait_for(crowd, 3 * len(PAGES))
    before = {page: _ask(page) for page in PAGES}
    world.run(f"BEGIN; {ONE_BY_ONE.format(singles=SINGLES)}; {ALL}")
    known = len(crowd.answers)
    world.run("COMMIT")
    committed = time.monotonic()
    time.sleep(MAX_LAG)
    _wait_for(crowd, 3 * len(PAGES))
    passed = len(world.seen)
    _wait_for(crowd, 6 * len(PAGES))
    after = {page: DOORS[page[0]].truth(page[1]) for page in PAGES}
    assert sum(before[page] != after[page] for page in PAGES) == 2 * len(DOORS), "nothing could be stale"
    assert all(answer == before[page] for _, page, answer in crowd.answers[:known]), "uncommitted"
    assert all(answer in (before[page], after[page]) for _, page, answer in crowd.answers)
    late = [(page, answer) for asked, page, answer in crowd.answers if asked >= committed + MAX_LAG]
    assert {page for page, _ in late} == {*PAGES}
    assert all(answer == after[page] for page, answer in late), "stale"
    assert max(tags_moved) <= keys.TAGS_PER_CALL, "Redis answered nobody else for too long"
    then = world.seen[passed:]
    assert sum(seen.outcome is Outcome.HIT for seen in then) > 0.9 * len(then), "the pages did not recover"
