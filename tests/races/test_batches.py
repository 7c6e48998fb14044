"""A writer commits while several rows are read and stored together.

See docs/races.md, "A commit while a batch is filled".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cachecontrol.drain import catch_up
from cachecontrol.postgres import read_point
from cachecontrol.redis import protocol, redis_client
from tests.patience import LONG
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.staging import staged
from tests.shelf.world import BATCH

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from project.local.valkey import Valkey
    from tests.shelf.world import World

    Stage = Callable[[Callable[[], object]], AbstractContextManager[None]]

SUBJECTS = [Subject.ROW, Subject.MISSING]
STAGES: dict[str, Stage] = {
    "before the lookup": lambda act: staged(protocol, "read_many", before=act),
    "before the position": lambda act: staged(read_point, "read_point", before=act),
    "before the query": lambda act: staged(read_point, "read_point", after=act),
    "before the first store": lambda act: staged(protocol, "fill", before=act),
    "between two stores": lambda act: staged(protocol, "fill", after=act),
}


@pytest.mark.parametrize("is_drained", [True, False])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("subject", SUBJECTS)
def test_what_changed_meanwhile_is_seen_after_the_next_drain(
    world: World, subject: Subject, stage: str, is_drained: bool
) -> None:
    with STAGES[stage](lambda: world.change_and_drain(subject) if is_drained else world.change(subject)):
        BATCH.ask(subject)
    world.drain()
    assert BATCH.ask(subject) == BATCH.truth(subject)


def test_rows_that_did_not_change_are_stored_although_another_one_did(world: World) -> None:
    with staged(protocol, "fill", before=lambda: world.change(Subject.ROW)):
        BATCH.ask(Subject.ROW)
    world.drain()
    world.seen.clear()
    Item.objects.fetch_many([1, 2, 99], "shelf.batch", ttl=3600)
    assert [seen.outcome for seen in world.seen] == ["miss", "hit", "hit"]


def test_a_batch_without_a_clock_drains_once_and_reads_again(world: World) -> None:
    BATCH.ask(Subject.ROW)
    world.redis.flushall()
    with staged(catch_up, "catch_up_in_time", after=lambda: None):
        assert BATCH.ask(Subject.ROW) == BATCH.truth(Subject.ROW)


def test_a_batch_is_read_from_the_database_while_redis_is_down(
    world: World, valkey: Valkey, settings: Any
) -> None:
    truth = BATCH.ask(Subject.ROW)
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": LONG}
    valkey.stop()
    assert BATCH.ask(Subject.ROW) == truth
    assert redis_client.breaker.is_down
    assert BATCH.ask(Subject.ROW) == truth  # without asking Redis
    settings.CACHECONTROL = {**settings.CACHECONTROL, "BREAKER_SECONDS": 0.0}
    redis_client.breaker.failed(OSError("stopped"))
    valkey.start()
    assert BATCH.ask(Subject.ROW) == truth
    assert not redis_client.breaker.is_down
