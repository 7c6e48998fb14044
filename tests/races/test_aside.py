"""The cache never stands in the way: of a writer's locks, of interrupted drains, of a process that can start no thread.

See docs/races.md, "An answer that costs more than its computation" and "A damaged clock".
"""

from __future__ import annotations

import itertools
import os
import threading
from contextlib import contextmanager, nullcontext
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, connections, transaction

from cachecontrol import engine
from cachecontrol.drain import catch_up, runner
from cachecontrol.drain.drainer import Drainer, DrainResult
from cachecontrol.exceptions import DrainRefused
from cachecontrol.limits import budget
from cachecontrol.postgres import read_point
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, redis_client
from tests.patience import LONG
from tests.races.test_budget import locked, use
from tests.shelf.cluster import _wait
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS, elsewhere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cachecontrol.limits.breaker import Breaker
    from tests.shelf.world import Door, World


@pytest.fixture
def without_autocommit() -> Iterator[None]:
    transaction.set_autocommit(False)
    yield
    transaction.rollback()
    transaction.set_autocommit(True)


def _lock_timeout() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SHOW lock_timeout")
        (value,) = cursor.fetchone()
    return str(value)


def test_a_read_that_begins_a_transaction_leaves_its_lock_timeout(world: World, door: Door) -> None:
    """What the transaction writes later on waits for its locks as long as ever."""
    with transaction.atomic():
        door.ask(Subject.ROW)
        assert _lock_timeout() == "0"


def test_a_read_without_autocommit_leaves_the_lock_timeout(
    world: World, door: Door, without_autocommit: None
) -> None:
    door.ask(Subject.ROW)
    assert _lock_timeout() == "0"


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SoftTimeLimitExceeded])
def test_who_shares_an_interrupted_drain_is_told_that_it_failed(
    world: World, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """Ctrl-C, a server's signal or a task's time limit ends the thread that drains, for another that waits as well."""
    gate, runs = threading.Event(), itertools.count()
    outcomes: list[object] = []
    original = Drainer.drain

    def interrupted(self: Drainer, **options: Any) -> DrainResult:
        match next(runs):
            case 0:
                assert gate.wait(LONG)
            case 1:
                raise interrupt
        return original(self, **options)

    def share() -> None:
        try:
            outcomes.append(runner.runner.run())
        except (DrainRefused, interrupt) as error:
            outcomes.append(error)

    monkeypatch.setattr(Drainer, "drain", interrupted)
    threads = [threading.Thread(target=share) for _ in range(3)]
    threads[0].start()
    _wait(lambda: runner.runner._is_running)
    for thread in threads[1:]:
        thread.start()
    _wait(lambda: len(runner.runner._turn._waiters) == 2)  # type: ignore[attr-defined]
    gate.set()
    for thread in threads:
        thread.join(LONG)
    assert {type(outcome) for outcome in outcomes} == {DrainResult, DrainRefused, interrupt}
    assert runner.runner.run().epoch


def test_a_reader_with_little_budget_left_stops_no_writers_drain(
    world: World, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The drain that it could not wait for is not late for that."""
    use(settings, MAX_LAG=0.05)
    query = DOORS["query"]
    query.ask(Subject.ROW)
    with locked("cachecontrol_tracked"):
        sleep(0.1)
        budget.left()
        monkeypatch.setattr(budget._budget, "seconds", 0.001)
        query.ask(Subject.COUNT)
        assert not catch_up.breaker.is_down
        drain = catch_up._background.start()
    assert drain
    drain.join(LONG)
    assert drain.has_succeeded


def test_a_read_goes_on_where_no_thread_can_be_started(world: World, door: Door, settings: Any) -> None:
    use(settings, MAX_LAG=0.05)
    door.ask(Subject.ROW)
    sleep(0.1)
    with no_new_threads():
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


@contextmanager
def no_new_threads() -> Iterator[None]:
    """Let the system refuse new threads within the block, for want of memory."""
    before = threading.stack_size(1 << 46)
    try:
        with pytest.raises(RuntimeError):
            threading.Thread(target=print).start()
        yield
    finally:
        threading.stack_size(before)


@pytest.fixture
def one_pooled(world: World) -> Iterator[None]:
    """Let the threads of this process share a pool of one connection."""
    with connecting(pool={"min_size": 1, "max_size": 1, "timeout": LONG}):
        yield
        connection.close()
        connection.close_pool()  # type: ignore[attr-defined]  # only PostgreSQL has pools


@contextmanager
def connecting(**options: Any) -> Iterator[None]:
    """Let Django connect with these options within the block."""
    connection.close()
    places = [connection.settings_dict, connections.settings["default"]]
    before = [(place, place["OPTIONS"], place["CONN_MAX_AGE"]) for place in places]
    for place, given, _ in before:
        place.update(OPTIONS={**given, **options}, CONN_MAX_AGE=0)
    yield
    connection.close()
    for place, given, age in before:
        place.update(OPTIONS=given, CONN_MAX_AGE=age)


@pytest.mark.parametrize("around", ["nothing", "a transaction"])
@pytest.mark.parametrize("threshold", [None, 0])
def test_however_statements_are_sent_the_cache_may_ask(
    world: World, door: Door, threshold: int | None, around: str
) -> None:
    """Statements that are prepared, or whose values are bound by the server, cannot be several in one."""
    with connecting(server_side_binding=True, prepare_threshold=threshold):
        with transaction.atomic() if around == "a transaction" else nullcontext():
            assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
            assert door.ask(Subject.COUNT) == door.truth(Subject.COUNT)
        assert door.ask(Subject.COUNT) == door.truth(Subject.COUNT)
        assert world.last.outcome is Outcome.HIT


def test_who_holds_the_connection_that_a_fill_needs_does_not_wait_for_it(
    world: World, door: Door, settings: Any, one_pooled: None
) -> None:
    """Another thread has the lease, and waits for a connection of the pool, which this one has."""
    use(settings, WAIT=0.0)
    truth = door.truth(Subject.ROW)
    connection.ensure_connection()
    waits = threading.Event()
    answers: list[str] = []
    filler = threading.Thread(target=lambda: answers.append(elsewhere(lambda: door.ask(Subject.ROW))))
    with staged(read_point, "read_point", before=waits.set):
        filler.start()
        assert waits.wait(LONG)
    begun = monotonic()
    assert door.ask(Subject.ROW) == truth
    assert monotonic() - begun < engine.LONGEST_FILL
    connection.close()
    filler.join(LONG)
    assert answers == [truth]


@pytest.mark.parametrize(
    "guarded", [redis_client.breaker, redis_client.memory_breaker, catch_up.breaker, read_point.breaker]
)
def test_a_child_forked_while_a_breaker_is_held_does_not_wait_for_it(guarded: Breaker) -> None:
    """The thread that held it stayed in the parent, and gives nothing back in the child."""
    with guarded._lock:
        child = os.fork()
        if child == 0:
            threading.Timer(LONG, os._exit, [1]).start()
            guarded.is_down = True
            guarded.lets_ask()
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_a_clock_whose_tables_are_too_deep_to_read_refuses_no_write(world: World, door: Door) -> None:
    """Somebody wrote it who can write to Redis; the writer has to drain whole, as it connects anew."""
    door.ask(Subject.ROW)
    world.redis.hset(keys.CLOCK, "tables", "[" * 100_000)
    runner.runner.close()
    with connection.cursor() as cursor:
        cursor.execute(CHANGES[Subject.ROW])
    assert door.ask(Subject.ROW) == elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW)
