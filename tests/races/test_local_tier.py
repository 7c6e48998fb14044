"""Entries in the memory of a process: each way in which a process can lose track of what moved.

See docs/races.md, "An entry in the memory of a process".
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.test import Client

from cachecontrol import engine
from cachecontrol.api import local_reads
from cachecontrol.local import puller as puller_module
from cachecontrol.local import tier as tier_module
from cachecontrol.local.puller import Puller, pull_once
from cachecontrol.local.tier import Tier, tier
from cachecontrol.reasons import Outcome, Reason
from cachecontrol.redis import keys, protocol
from tests.patience import LONG
from tests.shelf import reads
from tests.shelf.reads import Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.world import Door, World

MAX_LAG = 0.3
HASTY = 2.0
"""Seconds that a connection waits for a reply: a busy machine needs less."""


@pytest.fixture(autouse=True)
def local(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty tier that is on, and pulls when a test says so."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "LOCAL_BYTES": 1_000_000}
    monkeypatch.setattr(puller_module, "keep_up", lambda: None)
    tier_module._renew_after_fork()
    with local_reads():
        yield
    tier_module._renew_after_fork()


def hold(door: Door, subject: Subject) -> str:
    """Read until the tier holds the entry, and return the answer."""
    pull_once()
    door.ask(subject)  # computed
    door.ask(subject)  # asked for once
    answer = door.ask(subject)  # asked for twice: admitted
    assert len(tier.store) > 0
    return answer


def change_elsewhere(world: World, subject: Subject) -> None:
    """Let another process change and drain: this one hears of it when it pulls."""
    with in_another_process():
        world.change_and_drain(subject)


@contextmanager
def in_another_process() -> Iterator[None]:
    """Let this process not hear of the moves of the drains within the block."""
    with mock.patch.object(Tier, "require"):
        yield


def end(puller: Puller) -> None:
    """End the thread of a puller, as after a minute without a read."""
    thread, puller._used = puller._thread, float("-inf")
    if thread is not None:
        thread.join(LONG)


def was_local(world: World) -> bool:
    return world.last.outcome is Outcome.HIT and world.last.reason == Reason.LOCAL


def test_a_local_hit_makes_no_round_trip(
    world: World, door: Door, subject: Subject, calls: list[str], django_assert_num_queries: Any
) -> None:
    answer = hold(door, subject)
    calls.clear()
    with django_assert_num_queries(0):
        assert door.ask(subject) == answer
    assert was_local(world)
    assert calls == []


def test_a_mirror_behind_by_one_move_answers_no_longer_than_max_lag(
    world: World, door: Door, settings: Any
) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()
    hold(door, Subject.ROW)
    change_elsewhere(world, Subject.ROW)
    time.sleep(MAX_LAG)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_pull_drops_what_moved_and_nothing_else(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    hold(door, Subject.MISSING)
    change_elsewhere(world, Subject.ROW)
    pull_once()
    door.ask(Subject.MISSING)
    assert was_local(world)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_tag_that_redis_has_evicted_moves_in_the_log(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    for tag in world.redis.scan_iter(f"{keys.TAG}*"):
        world.redis.delete(tag)
    change_elsewhere(world, Subject.ROW)
    pull_once()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_process_does_not_answer_before_its_own_write_is_pulled(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    reads.write(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_an_own_write_in_an_epoch_that_the_mirror_does_not_know_empties_the_tier(
    world: World, door: Door
) -> None:
    hold(door, Subject.ROW)
    world.redis.delete(keys.CLOCK)
    reads.write(Subject.ROW)
    assert len(tier.store) == 0
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_process_that_notes_a_write_after_its_epoch_has_ended_answers_again(
    world: World, door: Door
) -> None:
    change_elsewhere(world, Subject.ROW)
    hold(door, Subject.ROW)
    epoch, sequence = tier.mirror.epoch, tier.mirror.validity.sequence
    world.redis.delete(keys.CLOCK)
    with in_another_process():
        world.drain()
    pull_once()
    tier.require(epoch, sequence + 1)
    hold(door, Subject.ROW)
    door.ask(Subject.ROW)
    assert was_local(world)


def test_an_own_write_counts_for_an_entry_that_is_found_while_the_tier_is_emptied(
    world: World, door: Door
) -> None:
    hold(door, Subject.ROW)
    key = next(iter(tier.store._entries))
    reads.write(Subject.ROW)
    with staged(type(tier.store), "find", after=tier.lose_track):
        assert tier.find(key) is None


def test_the_fill_of_a_fresh_entry_is_not_answered_from_memory(world: World) -> None:
    """As the warm job fills a page near its end, which this process may hold."""
    client = Client()
    pull_once()
    for _ in range(4):
        client.get("/page/row/")
    assert was_local(world)
    with engine.refilling(next(iter(tier.store._entries))):
        client.get("/page/row/")
    assert world.last.outcome is Outcome.MISS
    assert world.last.reason == Reason.WARM


def test_what_moved_between_the_read_and_the_admission_is_not_admitted(world: World, door: Door) -> None:
    pull_once()
    door.ask(Subject.ROW)
    door.ask(Subject.ROW)

    def change_and_pull() -> None:
        change_elsewhere(world, Subject.ROW)
        pull_once()

    with staged(tier_module.Tier, "offer", before=change_and_pull):
        door.ask(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_what_was_read_before_the_process_lost_track_is_not_admitted(world: World, door: Door) -> None:
    pull_once()
    door.ask(Subject.ROW)
    door.ask(Subject.ROW)

    def lose_a_move() -> None:
        change_elsewhere(world, Subject.ROW)
        tier.lose_track()
        pull_once()

    with staged(tier_module.Tier, "offer", before=lose_a_move):
        door.ask(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_trimmed_log_empties_the_tier(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    change_elsewhere(world, Subject.ROW)
    change_elsewhere(world, Subject.TABLE)
    world.redis.xtrim(keys.LOG, maxlen=1, approximate=False)
    pull_once()
    assert len(tier.store) == 0
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_process_that_is_too_far_behind_forgets(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    with in_another_process():
        for _ in range(keys.RECORDS_PER_PULL + 1):
            world.run("UPDATE shelf_item SET price = price + 1 WHERE id = 2")
            world.drain()
    pull_once()
    assert len(tier.store) == 0


def test_a_log_that_was_lost_empties_the_tier(world: World, door: Door) -> None:
    change_elsewhere(world, Subject.TABLE)
    hold(door, Subject.ROW)
    world.redis.delete(keys.LOG)
    pull_once()
    assert len(tier.store) == 0
    change_elsewhere(world, Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


@pytest.mark.parametrize("moves_after", [0, 1, 2])
def test_a_redis_that_comes_back_with_an_older_log_empties_the_tier(
    world: World, door: Door, moves_after: int
) -> None:
    """It assigns the sequence of a lost move again: the position tells that this is another one."""
    change_elsewhere(world, Subject.TABLE)
    hold(door, Subject.ROW)
    saved = {key: world.redis.dump(key) for key in (keys.CLOCK, keys.LOG)}
    change_elsewhere(world, Subject.COUNT)
    pull_once()
    for key, dumped in saved.items():
        world.redis.restore(key, 0, dumped or b"", replace=True)
    for number in range(moves_after):
        change_elsewhere(world, (Subject.ROW, Subject.LIST)[number])
    pull_once()
    assert len(tier.store) == 0
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


@pytest.mark.parametrize("moves_after", [0, 1])
def test_a_new_epoch_empties_the_tier_also_with_the_same_sequence(
    world: World, door: Door, moves_after: int
) -> None:
    world.redis.delete(keys.CLOCK, keys.LOG)
    world.drain()
    if moves_after:
        change_elsewhere(world, Subject.TABLE)
    hold(door, Subject.ROW)
    sequence = tier.mirror.validity.sequence
    assert sequence == moves_after
    world.redis.delete(keys.CLOCK)
    with in_another_process():
        world.drain()
    if moves_after:
        change_elsewhere(world, Subject.ROW)
    pull_once()
    assert tier.mirror.validity.sequence == sequence
    assert len(tier.store) == 0
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_process_that_is_stopped_in_a_pull_counts_the_time(world: World, door: Door, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()
    hold(door, Subject.ROW)
    with staged(protocol, "pull", after=lambda: time.sleep(MAX_LAG)):
        pull_once()
    change_elsewhere(world, Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not was_local(world)


def test_a_process_that_is_stopped_between_proof_and_entry_answers_by_the_proof(
    world: World, door: Door, settings: Any
) -> None:
    """The proof was taken first: while the process was stopped it ran out, whatever was pulled meanwhile."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    world.drain()
    hold(door, Subject.ROW)
    entry = next(iter(tier.store._entries.values()))

    def sleep_and_pull() -> None:
        time.sleep(MAX_LAG)
        change_elsewhere(world, Subject.ROW)
        pull_once()

    with staged(type(tier.store), "find", before=sleep_and_pull, after=None):
        assert tier.find(entry.key) is None


@pytest.mark.parametrize("shift", [-3600, 3600])
def test_a_clock_of_redis_that_was_set_proves_nothing(world: World, door: Door, shift: int) -> None:
    """``time`` is the start of the last drain: to Redis, a clock that goes back makes it lie in the future."""
    hold(door, Subject.ROW)
    shifted = int(world.redis.hget(keys.CLOCK, "time") or 0) - shift * 1_000_000
    world.redis.hset(keys.CLOCK, "time", shifted)
    pull_once()
    door.ask(Subject.ROW)
    assert not was_local(world)


def test_a_forked_child_begins_empty_and_pulls_for_itself(world: World, door: Door) -> None:
    hold(door, Subject.ROW)
    puller = Puller()
    puller.keep_running()
    child = os.fork()
    if child == 0:
        os._exit(0 if len(tier.store) == 0 and puller._thread is None and not tier.lock.locked() else 1)
    _, status = os.waitpid(child, 0)
    end(puller)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_thread_follows_the_log_by_itself(world: World, door: Door, monkeypatch: Any) -> None:
    monkeypatch.undo()  # pulls by itself again
    door.ask(Subject.ROW)
    deadline = time.monotonic() + LONG
    while not tier.mirror.epoch and time.monotonic() < deadline:
        door.ask(Subject.ROW)
        time.sleep(0.01)
    hold(door, Subject.ROW)
    change_elsewhere(world, Subject.ROW)
    while len(tier.store) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(tier.store) == 0
    end(puller_module.puller)


@pytest.mark.parametrize("protocol_version", [2, 3])
def test_what_a_wait_for_moves_returns_ends_entries_before_the_next_pull(
    world: World, door: Door, settings: Any, protocol_version: int
) -> None:
    alias = settings.CACHES["default"]
    location = f"{alias['LOCATION']}&protocol={protocol_version}"
    settings.CACHES = {**settings.CACHES, "default": alias | {"LOCATION": location}}
    hold(door, Subject.ROW)
    change_elsewhere(world, Subject.ROW)
    tier.drop(protocol.await_move(tier.mirror.validity.sequence, HASTY))
    assert len(tier.store) == 0
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_wait_for_moves_ends_before_the_connection_gives_up(world: World, settings: Any) -> None:
    alias = settings.CACHES["default"]
    options = alias["OPTIONS"] | {"SOCKET_TIMEOUT": HASTY}
    location = f"{alias['LOCATION']}&client_name=hasty"  # a pool of its own, with these options
    settings.CACHES = {**settings.CACHES, "default": alias | {"LOCATION": location, "OPTIONS": options}}
    pull_once()
    begun = time.monotonic()
    protocol.await_move(tier.mirror.validity.sequence, 2 * HASTY)
    assert time.monotonic() - begun >= HASTY / 2


@pytest.mark.parametrize("header", ["sessionid", "csrftoken"])
def test_a_visitor_who_may_have_written_asks_redis(world: World, header: str) -> None:
    client = Client()
    pull_once()
    for _ in range(4):
        client.get("/page/row/")
    assert was_local(world)
    client.cookies[header] = "abc"
    client.get("/page/row/")
    assert world.last.outcome is Outcome.HIT
    assert not was_local(world)


def test_a_visitor_with_what_the_setting_names_asks_redis(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "ASK_REDIS_FOR": ("X-Writer", "basket")}
    pull_once()
    for _ in range(4):
        Client().get("/page/row/")
    assert was_local(world)
    for headers in ({"X-Writer": "1"}, {"Cookie": "basket=7"}, {"Authorization": "Bearer x"}):
        Client().get("/page/row/", headers=headers)
        assert world.last.outcome is Outcome.HIT
        assert not was_local(world)
