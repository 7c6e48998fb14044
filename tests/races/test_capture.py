"""Whoever writes and however, the change is captured (hard case 12, findings 10 and 19)."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection

from cachecontrol import capture
from cachecontrol.policy import Outcome
from tests import settings as test_settings
from tests.patience import LONG
from tests.shelf import cluster
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, World

if TYPE_CHECKING:
    from collections.abc import Iterator

door = DOORS["query"]
PRICE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"
ITEM = "INSERT INTO shelf_item (shelf_id, name, price, looks) VALUES"


def _psql(world: World) -> None:
    server = test_settings.postgres
    dsn = psycopg.conninfo.make_conninfo(**cluster.parameters())
    program = server._programs / "psql"
    subprocess.run([program, "-d", dsn, "-c", PRICE], check=True, capture_output=True, timeout=LONG)


def _copy(world: World) -> None:
    with world.rival.cursor().copy("COPY shelf_item (shelf_id, name, price, looks) FROM STDIN") as copy:
        copy.write_row([1, "copied", 5, 0])


ACTS: dict[str, str | Any] = {
    "psql": _psql,
    "copy": _copy,
    "truncate cascade": "TRUNCATE shelf_shelf CASCADE",
    "merge": "MERGE INTO shelf_item USING (SELECT 1 AS id) AS s ON shelf_item.id = s.id WHEN MATCHED THEN UPDATE SET price = 0",
    "upsert": f"{ITEM} (1, '', 4, 0) ON CONFLICT DO NOTHING",
    "cte": f"WITH changed AS ({PRICE} RETURNING id) SELECT * FROM changed",
    "replica role": f"SET session_replication_role = replica; {PRICE}; RESET session_replication_role",
    "many rows": f"{ITEM.removesuffix(' VALUES')} SELECT 1, '', 5, 0 FROM generate_series(1, 500)",
    "key change": "UPDATE shelf_item SET id = 50 WHERE id = 1",
    "prepared transaction": f"BEGIN; {PRICE}; PREPARE TRANSACTION 'two'",
    "two in one": f"{PRICE}; {ITEM} (1, '', 6, 0)",
    "do block": f"DO $$ BEGIN {PRICE}; END $$",
    "savepoint kept": f"BEGIN; SAVEPOINT a; {PRICE}; RELEASE a; COMMIT",
    "savepoint undone": f"BEGIN; {PRICE}; SAVEPOINT a; UPDATE shelf_item SET price = 0; ROLLBACK TO a; COMMIT",
}


@pytest.mark.parametrize("act", ACTS)
def test_a_write_by_whatever_means_ends_what_it_changed(world: World, act: str) -> None:
    subjects = [Subject.LIST, Subject.TABLE, Subject.COUNT]
    before = [door.ask(subject) for subject in subjects]
    if callable(ACTS[act]):
        ACTS[act](world)
    else:
        world.run(ACTS[act])
    if act == "prepared transaction":
        world.drain()
        assert [door.ask(subject) for subject in subjects] == before
        world.run("COMMIT PREPARED 'two'")
    world.drain()
    now = [door.ask(subject) for subject in subjects]
    assert now == [door.truth(subject) for subject in subjects] != before


def test_a_cascade_in_the_database_is_captured(world: World) -> None:
    foreign_key = (
        "SELECT conname FROM pg_constraint WHERE conrelid = 'shelf_item'::regclass AND contype = 'f'"
    )
    (name,) = world.run(foreign_key).fetchone()
    definition = "FOREIGN KEY (shelf_id) REFERENCES shelf_shelf"
    world.run(
        f"ALTER TABLE shelf_item DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition} ON DELETE CASCADE"
    )
    try:
        world.drain()
        assert door.ask(Subject.LIST) == "[10, 20]"
        world.run("DELETE FROM shelf_shelf WHERE id = 1")
        world.drain()
        assert door.ask(Subject.LIST) == "[]"
    finally:
        world.run(
            f"ALTER TABLE shelf_item DROP CONSTRAINT {name},"
            f" ADD CONSTRAINT {name} {definition} DEFERRABLE INITIALLY DEFERRED"
        )


def test_a_trigger_that_writes_is_captured(world: World) -> None:
    world.run(
        f"CREATE FUNCTION echo() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {PRICE}; RETURN NULL; END $$"
    )
    world.run("CREATE TRIGGER echo AFTER UPDATE ON shelf_shelf FOR EACH ROW EXECUTE FUNCTION echo()")
    try:
        door.ask(Subject.ROW)
        world.run("UPDATE shelf_shelf SET name = 'new'")
        world.drain()
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "12"
    finally:
        world.run("DROP TRIGGER echo ON shelf_shelf; DROP FUNCTION echo")


def test_what_changes_no_watched_column_moves_nothing(world: World) -> None:
    door.ask(Subject.LIST)
    world.run("UPDATE shelf_item SET looks = looks + 1; UPDATE shelf_item SET price = price")
    world.drain()
    door.ask(Subject.LIST)
    assert world.last.outcome is Outcome.HIT


DEFINITIONS = {
    "column type": "ALTER TABLE shelf_item ALTER price TYPE bigint USING price * 2",
    "swapped by rename": "CREATE TABLE shelf_new (LIKE shelf_item INCLUDING ALL);"
    "INSERT INTO shelf_new (id, name, price, looks, shelf_id) SELECT id, name, price * 3, looks, shelf_id FROM shelf_item;"
    "ALTER TABLE shelf_item RENAME TO shelf_old; ALTER TABLE shelf_new RENAME TO shelf_item",
    "triggers off": f"ALTER TABLE shelf_item DISABLE TRIGGER ALL; {PRICE}; ALTER TABLE shelf_item ENABLE TRIGGER ALL",
    "triggers gone": f"DROP TRIGGER cachecontrol_update ON shelf_item; {PRICE}",
}
UNDO = {
    "column type": "ALTER TABLE shelf_item ALTER price TYPE integer",
    "swapped by rename": "DROP TABLE shelf_item; ALTER TABLE shelf_old RENAME TO shelf_item",
}


@pytest.fixture(params=DEFINITIONS)
def definition(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    yield request.param
    connection.close()
    world.run(UNDO.get(request.param, "SELECT 1"))
    capture.synchronise(connection)


def test_a_change_of_the_definition_ends_what_was_read_before(world: World, definition: str) -> None:
    before = door.ask(Subject.LIST)
    world.drain()
    world.run(DEFINITIONS[definition])
    connection.close()
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST) != before


def test_a_table_without_its_triggers_is_moved_at_every_drain(world: World, definition: str) -> None:
    """It fails closed, until migrate puts them back."""
    world.run(DEFINITIONS[definition])
    connection.close()
    world.drain()
    door.ask(Subject.LIST)
    world.run("UPDATE shelf_item SET price = 5 WHERE id = 1")
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST)


@pytest.fixture
def partitions(world: World) -> Iterator[None]:
    """The items as a partitioned table, one partition a shelf, in place of the plain one."""
    world.run("ALTER TABLE shelf_item RENAME TO shelf_plain")
    world.run(
        "CREATE TABLE shelf_item (LIKE shelf_plain INCLUDING DEFAULTS INCLUDING IDENTITY) PARTITION BY LIST (shelf_id)"
    )
    world.run("CREATE TABLE shelf_item_1 PARTITION OF shelf_item FOR VALUES IN (1)")
    world.run("CREATE TABLE shelf_item_2 PARTITION OF shelf_item FOR VALUES IN (2)")
    world.run(
        "INSERT INTO shelf_item (id, name, price, looks, shelf_id) SELECT id, name, price, looks, shelf_id FROM shelf_plain"
    )
    capture.synchronise(connection)
    world.drain()
    yield
    world.run(
        "DROP TABLE shelf_item; DROP TABLE IF EXISTS shelf_item_1; ALTER TABLE shelf_plain RENAME TO shelf_item"
    )
    capture.synchronise(connection)


PARTITIONED = {
    "through the parent": PRICE,
    "on the partition": "UPDATE shelf_item_1 SET price = 77",
    "truncate a partition": "TRUNCATE shelf_item_1",
    "row movement": "UPDATE shelf_item SET shelf_id = 2 WHERE id = 1",
    "detach": "ALTER TABLE shelf_item DETACH PARTITION shelf_item_1",
    "attach": "CREATE TABLE shelf_item_3 (LIKE shelf_item);"
    "INSERT INTO shelf_item_3 (id, name, price, looks, shelf_id) SELECT id + 100, name, price, looks, 3 FROM shelf_plain;"
    "ALTER TABLE shelf_item ATTACH PARTITION shelf_item_3 FOR VALUES IN (3)",
}


@pytest.mark.parametrize("act", PARTITIONED)
def test_a_write_to_a_partition_ends_what_was_read_of_the_whole(
    world: World, partitions: None, act: str
) -> None:
    before = door.ask(Subject.TABLE), door.ask(Subject.LIST)
    world.drain()
    world.run(PARTITIONED[act])
    world.drain()
    now = door.ask(Subject.TABLE), door.ask(Subject.LIST)
    assert now == (door.truth(Subject.TABLE), door.truth(Subject.LIST)) != before


def test_a_row_that_logical_replication_brings_is_captured(world: World) -> None:
    """It fires no statement triggers, only the row trigger that is enabled for it."""
    with cluster.clone() as source, cluster.connect(source) as publisher:
        publisher.execute("CREATE PUBLICATION items FOR TABLE shelf_item")
        place = psycopg.conninfo.make_conninfo(
            dbname=publisher.info.dbname, user="postgres", host=publisher.info.host
        )
        world.run(
            f"CREATE SUBSCRIPTION items CONNECTION '{place}' PUBLICATION items WITH (copy_data = false)"
        )
        try:
            door.ask(Subject.ROW)
            publisher.execute(PRICE)
            cluster._wait(lambda: door.truth(Subject.ROW) == "11")
            world.drain()
            assert door.ask(Subject.ROW) == "11"
        finally:
            world.run("DROP SUBSCRIPTION items")
