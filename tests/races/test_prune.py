"""The change log is pruned while somebody may still need it.

See docs/races.md, "Pruning by age" and "A drain that died half-way".
"""

from __future__ import annotations

import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import transaction

from cachecontrol.api import invalidate
from cachecontrol.drain.runner import runner
from cachecontrol.jobs import prune
from cachecontrol.models import Epoch
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.patience import LONG
from tests.replies import in_bytes
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import DOORS, Door, World

if TYPE_CHECKING:
    from collections.abc import Iterator

door = DOORS["query"]


@pytest.fixture(autouse=True)
def at_once(world: World, settings: Any) -> None:
    """Whatever a recorded snapshot saw may go at once."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "PRUNE_AFTER": 0.0}


def _changes(world: World) -> int:
    return int(world.run("SELECT count(*) FROM cachecontrol_change").fetchone()[0])


def test_what_a_recorded_snapshot_saw_is_deleted(world: World) -> None:
    world.change_and_drain(Subject.ROW)
    assert _changes(world) > 0
    prune.prune()
    assert _changes(world) == 0


def test_a_change_of_a_transaction_that_was_open_at_the_snapshot_is_kept(world: World) -> None:
    """Its change is old, its commit is young."""
    door.ask(Subject.ROW)
    with psycopg.connect(world.rival.info.dsn) as slow:
        slow.execute(CHANGES[Subject.ROW])
        for _ in range(3):
            world.change_and_drain(Subject.COUNT)
            prune.prune()
        slow.commit()
    _prune_with_the_recorded_snapshot(world)
    assert _changes(world) == 1
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "11"


def _prune_with_the_recorded_snapshot(world: World) -> None:
    """Prune by what was recorded while the transaction was open, not by a snapshot of now."""
    while prune._prune_batch():
        pass


def test_a_clock_drained_less_far_than_the_log_was_pruned_is_not_believed(world: World, door: Door) -> None:
    """Redis comes back with a clock of yesterday, whose changes are gone."""
    door.ask(Subject.ROW)
    before = in_bytes(world.redis.dump("cc:{0}:clock"))
    world.change(Subject.ROW)
    prune.prune()
    assert _changes(world) == 0
    world.redis.restore("cc:{0}:clock", 0, before, replace=True)
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_pruning_what_was_drained_raises_no_alarm(world: World, settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "PRUNE_AFTER": 0.3}
    world.change(Subject.ROW)
    prune.prune()
    world.drain()
    door.ask(Subject.ROW)
    epoch = protocol.clock().epoch
    time.sleep(0.3)
    prune.prune()
    assert _changes(world) == 0
    world.run("SELECT pg_current_xact_id()")
    world.drain()
    assert protocol.clock().epoch == epoch
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_snapshots_of_a_history_that_broke_delete_nothing(world: World) -> None:
    """A dump of another cluster brings snapshots whose xids are far ahead."""
    world.run("INSERT INTO cachecontrol_snapshot (at, snapshot) VALUES ('2020-01-01', '900000:900000:')")
    world.run("UPDATE cachecontrol_epoch SET pruned_rank = 900000")
    world.drain()
    assert Epoch.objects.get().pruned_rank == 0
    world.change(Subject.ROW)
    assert prune._prune_batch() == 0
    epoch = protocol.clock().epoch
    world.drain()
    assert protocol.clock().epoch == epoch


def test_a_commit_with_a_lower_id_after_a_higher_one_is_carried(world: World, door: Door) -> None:
    """See docs/races.md, "Commits out of the order of their ids"."""
    door.ask(Subject.ROW)
    with psycopg.connect(world.rival.info.dsn) as slow:
        slow.execute(CHANGES[Subject.ROW])
        world.change_and_drain(Subject.COUNT)
        door.ask(Subject.ROW)
        slow.commit()
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_drain_that_died_between_moving_and_advancing_is_done_again(world: World, door: Door) -> None:
    door.ask(Subject.ROW)
    before = in_bytes(world.redis.dump("cc:{0}:clock"))
    world.change_and_drain(Subject.ROW)
    world.redis.restore("cc:{0}:clock", 0, before, replace=True)
    door.ask(Subject.ROW)
    for _ in range(2):
        world.drain()
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


BACKLOG = """
INSERT INTO cachecontrol_change (operation, relation, tags)
SELECT 'UPDATE', 'shelf_item', ARRAY['shelf_item#' || n, 'shelf_item.shelf=1', 'shelf_item'] FROM generate_series(1, {rows}) AS n
"""
ROWS = 20_000
"""Changes in the backlog: four times as many as one drain moves tag by tag, or one transaction of pruning deletes.

More would prove nothing more: of a backlog above the limit a drain returns whole tables, and each batch deletes the same number.
"""
FLAT = 500_000
"""Bytes that a drain of them may take at its peak; one that fetches every tag takes ten times as much."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many changes each transaction of pruning deletes."""
    deleted: list[int] = []
    prune_batch = prune._prune_batch

    def note() -> int:
        deleted.append(prune_batch())
        return deleted[-1]

    monkeypatch.setattr(prune, "_prune_batch", note)
    return deleted


@contextmanager
def flat_memory() -> Iterator[None]:
    """Fail if the block takes more memory than FLAT at its peak."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < FLAT
    finally:
        tracemalloc.stop()


def test_a_long_backlog_is_carried_in_bounded_steps(
    world: World, tags_moved: list[int], batches: list[int]
) -> None:
    """Nobody drained for an hour: memory stays flat and Redis answers others all the time.

    See docs/races.md, "A long backlog of changes".
    """
    door.ask(Subject.ROW)
    world.run(BACKLOG.format(rows=ROWS))
    world.change(Subject.ROW)
    with flat_memory():
        drained = runner.run(timeout=LONG)
    assert drained.tags <= 2
    assert max(tags_moved) <= 2
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert prune._prune_batch() == 0, "no snapshot was recorded after them"
    prune.prune()
    assert _changes(world) == 0
    assert max(batches) <= prune.BATCH
    assert sum(batches) > ROWS


def test_tags_invalidated_by_hand_are_moved_in_a_crowd_too(world: World, settings: Any) -> None:
    """Where a drain finds too many tags it moves whole tables: every table that the tags belong to."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "TAGS_PER_DRAIN": 1}
    door.ask(Subject.ROW)
    with transaction.atomic():
        invalidate(["shelf_shelf#1", "shelf_shelf#2", "shelf_item#1"])
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.MISS
