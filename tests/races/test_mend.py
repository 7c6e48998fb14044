"""Triggers that somebody disabled, dropped or enabled otherwise: health tells what to do, and the mend job does it by itself.

See docs/races.md, "Triggers that somebody switched off".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import connection
from django.test import RequestFactory

from cachecontrol import checks
from cachecontrol.jobs import mend
from cachecontrol.monitoring.dashboard import health
from cachecontrol.monitoring.probes import readyz
from cachecontrol.postgres import triggers
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.shelf.reads import Subject
from tests.shelf.world import CLERK, DOORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.shelf.world import World

door = DOORS["query"]
AS_AFTER_A_LOAD = "ALTER TABLE shelf_item DISABLE TRIGGER ALL; ALTER TABLE shelf_item ENABLE TRIGGER ALL"
STATES = {
    "enabled as by ENABLE TRIGGER ALL": AS_AFTER_A_LOAD,
    "disabled": "ALTER TABLE shelf_item DISABLE TRIGGER ALL",
    "one dropped": "DROP TRIGGER cachecontrol_delete ON shelf_item",
}
UNSEEN = "SET session_replication_role = replica; UPDATE shelf_item SET price = 99 WHERE id = 1; RESET session_replication_role"
"""A write that only triggers see that are ALWAYS."""


@pytest.fixture(params=STATES)
def state(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    world.run(STATES[request.param])
    yield request.param
    connection.close()
    world.run("ALTER TABLE shelf_item ENABLE TRIGGER ALL")
    assert not [error for _, error in mend.mend() if error]


def test_the_mend_job_puts_them_back(world: World, state: str) -> None:
    assert [*mend.mend()] == [("shelf_item", "")]
    assert [*mend.mend()] == []
    assert triggers.tables_without_triggers(connection) == []
    world.drain()
    door.ask(Subject.ROW)
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT
    world.run(UNSEEN)
    world.drain()
    assert door.ask(Subject.ROW) == "99"


def test_everything_that_was_read_before_moves(world: World, state: str) -> None:
    """As a write may have gone unseen that no drain knew of."""
    world.drain()
    door.ask(Subject.ROW)
    world.run(UNSEEN)
    assert [*mend.mend()] == [("shelf_item", "")]
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "99"


def test_a_writer_that_nobody_saw_ends_first(world: World, state: str) -> None:
    with psycopg.connect(world.rival.info.dsn) as writer:
        writer.execute("SET session_replication_role = replica")
        writer.execute("UPDATE shelf_item SET price = 99 WHERE id = 1")
        ((relation, error),) = mend.mend()
        assert relation == "shelf_item"
        assert "lock timeout" in error
        world.drain()
        door.ask(Subject.ROW)
        writer.commit()
    assert [*mend.mend()] == [("shelf_item", "")]
    world.drain()
    assert door.ask(Subject.ROW) == "99"


def test_health_tells_what_to_do(world: World, state: str) -> None:
    world.drain()
    triggers = health._triggers(protocol.clock())
    assert triggers.state is health.State.BAD
    assert "shelf_item" in triggers.text
    assert "run migrate" in triggers.text
    answer = json.loads(readyz(RequestFactory().get("/readyz")).content)
    assert (answer["status"], answer["checks"]["triggers"]) == (
        "degraded",
        "off on shelf_item: the mend job restores them; if it cannot, run migrate",
    )
    assert [message.id for message in checks._postgresql()] == ["cachecontrol.W002"]


def test_a_table_of_another_role_is_left_to_it(world: World, state: str) -> None:
    world.run(f"CREATE ROLE {CLERK}; GRANT SELECT ON cachecontrol_tracked TO {CLERK}")
    connection.cursor().execute(f"SET ROLE {CLERK}")
    try:
        assert [*mend.mend()] == [("shelf_item", "the table belongs to postgres: run migrate as that role")]
    finally:
        connection.close()
        world.run(f"DROP OWNED BY {CLERK}; DROP ROLE {CLERK}")


def test_triggers_of_another_release_are_left_to_it(world: World, state: str) -> None:
    world.run(
        "UPDATE cachecontrol_tracked SET definition = 'newer' || definition WHERE relation = 'shelf_item'"
    )
    try:
        assert [*mend.mend()] == []
        assert triggers.tables_without_triggers(connection) == ["shelf_item"]
    finally:
        world.run(
            "UPDATE cachecontrol_tracked SET definition = substr(definition, 6) WHERE relation = 'shelf_item'"
        )
