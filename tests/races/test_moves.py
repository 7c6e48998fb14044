"""How changes are moved: only known tags, in chunks, and looked up by index although a writer sits idle.

See docs/races.md, "More tags than one call may move", "A drain that died half-way", "A transaction that stays open" and
"Commits that wait for a notification".
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg
import pytest

from cachecontrol.drain.runner import DrainRunner, runner
from cachecontrol.exceptions import StoreDown
from cachecontrol.postgres import drain_query
from cachecontrol.redis import keys, protocol
from tests.patience import LONG
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.world import Door, World

MANY = 20_000
CALLS = 4
LONGEST_PAUSE = 0.05
"""Seconds for which Redis may answer nobody else: told by the quickest call, as each may have to wait for a processor."""
LOG = """INSERT INTO cachecontrol_change (xid, operation, relation, tags)
         SELECT pg_current_xact_id(), 'UPDATE', 'shelf_item', ARRAY['shelf_item#' || n] FROM generate_series(1, %s) AS n"""


def _tags(world: World) -> set[str]:
    return {key.decode().removeprefix(keys.TAG) for key in world.redis.scan_iter(f"{keys.TAG}*")}


def test_a_move_creates_no_tags_that_nobody_depends_on(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    known = _tags(world)
    world.run(
        "INSERT INTO shelf_item (shelf_id, name, price, looks) SELECT 2, '', n, 0 FROM generate_series(1, 100) AS n"
    )
    world.change_and_drain(Subject.ROW)
    assert _tags(world) == known


def test_an_idle_writer_does_not_make_drains_read_what_was_drained(world: World) -> None:
    """Its xid stays among the running ones of every snapshot: only those above and itself are asked for."""
    with psycopg.connect(world.rival.info.dsn) as idle:
        idle.execute("SELECT pg_current_xact_id()")
        world.run("SELECT pg_current_xact_id()")
        world.run(LOG % MANY)
        world.run("ANALYZE cachecontrol_change")
        world.drain()
        world.change(Subject.ROW)
        read = _read_by(drain_query.CARRY_SQL)
    assert 1 <= sum(rows for _, rows in read) <= 5
    assert "Seq Scan" not in {node for node, _ in read}
    world.drain()


def _read_by(statement: str) -> list[tuple[str, int]]:
    """How the next drain would look at the change log, and how many rows it would look at, those removed included."""
    other = DrainRunner()
    xmax, xip = drain_query.snapshot_bounds(protocol.clock().snapshot)
    try:
        ((plan,),) = (
            other.drainer.primary.connection()
            .execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", {"xmax": xmax, "xip": xip, "limit": 5000})
            .fetchall()
        )
    finally:
        other.close()
    return [*_scans(plan[0]["Plan"])]


def _scans(node: dict[str, Any]) -> Iterator[tuple[str, int]]:
    if node.get("Relation Name") == "cachecontrol_change" and node["Actual Loops"]:
        yield node["Node Type"], int(node["Actual Rows"]) + int(node.get("Rows Removed by Filter", 0))
    for child in node.get("Plans", ()):
        yield from _scans(child)


def test_the_commit_of_the_idle_writer_is_carried(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    with psycopg.connect(world.rival.info.dsn) as idle:
        idle.execute(CHANGES[Subject.ROW])
        for _ in range(3):
            world.run("SELECT pg_current_xact_id()")
            world.change_and_drain(Subject.COUNT)
        before = door.ask(Subject.ROW)
        idle.commit()
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) != before


def test_a_change_is_told_to_no_listener(world: World) -> None:
    """NOTIFY would make all commits wait for each other, and its queue fill where a listener sits idle."""
    with psycopg.connect(world.rival.info.dsn) as listener:
        listener.execute("LISTEN anything")
        listener.commit()
        listener.execute("SELECT 1")
        before = world.run("SELECT pg_notification_queue_usage()").fetchone()
        world.run(
            "DO $$ BEGIN FOR n IN 1..500 LOOP UPDATE shelf_item SET price = price + 1; COMMIT; END LOOP; END $$"
        )
        assert world.run("SELECT pg_notification_queue_usage()").fetchone() == before
        world.run(
            "SELECT pg_notify(repeat('c', 60), n || repeat('x', 7000)) FROM generate_series(1, 20) AS n"
        )
        assert world.run("SELECT pg_notification_queue_usage()").fetchone() != before, "it would not be seen"


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call to Redis moves one tag, the row's first."""
    move = protocol.move

    def in_order(epoch: str, position: str, moves: Any, advance: Any) -> protocol.Moved | None:
        return move(epoch, position, sorted(moves, key=lambda one: "#" not in one.tag), advance)

    monkeypatch.setattr(keys, "TAGS_PER_CALL", 1)
    monkeypatch.setattr(protocol, "move", in_order)


@pytest.mark.usefixtures("chunks")
def test_a_store_between_two_chunks_is_not_believed(world: World, door: Door) -> None:
    """Its tag was not known when the chunk came that would have moved it: the clock's position stands for it."""
    paused, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        paused.set()
        assert go_on.wait(LONG)

    def move_the_row_and_pause() -> None:
        world.change(Subject.ROW)
        draining.start()
        assert paused.wait(LONG)

    draining = threading.Thread(target=world.drain)
    with staged(protocol, "_move", after=pause):
        with staged(protocol, "fill", before=move_the_row_and_pause):
            door.ask(Subject.ROW)
        go_on.set()
        draining.join(LONG)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


@pytest.mark.usefixtures("chunks")
def test_a_drain_that_died_between_two_chunks_is_done_again(world: World, door: Door) -> None:
    def die() -> None:
        raise StoreDown("it died")

    door.ask(Subject.LIST)
    before = protocol.clock()
    world.change(Subject.LIST)
    with staged(protocol, "_move", after=die), pytest.raises(StoreDown):
        world.drain()
    assert (protocol.clock().snapshot, protocol.clock().time) == (before.snapshot, before.time)
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


def test_many_tags_are_moved_in_many_calls_each_short(world: World, tags_moved: list[int]) -> None:
    """Else Redis would answer nobody else for as long as it takes."""
    world.run(LOG % (CALLS * keys.TAGS_PER_CALL))
    for number in range(CALLS * keys.TAGS_PER_CALL):
        world.redis.set(keys.tag(f"shelf_item#{number}"), f"{'0' * 31} 0")
    took: list[float] = []
    original = protocol._move

    def move(names: Any, arguments: Any) -> Any:
        began = time.perf_counter()
        result = original(names, arguments)
        took.append(time.perf_counter() - began)
        return result

    with mock.patch.object(protocol, "_move", move):
        runner.run()
    assert tags_moved == [keys.TAGS_PER_CALL] * CALLS
    assert min(took) < LONGEST_PAUSE
