"""Drains of one process share: each change is moved once, and nobody waits for more than one drain.

See docs/races.md, "Drains at the same time".
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg
import pytest
from django.db import connection, connections
from psycopg.pq import TransactionStatus

from cachecontrol.drain import catch_up, runner
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.exceptions import StoreDown
from cachecontrol.prove.processes import suspended
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.patience import LONG
from tests.shelf.cluster import _wait
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.shelf.world import World

WRITERS = 8


@pytest.fixture
def moved(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The tags that each drain of this process moves."""
    calls: list[list[str]] = []
    original = protocol.move

    def move(epoch: str, position: str, moves: Any, advance: Any) -> protocol.Moved | None:
        calls.append([move.tag for move in moves])
        return original(epoch, position, moves, advance)

    monkeypatch.setattr(protocol, "move", move)
    return calls


class Gate:
    """Holds the first drain between its statement and its move until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        move = protocol.move

        def wait(*args: Any) -> protocol.Moved | None:
            if not self.reached.is_set():
                self.reached.set()
                assert self.opened.wait(LONG)
            return move(*args)

        monkeypatch.setattr(protocol, "move", wait)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    return Gate(monkeypatch)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(WRITERS) as pool:
        yield pool


def _alone(act: Callable[[], Any]) -> Any:
    try:
        return act()
    finally:
        connections.close_all()


def _insert(number: int) -> None:
    _alone(lambda: Item.objects.create(pk=1000 + number, shelf_id=1, price=number))


def waiters() -> int:
    """Return how many threads wait for their turn to drain."""
    turn: Any = runner.runner._turn
    return len(turn._waiters)


def test_writers_who_commit_while_a_drain_runs_share_the_next(
    world: World, moved: list[list[str]], gate: Gate, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(_insert, 0)
    assert gate.reached.wait(LONG)
    others = [pool.submit(_insert, number) for number in range(1, WRITERS)]
    _wait(lambda: Item.objects.count() == 3 + WRITERS)
    _wait(lambda: waiters() == WRITERS - 1)
    gate.opened.set()
    for one in (first, *others):
        one.result(LONG)
    assert len(moved) == 2
    assert sorted(tag for tags in moved for tag in tags if "#" in tag) == [
        f"shelf_item#{1000 + number}" for number in range(WRITERS)
    ]


def test_a_drain_that_began_before_a_commit_is_not_taken_for_one_that_carried_it(
    world: World, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    """Its statement is over: who commits now waits for the next."""
    door = DOORS["query"]
    door.ask(Subject.ROW)
    first = pool.submit(_insert, 0)
    assert gate.reached.wait(LONG)
    second = pool.submit(lambda: _alone(lambda: Item.objects.filter(pk=1).update(price=99)))
    _wait(lambda: waiters() == 1)
    gate.opened.set()
    first.result(LONG)
    second.result(LONG)
    assert pool.submit(lambda: _alone(lambda: door.ask(Subject.ROW))).result(LONG) == "99"


def test_each_change_of_many_writers_is_moved_once(
    world: World, moved: list[list[str]], pool: ThreadPoolExecutor
) -> None:
    for one in [pool.submit(_insert, number) for number in range(5 * WRITERS)]:
        one.result(LONG)
    rows = [tag for tags in moved for tag in tags if "#" in tag]
    assert sorted(rows) == sorted({f"shelf_item#{1000 + number}" for number in range(5 * WRITERS)})


@pytest.mark.parametrize("certify", [True, False], ids=["whole", "writer's"])
def test_what_another_process_moved_is_not_moved_again(world: World, certify: bool) -> None:
    """Else it would take the entries that were filled since with it."""
    door = DOORS["query"]
    runner.runner.run()
    door.ask(Subject.ROW)
    world.change_and_drain(Subject.ROW)
    door.ask(Subject.ROW)
    runner.runner.run(certify=certify)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


@pytest.fixture
def hanging(world: World) -> Iterator[Callable[[], None]]:
    """The primary hangs, until it is told to go on."""
    world.run("BEGIN; LOCK TABLE cachecontrol_change")
    yield lambda: world.run("ROLLBACK")
    if world.rival.info.transaction_status != TransactionStatus.IDLE:
        world.run("ROLLBACK")


ASKING = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'larder drain' AND wait_event = 'relation'"
    " AND datname = current_database()"
)


def _asking() -> int:
    """How many drains wait for the primary. The rival is in a transaction, in which it sees others as they were."""
    with connection.cursor() as cursor:
        cursor.execute(ASKING)
        return int(cursor.fetchone()[0])


def test_readers_who_find_the_clock_old_wait_for_one_drain(
    world: World, hanging: Callable[[], None], moved: list[list[str]], pool: ThreadPoolExecutor
) -> None:
    """The primary hangs: else each of them would ask it."""
    readers = [pool.submit(lambda: _alone(catch_up.catch_up)) for _ in range(WRITERS)]
    _wait(lambda: waiters() == WRITERS - 1)
    _wait(lambda: _asking() == 1)
    hanging()
    assert [one.result(LONG) for one in readers] == [True] * WRITERS
    assert len(moved) == 2


def test_readers_who_find_the_clock_old_wait_no_longer_than_they_may(
    world: World, hanging: Callable[[], None], settings: Any, pool: ThreadPoolExecutor
) -> None:
    """Whether they ask the primary themselves or wait for who does: it hangs until all have given up."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "DRAIN_TIMEOUT": 0.3}
    runner.runner.close()
    for one in [pool.submit(lambda: _alone(catch_up.catch_up)) for _ in range(WRITERS)]:
        assert one.result(LONG) is False
    hanging()
    settings.CACHECONTROL = {**settings.CACHECONTROL, "DRAIN_TIMEOUT": LONG}
    catch_up.breaker.answered()
    assert catch_up.catch_up()


def test_who_waits_for_the_drain_of_another_gives_up_when_the_time_is_over(
    world: World, gate: Gate, pool: ThreadPoolExecutor
) -> None:
    first = pool.submit(lambda: _alone(catch_up.catch_up))
    assert gate.reached.wait(LONG)
    with pytest.raises(TimeoutError):
        runner.runner.run(timeout=0.1)
    assert not first.done()
    gate.opened.set()
    assert first.result(LONG)


def test_a_drain_whose_server_falls_silent_ends_and_the_next_connects_anew(world: World) -> None:
    """The network still acknowledges what is sent, and nobody is there to keep a statement_timeout."""
    own = DrainRunner()
    own.run()
    with suspended(own.drainer.primary.connection().info.backend_pid):
        with pytest.raises(psycopg.OperationalError):
            own.run(timeout=0.1)
        assert own.run().epoch
    own.close()


def test_a_drain_that_succeeded_is_not_taken_for_the_next_one_that_failed(world: World) -> None:
    """The next drain may end before the thread of the first one goes on."""
    own = DrainRunner()

    def fail_next() -> None:
        with (
            mock.patch.object(own.drainer, "drain", side_effect=StoreDown("it fails")),
            pytest.raises(StoreDown),
        ):
            own.run()

    with staged(own, "_finish", after=fail_next):
        assert own.run().epoch
    own.close()
