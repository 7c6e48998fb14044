"""A commit is in the WAL before anybody sees it, and a quiet database writes none.

See docs/races.md, "A commit that is written and not yet visible" and "A quiet database that is written to".
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from cachecontrol.drain.runner import DrainRunner
from tests.patience import LONG
from tests.replies import one_row
from tests.shelf import cluster
from tests.shelf.reads import CHANGES, Subject

if TYPE_CHECKING:
    from project.local.postgres import Postgres
    from tests.shelf.world import Door, World

pytestmark = pytest.mark.xdist_group("visible")  # one worker: the tests share a cluster of their own

CLUSTER = {"synchronous_standby_names": "nobody", "synchronous_commit": "local", "autovacuum": "off"}
"""A commit waits for a standby that does not exist, if a session wants that; and nobody writes unasked."""
WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
WHERE = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"
DRAINS = 50
SMALLEST_MESSAGE = 40
"""Bytes of WAL that the shortest message takes, at least."""


def test_what_was_read_while_a_commit_was_written_and_not_yet_visible_is_moved_by_it(
    world: World, door: Door, server: Postgres
) -> None:
    """The reader's position lies behind the commit, and nothing else is written: only the drain's own message lies further."""
    with cluster.connect(server) as writer, cluster.connect(server) as other:
        writer.execute("SET synchronous_commit = on")
        thread = threading.Thread(target=writer.execute, args=[CHANGES[Subject.ROW]])
        thread.start()
        cluster._wait(lambda: other.execute(WAITS).fetchone())
        before = door.ask(Subject.ROW)
        assert before == door.truth(Subject.ROW)
        writer.cancel()
        thread.join(LONG)
        assert not thread.is_alive()
    assert door.truth(Subject.ROW) != before
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)


def test_a_quiet_database_is_drained_without_writing_to_it(world: World, server: Postgres) -> None:
    drain = DrainRunner()
    drain.run()
    with cluster.connect(server) as own:
        own.execute("CHECKPOINT")
        (began,) = one_row(own.execute(WHERE))
        for _ in range(DRAINS):
            drain.run()
        (ended,) = one_row(own.execute(WHERE))
    drain.close()
    assert ended - began < DRAINS * SMALLEST_MESSAGE
