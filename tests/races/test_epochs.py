"""A new epoch begins where history broke, and only there.

See docs/races.md, "A history that is put back" and "A new epoch without need".
"""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.core import registry
from cachecontrol.drain.primary import Primary
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.exceptions import DrainRefused
from cachecontrol.models import Epoch
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys, protocol
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged
from tests.shelf.world import Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES = 12
LATER = 10**15
"""Bytes of WAL that a database may have written before an older copy of it took its place."""


def _put_back(world: World) -> None:
    """The database is put back as it was: its WAL and its epoch are behind what Redis knows."""
    for tag in world.redis.scan_iter(f"{keys.TAG}*"):
        position, *rest = in_bytes(world.redis.get(tag)).split(b" ")
        number, wal = position.split(b".")
        world.redis.set(tag, b" ".join([b"%b.%020d" % (number, int(wal) + LATER), *rest]))
    epoch, end = protocol.clock().seen.split(".")
    world.redis.hset(
        keys.CLOCK, mapping=dict.fromkeys(("seen", "position"), f"{epoch}.{int(end) + LATER:020d}")
    )
    world.run("UPDATE cachecontrol_epoch SET number = 1, random = 'restored'")


def test_tags_of_a_future_that_was_taken_back_do_not_stand_in_the_way(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    _put_back(world)
    world.drain()
    for expected in (Outcome.MISS, Outcome.HIT):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert world.last.outcome is expected


def test_a_machine_that_was_put_back_with_its_memory_is_known_by_its_position(
    world: World, door: Door
) -> None:
    """Its server never stopped, and its epoch is the one that Redis knows."""
    door.ask(Subject.ROW)
    known = Epoch.objects.get()
    _put_back(world)
    known.save()
    world.drain()
    for expected in (Outcome.MISS, Outcome.HIT):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert world.last.outcome is expected


def test_what_changed_before_the_history_was_put_back_is_not_served(world: World, door: Door) -> None:
    before = door.ask(Subject.ROW)
    world.change(Subject.ROW)
    _put_back(world)
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) != before


def test_epochs_grow_although_the_database_forgot_how_far_they_were(world: World) -> None:
    before = protocol.clock().epoch
    _put_back(world)
    world.drain()
    assert protocol.clock().epoch > before


def test_a_drain_begun_in_an_epoch_that_ended_moves_nothing_of_the_new_one(world: World, door: Door) -> None:
    def renew() -> None:
        world.redis.delete(keys.CLOCK)
        world.drain()
        door.ask(Subject.ROW)
        began.append(protocol.clock())

    began: list[protocol.Clock] = []
    world.change(Subject.COUNT)
    drain = DrainRunner()
    with staged(protocol, "move", before=renew):
        drain.run(certify=False)
    drain.close()
    assert protocol.clock().epoch == began[0].epoch
    assert int(protocol.clock().rank) >= int(began[0].rank)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_renewal_that_redis_refuses_is_neither_logged_nor_left_in_the_database(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Another program wrote a clock meanwhile, so the drain begins again."""
    world.redis.delete(keys.CLOCK)

    def overtake() -> None:
        world.redis.hset(keys.CLOCK, "epoch", "another program's")

    with caplog.at_level(logging.WARNING, "cachecontrol"), staged(protocol, "renew", before=overtake):
        world.drain()
    begun = [record for record in caplog.records if record.getMessage().startswith("A new cache epoch")]
    assert len(begun) == 1
    assert protocol.clock().epoch.endswith(Epoch.objects.get().random)


def test_a_drain_gives_up_when_the_clock_goes_again_and_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = protocol.move

    def lose_the_clock(*arguments: Any) -> protocol.Moved | None:
        world.redis.delete(keys.CLOCK)
        return move(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(protocol, "move", lose_the_clock)
        with pytest.raises(DrainRefused, match="the epoch changed"):
            world.drain()
    world.drain()
    assert protocol.clock().age is not None


def test_a_drain_without_the_row_of_the_epoch_says_what_to_do(world: World) -> None:
    world.run("CREATE TABLE spare AS SELECT * FROM cachecontrol_epoch; DELETE FROM cachecontrol_epoch")
    try:
        with pytest.raises(DrainRefused, match="run migrate"):
            world.drain()
    finally:
        world.run("INSERT INTO cachecontrol_epoch SELECT * FROM spare; DROP TABLE spare")
    world.drain()


def test_a_drain_begun_in_an_epoch_that_ended_carries_its_changes_all_the_same(
    world: World, door: Door
) -> None:
    """What it found is void, so it asks again."""

    def renew() -> None:
        world.redis.delete(keys.CLOCK)
        world.drain()
        door.ask(Subject.ROW)
        world.change(Subject.ROW)

    world.change(Subject.COUNT)
    drain = DrainRunner()
    with staged(protocol, "move", before=renew):
        drain.run()
    drain.close()
    assert elsewhere(lambda: door.ask(Subject.ROW)) == door.truth(Subject.ROW)


def test_releases_that_track_other_tables_drain_by_turns_and_renew_nothing(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is tracked is read from the catalog, not from the code."""
    door.ask(Subject.ROW)
    epoch = protocol.clock().epoch
    for _ in range(3):
        with monkeypatch.context() as older:
            older.delitem(registry._tables, "shelf_shelf")
            world.drain()
        world.drain()
    assert protocol.clock().epoch == epoch
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


GAPS: dict[str, tuple[Any, str, str]] = {
    "before its statement": (Primary, "_ask", "before"),
    "after its statement": (Primary, "_ask", "after"),
    "before its last call": (protocol, "move", "before"),
}


@pytest.mark.parametrize("gap", GAPS)
def test_a_drain_that_another_overtook_raises_no_alarm(world: World, gap: str) -> None:
    """Its position is behind the clock's by then, and nothing went back in time."""
    owner, name, moment = GAPS[gap]
    epoch = protocol.clock().epoch
    with staged(owner, name, **{moment: lambda: world.change_and_drain(Subject.COUNT)}):
        world.drain()
    world.drain()
    assert protocol.clock().epoch == epoch


def _at_once(act: Callable[[int], Any], *, processes: int = PROCESSES) -> list[Any]:
    """Do the same in many threads, which begin together."""
    begin = threading.Barrier(processes)

    def one(number: int) -> Any:
        begin.wait(LONG)
        return act(number)

    with ThreadPoolExecutor(processes) as pool:
        return list(pool.map(one, range(processes), timeout=LONG))


def _drained(_: int) -> str:
    drain = DrainRunner()
    try:
        return drain.run(timeout=LONG).renewed
    finally:
        drain.close()


def test_drains_of_many_processes_at_the_same_time_raise_no_alarm(world: World) -> None:
    epoch = protocol.clock().epoch
    with world.rival.pipeline():
        for _ in range(20):
            world.change(Subject.ROW)
    assert _at_once(lambda number: [_drained(number) for _ in range(5)]) == [[""] * 5] * PROCESSES
    assert protocol.clock().epoch == epoch


def test_many_processes_that_find_the_clock_gone_agree_on_one_epoch(world: World) -> None:
    number = Epoch.objects.get().number
    world.redis.flushall()
    _at_once(_drained)
    known = Epoch.objects.get()
    assert protocol.clock().epoch == str(known)
    world.drain()
    assert protocol.clock().epoch == str(known)
    assert number < known.number


def test_a_database_under_another_name_is_another_history(world: World, door: Door) -> None:
    """The clock of a copy in the same cluster: its epoch row, its positions and its xids are those of the original."""
    before = door.ask(Subject.ROW)
    place, *rest = protocol.clock().identity.split(" ")
    system, _ = place.split("/")
    world.redis.hset(keys.CLOCK, "identity", " ".join([f"{system}/1", *rest]))
    world.run(CHANGES[Subject.ROW])
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) != before
    assert world.last.reason == "epoch"
