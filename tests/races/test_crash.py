"""PostgreSQL crashes: commits are lost that were read, and xids are handed out again.

See docs/races.md, "A crash of PostgreSQL".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from cachecontrol.redis import protocol
from tests.replies import one_row
from tests.shelf import cluster
from tests.shelf.reads import CHANGES, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator

    from project.local.postgres import Postgres
    from tests.shelf.world import Door, World

pytestmark = pytest.mark.xdist_group("crash")  # one worker: the tests share a cluster of their own

CLUSTER = {
    "synchronous_commit": "off",
    "checkpoint_timeout": "1d",
    "bgwriter_lru_maxpages": "0",
    "autovacuum": "off",
}
"""But for the process that ``forgetful`` stops, nobody writes to disk what is committed in memory."""
CRASHES = {"server": cluster.crash, "backend": cluster.crash_backend}


@pytest.fixture
def fragile(server: Postgres) -> Iterator[Postgres]:
    """The module's cluster, its shelves and the epoch that its drain began on disk, or a crash would tell of itself."""
    with cluster.connect(server) as own:
        own.execute("CHECKPOINT")
    with cluster.forgetful(server):
        yield server


def _crash(crash: str, server: Postgres) -> None:
    """Crash, and let the WAL grow past all that drains saw of it: what was lost cannot be told from the position."""
    CRASHES[crash](server)
    cluster.reconnect()
    with cluster.connect(server) as other:
        other.execute("SELECT pg_logical_emit_message(false, 'other', repeat('x', 1000000))")
        (position,) = one_row(other.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))
    assert position > int(protocol.clock().seen.partition(".")[2])


@pytest.mark.parametrize("crash", CRASHES)
def test_a_commit_that_was_read_and_lost_is_not_served(
    world: World, door: Door, fragile: Postgres, crash: str
) -> None:
    before = door.truth(Subject.ROW)
    with cluster.connect(fragile) as rival:
        rival.execute(CHANGES[Subject.ROW])
        world.drain()
        assert door.ask(Subject.ROW) != before
    _crash(crash, fragile)
    assert door.truth(Subject.ROW) == before, "nothing was lost, so that nothing is shown"
    world.drain()
    assert door.ask(Subject.ROW) == before


@pytest.mark.parametrize("crash", CRASHES)
def test_a_change_under_an_xid_that_was_handed_out_before_is_carried(
    world: World, door: Door, fragile: Postgres, crash: str
) -> None:
    with cluster.connect(fragile) as rival:
        for _ in range(20):
            rival.execute("BEGIN; SELECT pg_current_xact_id(); ROLLBACK")
    world.drain()
    seen = int(protocol.clock().snapshot.split(":")[1])
    door.ask(Subject.ROW)
    _crash(crash, fragile)
    with cluster.connect(fragile) as rival:
        rival.execute("SET synchronous_commit = on")
        rival.execute(CHANGES[Subject.ROW])
        (xid,) = one_row(rival.execute("SELECT max(xid::text::bigint) FROM cachecontrol_change"))
    assert xid < seen, "no xid was handed out again, so that nothing is shown"
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_an_orderly_restart_costs_a_cold_cache_and_nothing_else(
    world: World, door: Door, server: Postgres
) -> None:
    first = door.ask(Subject.ROW)
    server.stop()
    server.start()
    cluster.reconnect()
    world.drain()
    assert door.ask(Subject.ROW) == first
    assert world.last.reason in ("epoch", "absent")
