"""Redis answers after two seconds, or now and then: pages and writes go on, and nothing is stale (hard case 20)."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from django.db import connection

from cachecontrol.policy import Outcome
from tests.shelf.proxy import Line, line_to
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.embedded import Valkey

DELAY, MAX_LAG = 2.0, 1.0
PAUSE = 0.005
TIMEOUT, BREAKER = 0.2, 0.5
READERS = 4
WRITE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"


@pytest.fixture
def line(world: World, valkey: Valkey, settings: Any) -> Iterator[Line]:
    """What this process' connections to Redis go through; the time it waits for an answer is that of production."""
    socket = Path(unquote(valkey.url.removeprefix("unix://").partition("?")[0]))
    with line_to(socket) as line:
        alias = settings.CACHES["default"]
        options = alias["OPTIONS"] | {"SOCKET_CONNECT_TIMEOUT": TIMEOUT, "SOCKET_TIMEOUT": TIMEOUT}
        there = alias | {"LOCATION": f"redis://127.0.0.1:{line.port}/0", "OPTIONS": options}
        settings.CACHES = {**settings.CACHES, "default": there}
        settings.CACHECONTROL = {"MAX_LAG": MAX_LAG, "BREAKER_SECONDS": BREAKER}
        world.drain()
        yield line


def _told(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def test_a_slow_redis_is_asked_once_and_then_left_alone_for_a_while(
    world: World, door: Door, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    door.ask(Subject.ROW)
    line.delay = DELAY
    began = time.monotonic()
    with caplog.at_level(logging.WARNING, "cachecontrol"):
        for number in range(20):
            connection.cursor().execute(WRITE)
            assert door.ask(Subject.ROW) == str(11 + number)
            assert world.last.outcome is Outcome.BYPASS
    tries = 1 + (time.monotonic() - began) / BREAKER
    assert time.monotonic() - began < 2 + tries * 2 * TIMEOUT
    assert _told(caplog, "does not answer") == 1


def test_what_was_written_meanwhile_is_seen_once_redis_is_quick_again(
    world: World, door: Door, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    door.ask(Subject.ROW)
    line.delay = DELAY
    connection.cursor().execute(WRITE)
    line.delay = 0.0
    time.sleep(BREAKER)
    with caplog.at_level(logging.WARNING, "cachecontrol"):
        for _ in range(3):
            assert door.ask(Subject.ROW) == elsewhere(lambda: door.ask(Subject.ROW)) == "11"
    assert world.last.outcome is Outcome.HIT
    assert _told(caplog, "answers again") == 1


def test_only_one_of_many_asks_a_slow_redis_whether_it_is_back(
    world: World, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The breaker closes for one, so that the others need not wait for the same answer."""
    door = DOORS["page"]
    door.ask(Subject.ROW)
    line.delay = DELAY
    door.ask(Subject.ROW)
    time.sleep(BREAKER)
    waited: list[float] = []
    begin = threading.Barrier(READERS)

    def ask() -> None:
        connection.ensure_connection()
        begin.wait(10)
        began = time.monotonic()
        door.ask(Subject.ROW)
        waited.append(time.monotonic() - began)

    threads = [threading.Thread(target=elsewhere, args=[ask]) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sum(seconds >= TIMEOUT for seconds in waited) <= 1


def test_nothing_is_stale_while_redis_comes_and_goes(world: World, line: Line) -> None:
    """The breaker flaps: each reader sees what was committed MAX_LAG before it asked, or later."""
    commits: list[tuple[float, int]] = [(0.0, 10)]
    told: list[tuple[float, int]] = []
    is_over = threading.Event()

    def read(name: str) -> None:
        while not is_over.wait(PAUSE):
            asked = time.monotonic()
            told.append((asked, int(DOORS[name].ask(Subject.ROW))))

    threads = [threading.Thread(target=elsewhere, args=[lambda name=name: read(name)]) for name in DOORS]
    for thread in threads:
        thread.start()
    for number in range(30):
        line.delay = DELAY if number % 10 < 5 else 0.0
        world.run(WRITE)
        commits.append((time.monotonic(), 11 + number))
        time.sleep(0.15)
    line.delay = 0.0
    is_over.set()
    for thread in threads:
        thread.join(20)
    assert told
    for asked, answer in told:
        assert answer >= max(price for at, price in commits if at <= asked - MAX_LAG)
    hits = [seen for seen in world.seen if seen.outcome is Outcome.HIT]
    assert hits, "the cache never answered, so that nothing is shown"
