"""Two servers that share a past: each process must be told whose history it reads.

See docs/races.md, "Servers that share a past".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cachecontrol.drain.connection import DrainConnection
from cachecontrol.drain.runner import DrainRunner
from cachecontrol.exceptions import DrainRefused
from cachecontrol.redis import keys, protocol
from tests.shelf import cluster
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.local.postgres import Postgres


door = DOORS["page"]


@pytest.fixture
def standby(world: World) -> Iterator[Postgres]:
    """A standby that the last commits of the primary do not reach."""
    with cluster.clone(standby=True) as server:
        with cluster.connect(server) as own:
            own.execute("ALTER SYSTEM SET primary_conninfo = ''")
            own.execute("SELECT pg_reload_conf()")
            cluster._wait(lambda: not own.execute("SELECT 1 FROM pg_stat_wal_receiver").fetchone())
        yield server


def test_commits_that_a_promotion_lost_are_not_served(world: World, standby: Postgres) -> None:
    """The cache holds a future that never was."""
    before = door.truth(Subject.ROW)
    world.change_and_drain(Subject.ROW)
    assert door.ask(Subject.ROW) != before
    cluster.promote(standby)
    with cluster.at(standby):
        world.drain()
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == before


def test_a_process_left_on_the_old_primary_stores_nothing(world: World, standby: Postgres) -> None:
    cluster.promote(standby)
    with cluster.at(standby):
        world.drain()
    for _ in range(5):
        world.change(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]
    with cluster.at(standby), cluster.connect(standby) as rival:
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        rival.execute(CHANGES[Subject.ROW])
        world.drain()
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_fill_that_spans_the_promotion_stores_nothing(world: World, standby: Postgres) -> None:
    def fail_over() -> None:
        cluster.promote(standby)
        with cluster.connect(standby) as rival:
            rival.execute(CHANGES[Subject.ROW])
            own = DrainConnection.connect(rival.info.dsn, autocommit=True)
        drain = DrainRunner()
        drain.drainer.primary._connection = own
        drain.run()
        drain.close()

    with staged(protocol, "fill", before=fail_over):
        door.ask(Subject.ROW)
    with cluster.at(standby):
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_drain_left_on_the_old_primary_renews_nothing(world: World, standby: Postgres) -> None:
    cluster.promote(standby)
    with cluster.at(standby):
        world.drain()
    epoch = protocol.clock().epoch
    with pytest.raises(DrainRefused, match="timeline"):
        world.drain()
    assert protocol.clock().epoch == epoch


def test_a_drain_on_a_standby_is_refused(world: World, standby: Postgres) -> None:
    epoch = protocol.clock().epoch
    with cluster.at(standby), pytest.raises(DrainRefused, match="standby"):
        world.drain()
    assert protocol.clock().epoch == epoch
