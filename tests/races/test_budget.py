"""What the cache may cost a reader or writer in waiting when a process died or a drain is stuck: one budget, spent once.

See docs/races.md, "An answer that costs more than its computation".
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, transaction

from cachecontrol import engine
from cachecontrol.drain import catch_up, runner
from cachecontrol.limits import budget
from cachecontrol.postgres import read_point
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, leases, protocol
from tests.patience import LONG
from tests.shelf.cluster import _wait, parameters
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS, Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

WRITE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"
WAIT = 0.2
READS = 5
page = DOORS["page"]


def use(settings: Any, **changed: float) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, **changed}


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each pause in which a reader waited for another process' fill."""
    paused: list[float] = []

    class Time:
        def __getattr__(self, name: str) -> Any:
            return getattr(time, name)

        def sleep(self, seconds: float) -> None:
            paused.append(seconds)
            time.sleep(seconds)

    monkeypatch.setattr(engine, "time", Time())
    return paused


@contextmanager
def stuck_drains() -> Iterator[None]:
    """Let no drain read the change log within the block."""
    with locked("cachecontrol_change"):
        yield


@contextmanager
def locked(table: str) -> Iterator[None]:
    """Let nobody read this table within the block."""
    with psycopg.connect(**parameters()) as other:
        other.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        yield
        other.rollback()


def lease_of(world: World, door: Door) -> str:
    """The key of the lease of what the door asks for."""
    door.ask(Subject.ROW)
    (key,) = world.redis.scan_iter(f"{keys.ENTRY}*")
    world.redis.delete(key)
    return keys.lease(key.decode())


def test_a_lease_that_a_killed_process_left_costs_no_more_than_the_budget(
    world: World, door: Door, settings: Any, pauses: list[float]
) -> None:
    lease = lease_of(world, door)
    use(settings, WAIT=WAIT)
    elsewhere(lambda: None)
    world.redis.set(lease, "somebody")
    for _ in range(READS):
        assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW)
        world.change_and_drain(Subject.ROW)
    assert 0 < sum(pauses) <= READS * WAIT


def test_many_waits_of_one_thread_are_paid_from_one_budget(
    world: World, settings: Any, pauses: list[float]
) -> None:
    door = DOORS["query"]
    lease = lease_of(world, door)
    use(settings, WAIT=WAIT)
    world.redis.set(lease, "somebody")
    begun = time.monotonic()

    def ask_often() -> None:
        for _ in range(READS):
            door.ask(Subject.ROW)
            world.change_and_drain(Subject.ROW)

    elsewhere(ask_often)
    assert sum(pauses) <= WAIT + budget.REFILL * (time.monotonic() - begun)


@pytest.mark.parametrize("is_alone", [True, False], ids=["alone", "beside another"])
def test_a_fill_keeps_its_lease_for_as_long_as_it_runs(
    world: World, door: Door, settings: Any, is_alone: bool
) -> None:
    """Also if another thread, which waited long enough, computes the same without the lease."""
    use(settings, LEASE=0.3)
    seen: list[bool] = []

    def outlast() -> None:
        (lease,) = world.redis.scan_iter(f"{keys.LEASE}*")
        if not is_alone:
            with leases.running_fills.running(lease.decode().replace(keys.LEASE, keys.ENTRY), "no lease"):
                pass
        deadline = time.monotonic() + 3 * 0.3
        while time.monotonic() < deadline:
            seen.append(bool(world.redis.exists(lease)))
            time.sleep(0.01)

    with staged(protocol, "fill", before=outlast):
        door.ask(Subject.ROW)
    assert seen
    assert all(seen)


def test_a_lease_lapses_when_its_process_stands_still(world: World, door: Door, settings: Any) -> None:
    use(settings, LEASE=0.1)
    lease = lease_of(world, door)
    protocol.read(lease.replace(keys.LEASE, keys.ENTRY), stale_for=0.0, token="of a process that was killed")
    assert world.redis.exists(lease)
    _wait(lambda: not world.redis.exists(lease))


def test_a_fill_of_the_same_process_is_waited_for_and_computed_once(world: World, settings: Any) -> None:
    """The budget is not touched: the thread that waits would compute no faster."""
    use(settings, WAIT=0.0)
    answers: list[str] = []
    waits = threading.Event()
    waiter = threading.Thread(target=lambda: answers.append(elsewhere(lambda: page.ask(Subject.ROW))))

    def join() -> None:
        with staged(leases.RunningFill, "wait", before=waits.set):
            waiter.start()
            assert waits.wait(LONG)

    with staged(protocol, "fill", before=join):
        answers.append(page.ask(Subject.ROW))
    waiter.join(LONG)
    assert answers == [page.truth(Subject.ROW)] * 2
    assert sorted(seen.outcome for seen in world.seen[-2:]) == [Outcome.HIT, Outcome.MISS]


def test_a_thread_does_not_wait_for_its_own_fill(world: World, settings: Any) -> None:
    use(settings, WAIT=0.0)

    def ask_again() -> None:
        assert page.ask(Subject.ROW) == page.truth(Subject.ROW)

    with staged(protocol, "fill", before=ask_again):
        page.ask(Subject.ROW)


def test_a_stuck_drain_is_asked_for_once_and_then_left_alone(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door = DOORS["query"]
    use(settings, WAIT=WAIT, MAX_LAG=0.05, BREAKER_SECONDS=LONG)
    begun: list[catch_up.BackgroundDrain] = []
    start = catch_up.BackgroundDrain.start
    door.ask(Subject.ROW)
    earlier = catch_up._background.start()  # on a slow machine, that read may have begun one
    if earlier is not None:
        earlier.join(LONG)

    def note(work: catch_up.BackgroundDrain) -> None:
        begun.append(work)
        start(work)

    monkeypatch.setattr(catch_up.BackgroundDrain, "start", note)
    with caplog.at_level(logging.WARNING, "cachecontrol"), stuck_drains():
        time.sleep(0.1)
        answers = [door.ask(Subject.COUNT) for _ in range(READS)]
        _wait(lambda: bool(door.ask(Subject.COUNT)) and catch_up.breaker.is_down)
        messages = [record.getMessage() for record in caplog.records]
    assert answers == [door.truth(Subject.COUNT)] * READS
    assert len(begun) == 1
    assert [message.partition(" (")[0] for message in messages] == ["A drain failed"]
    begun[0].join(LONG)


def test_a_process_that_can_start_no_thread_is_served_by_the_database(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    door.ask(Subject.ROW)
    world.redis.hset(keys.CLOCK, "time", 1)
    monkeypatch.setattr(leases, "running_fills", leases.RunningFills())
    monkeypatch.setattr(engine, "running_fills", leases.running_fills)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _refuse)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "clock_old")
        world.drain()
        assert door.ask(Subject.COUNT) == door.truth(Subject.COUNT)
    assert leases.running_fills._thread is None
    with leases.running_fills.running("a key", "a token"):
        assert leases.running_fills._thread is not None


def test_a_writers_drain_is_limited_whatever_the_budget(world: World, settings: Any) -> None:
    """PostgreSQL takes a ``statement_timeout`` of 0 for none. A statement that is cancelled has a limit, too."""
    use(settings, WAIT=0.0)
    own = runner.DrainRunner()
    try:
        with suppress(psycopg.errors.QueryCanceled):
            own.run(certify=False)
            raw = own.drainer.primary.connection()
            assert raw.execute("SHOW statement_timeout").fetchone() == ("1ms",)
    finally:
        own.close()


@pytest.mark.parametrize("table", ["cachecontrol_epoch", "cachecontrol_tracked"])
@pytest.mark.parametrize("around", ["nothing", "a transaction"])
def test_a_locked_table_of_the_cache_holds_up_one_reader_once(
    world: World,
    door: Door,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    table: str,
    around: str,
) -> None:
    """It pays from its budget, and the others compute at once; the reader's transaction and lock_timeout stay as they were."""
    use(settings, WAIT=0.05, BREAKER_SECONDS=LONG)
    charged: list[float] = []
    monkeypatch.setattr(budget, "charge", charged.append)
    block = transaction.atomic() if around == "a transaction" else nullcontext()
    with (
        caplog.at_level(logging.WARNING, "cachecontrol"),
        locked(table),
        block,
        connection.cursor() as cursor,
    ):
        cursor.execute("SET lock_timeout = '59s'")
        answers = [door.ask(Subject.ROW) for _ in range(READS)]
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("59s",)
    assert answers == [door.truth(Subject.ROW)] * READS
    warnings = [message for message in caplog.messages if "are locked" in message]
    assert len(warnings) == len(charged) == 1
    assert charged[0] >= 0.05
    read_point.breaker.answered()
    connection.cursor().execute("RESET lock_timeout")
    door.ask(Subject.ROW)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_writer_whose_drain_is_stuck_reads_its_own_write(world: World, settings: Any) -> None:
    door = DOORS["query"]
    door.ask(Subject.ROW)
    use(settings, WAIT=WAIT, BREAKER_SECONDS=LONG)
    before = door.truth(Subject.ROW)
    with staged(runner.runner, "run", before=_fail):
        connection.cursor().execute(WRITE)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) != before
    assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "undrained")
    catch_up.breaker.answered()
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.MISS


def _refuse(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _fail() -> None:
    raise TimeoutError("the drain is stuck")
