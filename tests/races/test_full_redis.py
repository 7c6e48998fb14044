"""Redis is full and evicts nothing: fresh pages are served, others cost their computation alone, and everybody is told so.

See docs/races.md, "A full Redis".
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import path

from cachecontrol import engine
from cachecontrol.monitoring.dashboard import health, sources
from cachecontrol.monitoring.probes import readyz
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from cachecontrol.stats import recording
from tests.patience import LONG
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

READERS = 4
urlpatterns = [path("readyz", readyz)]


class Memory:
    """The memory of this worker's Redis."""

    def __init__(self, world: World) -> None:
        self._redis = world.redis
        self._before = {
            name: str(self._redis.config_get(name)[name]) for name in ("maxmemory", "maxmemory-policy")
        }

    def fill(self) -> None:
        self._redis.config_set("maxmemory-policy", "noeviction")
        self._redis.config_set("maxmemory", 1)

    def free(self) -> None:
        for name, value in self._before.items():
            self._redis.config_set(name, value)


@pytest.fixture
def memory(world: World) -> Iterator[Memory]:
    """Redis' memory, which has room again after the test."""
    memory = Memory(world)
    yield memory
    memory.free()


def leases(world: World) -> list[bytes]:
    return [*world.redis.scan_iter(f"{keys.LEASE}*")]


def test_what_is_not_stored_yet_is_computed_without_a_lease(world: World, door: Door, memory: Memory) -> None:
    memory.fill()
    with recording.trace() as trace:
        for _ in range(3):
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
            assert world.last.outcome is Outcome.MISS
    assert {refusal.reason for refusal in trace.refusals} == {"redis_full"}
    assert not leases(world)


def test_fresh_entries_are_served_and_changes_still_move_their_tags(
    world: World, door: Door, memory: Memory
) -> None:
    door.ask(Subject.ROW)
    memory.fill()
    door.ask(Subject.ROW)
    world.change_and_drain(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert [seen.outcome for seen in world.seen[-2:]] == [Outcome.HIT, Outcome.MISS]


def test_readers_of_one_page_do_not_wait_for_each_other(
    world: World, door: Door, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.fill()
    door.ask(Subject.COUNT)
    monkeypatch.setattr(engine, "_wait_for_fill", lambda *_: pytest.fail("somebody waits"))
    begin = threading.Barrier(READERS)
    answers: list[str] = []

    def ask() -> None:
        begin.wait(LONG)
        answers.append(door.ask(Subject.ROW))

    threads = [threading.Thread(target=elsewhere, args=[ask]) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
    assert answers == [door.truth(Subject.ROW)] * READERS


def test_a_redis_that_fills_up_during_a_fill_keeps_no_lease(world: World, door: Door, memory: Memory) -> None:
    with staged(protocol, "fill", before=memory.fill), recording.trace() as trace:
        door.ask(Subject.ROW)
    assert next(refusal.reason for refusal in trace.refusals) == "redis_full"
    assert all(world.redis.get(lease) == b"-" for lease in leases(world))


def test_entries_are_stored_as_soon_as_there_is_room(
    world: World, door: Door, memory: Memory, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0}
    with caplog.at_level(logging.WARNING, "cachecontrol"):
        memory.fill()
        for _ in range(3):
            door.ask(Subject.ROW)
        memory.free()
        for _ in range(2):
            door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT
    messages = [record.getMessage() for record in caplog.records if record.name == "cachecontrol"]
    assert [message.partition(" (")[0] for message in messages] == [
        "Redis is full",
        "Redis takes writes again",
    ]


def test_everybody_is_told(world: World, memory: Memory, settings: Any) -> None:
    memory.fill()
    page = Client().get("/page/row/")
    assert page.headers["Cache-Status"] == "larder; fwd=uri-miss; detail=redis_full"
    check = health._redis(sources.server())
    assert (check.state, check.text.partition(":")[0]) == (health.State.BAD, "full")
    settings.ROOT_URLCONF = __name__
    ready = Client().get("/readyz")
    assert (ready.status_code, ready.json()["status"], ready.json()["checks"]["redis"]) == (
        200,
        "degraded",
        "full",
    )


@pytest.mark.parametrize("command", [["reconcile"], ["warm", "--all"]])
def test_jobs_that_cannot_write_say_that_it_is_full(world: World, memory: Memory, command: list[str]) -> None:
    memory.fill()
    with pytest.raises(CommandError, match=r"^Redis is full: "):
        call_command(*command)
