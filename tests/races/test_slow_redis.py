"""Redis answers later than anybody waits, always or now and then: pages and writes go on, and nothing is stale.

See docs/races.md, "A slow Redis".
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from django.db import connection
from redis.exceptions import RedisError

from cachecontrol.reasons import Outcome
from cachecontrol.redis import redis_client
from tests.patience import LONG
from tests.shelf.cluster import _wait
from tests.shelf.proxy import Line, line_to
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.local.valkey import Valkey

MAX_LAG = 1.0
PAUSE = 0.005
TIMEOUT, BREAKER = 0.2, 0.5
FOR_EVER = 3600.0
READERS = 4
WRITE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"


@pytest.fixture
def line(world: World, valkey: Valkey, settings: Any) -> Iterator[Line]:
    """What this process' connections to Redis go through."""
    socket = Path(unquote(valkey.url.removeprefix("unix://").partition("?")[0]))
    with line_to(socket) as line:
        connect(line, settings)
        world.drain()
        yield line


def connect(line: Line, settings: Any, name: str = "patient", **options: Any) -> None:
    """Let Redis be asked through the line. Options hold for a name: the pool of a URL keeps those that it began with."""
    alias = settings.CACHES["default"]
    location = f"redis://127.0.0.1:{line.port}/0?client_name={name}"
    there = alias | {"LOCATION": location, "OPTIONS": alias["OPTIONS"] | options}
    settings.CACHES = {**settings.CACHES, "default": there}


def lose_patience(line: Line, settings: Any) -> None:
    """Wait for an answer as long as in production, and no longer."""
    connect(line, settings, "impatient", SOCKET_CONNECT_TIMEOUT=TIMEOUT, SOCKET_TIMEOUT=TIMEOUT)
    _wait(_is_connected)


def _is_connected() -> bool:
    with suppress(RedisError):
        redis_client.thread_connection.renew().connect()
        return True
    return False


@contextmanager
def slow(line: Line, settings: Any) -> Iterator[None]:
    """Redis answers nobody in time within the block."""
    lose_patience(line, settings)
    line.flows.clear()
    yield
    line.flows.set()
    connect(line, settings)


def leave_alone_for(seconds: float, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": seconds}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands with which Redis was asked."""
    commands: list[str] = []
    ask = redis_client._ThreadConnection.send

    def note(line: Any, *command: Any) -> Any:
        if threading.current_thread().name != "cachecontrol-stats":  # which sends what was counted
            commands.append(command[0])
        return ask(line, *command)

    monkeypatch.setattr(redis_client._ThreadConnection, "send", note)
    return commands


def _count_logged(caplog: pytest.LogCaptureFixture, words: str) -> int:
    return sum(words in record.getMessage() for record in caplog.records)


def test_a_slow_redis_is_asked_once_and_then_left_alone_for_a_while(
    world: World, door: Door, line: Line, asked: list[str], caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    door.ask(Subject.ROW)
    leave_alone_for(FOR_EVER, settings)
    with slow(line, settings), caplog.at_level(logging.WARNING, "cachecontrol"):
        asked.clear()
        for number in range(20):
            connection.cursor().execute(WRITE)
            assert door.ask(Subject.ROW) == str(11 + number)
            assert world.last.outcome is Outcome.BYPASS
        assert len(asked) == 1
    assert _count_logged(caplog, "does not answer") == 1


def test_what_was_written_meanwhile_is_seen_once_redis_is_quick_again(
    world: World, door: Door, line: Line, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    door.ask(Subject.ROW)
    leave_alone_for(0.0, settings)
    with slow(line, settings):
        connection.cursor().execute(WRITE)
        assert redis_client.breaker.is_down
    with caplog.at_level(logging.WARNING, "cachecontrol"):
        for _ in range(3):
            assert door.ask(Subject.ROW) == elsewhere(lambda: door.ask(Subject.ROW)) == "11"
    assert world.last.outcome is Outcome.HIT
    assert _count_logged(caplog, "answers again") == 1


def test_only_one_of_many_asks_a_slow_redis_whether_it_is_back(
    world: World, line: Line, asked: list[str], settings: Any
) -> None:
    """The breaker closes for one, so that the others need not wait for the same answer."""
    door = DOORS["page"]
    door.ask(Subject.ROW)
    leave_alone_for(0.0, settings)
    answers: list[str] = []
    begin = threading.Barrier(READERS)

    def ask() -> None:
        connection.ensure_connection()
        begin.wait(LONG)
        answers.append(door.ask(Subject.ROW))

    with slow(line, settings):
        door.ask(Subject.ROW)
        leave_alone_for(FOR_EVER, settings)
        asked.clear()
        threads = [threading.Thread(target=elsewhere, args=[ask]) for _ in range(READERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert len(asked) == 1
    assert answers == ["10"] * READERS


def test_nothing_is_stale_while_redis_comes_and_goes(world: World, line: Line, settings: Any) -> None:
    """The breaker flaps: each reader sees what was committed MAX_LAG before it asked, or later."""
    short = {"MAX_LAG": MAX_LAG, "BREAKER_SECONDS": BREAKER, "LEASE": 0.5, "WAIT": 0.1}
    settings.CACHECONTROL = {**settings.CACHECONTROL, **short}
    lose_patience(line, settings)
    commits: list[tuple[float, int]] = [(0.0, 10)]
    answers: list[tuple[float, int]] = []
    is_over = threading.Event()

    def read(name: str) -> None:
        while not is_over.wait(PAUSE):
            asked = time.monotonic()
            answers.append((asked, int(DOORS[name].ask(Subject.ROW))))

    threads = [threading.Thread(target=elsewhere, args=[lambda name=name: read(name)]) for name in DOORS]
    for thread in threads:
        thread.start()
    for number in range(30):
        if number % 10 == 0:
            line.flows.clear()
        if number % 10 == 5:
            line.flows.set()
        world.run(WRITE)
        commits.append((time.monotonic(), 11 + number))
        time.sleep(0.15)
        if number % 10 == 9:
            passed = len(world.seen)
            _wait(lambda: any(seen.outcome is Outcome.HIT for seen in world.seen[passed:]))  # noqa: B023  # called at once
    is_over.set()
    for thread in threads:
        thread.join(LONG)
    assert answers
    for asked, answer in answers:
        assert answer >= max(price for at, price in commits if at <= asked - MAX_LAG)
