"""Every write is captured, whatever program makes it and by whatever statement.

See docs/races.md, "A write that no code announces", "A writer that the capture refuses" and
"A short drain that knows too little".
"""

from __future__ import annotations

import dataclasses
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any
from unittest import mock

import psycopg
import pytest
from django.db import connection, transaction

from cachecontrol.core import registry
from cachecontrol.core.dependency import Dependency
from cachecontrol.dependencies.collection import Collection
from cachecontrol.drain import runner
from cachecontrol.postgres import triggers
from cachecontrol.reasons import Outcome
from tests import settings as test_settings
from tests.patience import LONG
from tests.shelf import cluster
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cachecontrol.core.registry import TrackedTable

door = DOORS["query"]
MAX_LAG = 0.3
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


ACTS: dict[str, str | Callable[[World], object]] = {
    "psql": _psql,
    "copy": _copy,
    "truncate cascade": "TRUNCATE shelf_shelf CASCADE",
    "merge": "MERGE INTO shelf_item USING (SELECT 1 AS id) AS s ON shelf_item.id = s.id WHEN MATCHED THEN UPDATE SET price = 0",
    "upsert": f"{ITEM} (1, '', 4, 0) ON CONFLICT DO NOTHING",
    "upsert that updates": "INSERT INTO shelf_item (id, shelf_id, name, price, looks) VALUES (1, 2, '', 4, 0), (9, 1, '', 5, 0)"
    " ON CONFLICT (id) DO UPDATE SET shelf_id = EXCLUDED.shelf_id, price = EXCLUDED.price",
    "merge of every kind": "MERGE INTO shelf_item AS i USING (VALUES (1), (2), (9)) AS s (id) ON i.id = s.id"
    " WHEN MATCHED AND s.id = 1 THEN DELETE WHEN MATCHED THEN UPDATE SET shelf_id = 2"
    " WHEN NOT MATCHED THEN INSERT (id, shelf_id, name, price, looks) VALUES (s.id, 1, '', 5, 0)",
    "one statement of many": f"WITH a AS ({PRICE}), b AS (UPDATE shelf_item SET shelf_id = 2 WHERE id = 2),"
    f" c AS (DELETE FROM shelf_item WHERE id = 3) {ITEM} (1, '', 6, 0), (2, '', 6, 0)",
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


def items() -> TrackedTable:
    """Return what the cache knows of the table of items."""
    table = registry.find("shelf_item")
    assert table
    return table


@pytest.mark.parametrize("act", ACTS)
def test_a_write_by_whatever_means_ends_what_it_changed(world: World, act: str) -> None:
    subjects = [Subject.LIST, Subject.TABLE, Subject.COUNT]
    before = [door.ask(subject) for subject in subjects]
    write = ACTS[act]
    if isinstance(write, str):
        world.run(write)
    else:
        write(world)
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
    "columns swapped by rename": "ALTER TABLE shelf_item RENAME price TO price_old;"
    "ALTER TABLE shelf_item RENAME price_new TO price",
    "swapped by rename": "CREATE TABLE shelf_new (LIKE shelf_item INCLUDING ALL);"
    "INSERT INTO shelf_new (id, name, price, looks, shelf_id) SELECT id, name, price * 3, looks, shelf_id FROM shelf_item;"
    "ALTER TABLE shelf_item RENAME TO shelf_old; ALTER TABLE shelf_new RENAME TO shelf_item",
    "triggers off": f"ALTER TABLE shelf_item DISABLE TRIGGER ALL; {PRICE}; ALTER TABLE shelf_item ENABLE TRIGGER ALL",
    "triggers gone": f"DROP TRIGGER cachecontrol_update ON shelf_item; {PRICE}",
}
BEFORE = {
    "columns swapped by rename": "ALTER TABLE shelf_item ADD price_new integer; UPDATE shelf_item SET price_new = price * 7",
}
UNDO = {
    "column type": "ALTER TABLE shelf_item ALTER price TYPE integer",
    "columns swapped by rename": "ALTER TABLE shelf_item DROP price; ALTER TABLE shelf_item RENAME price_old TO price",
    "swapped by rename": "DROP TABLE shelf_item; ALTER TABLE shelf_old RENAME TO shelf_item",
}


@pytest.fixture(params=DEFINITIONS)
def definition(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    world.run(BEFORE.get(request.param, "SELECT 1"))
    world.drain()
    yield request.param
    connection.close()
    world.run(UNDO.get(request.param, "SELECT 1"))
    triggers.synchronise(connection)


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


@contextmanager
def defined(world: World, statement: str, undo: str) -> Iterator[None]:
    """Another definition of the tables, as long as the block lasts."""
    world.run(statement)
    try:
        yield
    finally:
        connection.close()
        world.run(undo)
        triggers.synchronise(connection)


def test_no_writer_is_refused_where_a_watched_column_has_another_name(world: World) -> None:
    """As between two steps of a migration: what moved cannot be named, and the table moves."""
    door.ask(Subject.COUNT)
    before, after = (f"ALTER TABLE shelf_item RENAME {names}" for names in ("price TO cost", "cost TO price"))
    with defined(world, before, after):
        world.drain()
        world.run("INSERT INTO shelf_item (shelf_id, name, cost, looks) VALUES (1, '', 5, 0)")
        world.run("UPDATE shelf_item SET shelf_id = 2 WHERE id = 1; DELETE FROM shelf_item WHERE id = 2")
        (tags,) = world.run("SELECT tags FROM cachecontrol_change WHERE operation = 'UPDATE'").fetchone()
        assert tags == ["shelf_item*", "shelf_item"]


def test_no_function_of_the_schema_stands_in_for_one_of_postgresql(world: World) -> None:
    rival = "CREATE FUNCTION octet_length(text) RETURNS integer LANGUAGE sql AS 'SELECT 1/0'"
    with defined(world, rival, "DROP FUNCTION public.octet_length(text)"):
        world.run(PRICE)
        (tags,) = world.run("SELECT tags FROM cachecontrol_change ORDER BY id DESC LIMIT 1").fetchone()
        assert "shelf_item#1" in tags


def test_without_the_change_log_nobody_writes_to_it(world: World) -> None:
    """The first migration, undone, takes the triggers with it."""
    migration = import_module("cachecontrol.migrations.0001_change_log")
    with world.rival.transaction(force_rollback=True):
        world.run(migration.UNDO)
        world.run(PRICE)


WAITS = """SELECT 1 FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '50 ms'"""


def test_a_writer_waits_for_the_change_log_longer_than_its_lock_timeout(world: World) -> None:
    """As while VACUUM FULL rewrites it. The limit still holds for locks on the writer's own table."""
    with psycopg.connect(world.rival.info.dsn, autocommit=True) as writer, ThreadPoolExecutor(1) as pool:
        writer.execute("SET lock_timeout = '1 ms'")
        with world.rival.transaction():
            world.run("LOCK TABLE cachecontrol_change IN ACCESS EXCLUSIVE MODE")
            written = pool.submit(writer.execute, PRICE)
            cluster._wait(lambda: written.done() or world.run(WAITS).fetchone())
        assert written.result(LONG).statusmessage == "UPDATE 1"
        with world.rival.transaction():
            world.run("LOCK TABLE shelf_item")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                writer.execute(PRICE)


TWIN = (
    "CREATE TABLE shelf_twin (LIKE shelf_item INCLUDING ALL); INSERT INTO shelf_twin SELECT * FROM shelf_item"
)
SWAP = """BEGIN; ALTER TABLE shelf_item RENAME TO shelf_other; ALTER TABLE shelf_twin RENAME TO shelf_item;
          ALTER TABLE shelf_other RENAME TO shelf_twin; COMMIT"""
NO_TWIN = f"{SWAP}; DROP TABLE shelf_twin; DELETE FROM cachecontrol_tracked WHERE relation = 'shelf_twin'"


@pytest.mark.parametrize("is_migrated", [False, True], ids=["at once", "after migrate"])
def test_triggers_that_name_another_table_do_not_count(world: World, is_migrated: bool) -> None:
    """Two tracked tables changed their names, and their triggers with them."""
    twin = dataclasses.replace(items(), relation="shelf_twin")
    with defined(world, TWIN, NO_TWIN), mock.patch.dict(registry._tables, {"shelf_twin": twin}):
        triggers.synchronise(connection)
        world.run(SWAP)
        connection.close()
        if is_migrated:
            triggers.synchronise(connection)
        world.drain()
        assert door.ask(Subject.ROW) == "10"
        world.run(PRICE)
        world.drain()
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "11"


UNLIKE = {
    "virtual": "ALTER TABLE shelf_item DROP price;"
    "ALTER TABLE shelf_item ADD price integer GENERATED ALWAYS AS (looks + 1) VIRTUAL",
    "numeric": "ALTER TABLE shelf_item ALTER id DROP IDENTITY; ALTER TABLE shelf_item ALTER id TYPE numeric",
}
ALIKE = {
    "virtual": "ALTER TABLE shelf_item DROP price; ALTER TABLE shelf_item ADD price integer NOT NULL DEFAULT 0",
    "numeric": "DELETE FROM shelf_item WHERE id <> trunc(id);"
    "ALTER TABLE shelf_item ALTER id TYPE bigint; ALTER TABLE shelf_item ALTER id ADD GENERATED BY DEFAULT AS IDENTITY",
}
UNSEEN = {
    "virtual": "UPDATE shelf_item SET looks = 50",
    "numeric": "UPDATE shelf_item SET id = 99.0 WHERE id = 1",
}


@pytest.mark.parametrize("kind", UNLIKE)
def test_a_column_that_is_not_what_its_field_says_is_served_and_not_stored(world: World, kind: str) -> None:
    """Triggers do not see virtual columns, and write some values otherwise than Python does."""
    with defined(world, UNLIKE[kind], ALIKE[kind]):
        connection.close()
        triggers.synchronise(connection)
        world.drain()
        before = door.ask(Subject.MISSING), door.ask(Subject.TABLE)
        world.run(UNSEEN[kind])
        world.drain()
        now = door.ask(Subject.MISSING), door.ask(Subject.TABLE)
        assert now == (door.truth(Subject.MISSING), door.truth(Subject.TABLE)) != before
        assert world.last.outcome is Outcome.MISS


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
    triggers.synchronise(connection)
    world.drain()
    yield
    world.run(
        "DROP TABLE shelf_item; DROP TABLE IF EXISTS shelf_item_1; ALTER TABLE shelf_plain RENAME TO shelf_item"
    )
    triggers.synchronise(connection)


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


def test_a_part_of_another_table_is_served_and_not_stored(world: World, partitions: None) -> None:
    """What is written through the whole fires no trigger of the part."""
    part = dataclasses.replace(items(), relation="shelf_item_1")
    with mock.patch.dict(registry._tables, {"shelf_item_1": part}):
        triggers.synchronise(connection)
        collection = Collection("default")
        collection.add("default", [Dependency("shelf_item_1")])
        assert collection.final_refusal() == ("untracked", "shelf_item_1")


FAR = """CREATE EXTENSION postgres_fdw; CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw
         OPTIONS (dbname '{dbname}', host '{host}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER far OPTIONS (user '{user}'); CREATE TABLE shelf_far (LIKE shelf_plain);
         INSERT INTO shelf_far (id, shelf_id, name, price, looks) VALUES (9, 3, '', 5, 0);
         CREATE FOREIGN TABLE shelf_item_3 PARTITION OF shelf_item FOR VALUES IN (3) SERVER far
         OPTIONS (table_name 'shelf_far')"""
NEAR = "DROP FOREIGN TABLE IF EXISTS shelf_item_3; DROP TABLE shelf_far; DROP EXTENSION postgres_fdw CASCADE"


def test_a_partition_that_is_far_away_moves_the_whole_at_every_drain(world: World, partitions: None) -> None:
    """No trigger sees what is written there."""
    info = world.rival.info
    with defined(world, FAR.format(dbname=info.dbname, host=info.host, user=info.user), NEAR):
        triggers.synchronise(connection)
        world.drain()
        before = door.ask(Subject.TABLE)
        world.run("UPDATE shelf_far SET price = 6")
        world.drain()
        assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) != before


def test_short_drains_do_not_certify_while_writes_on_another_server_may_pass_unseen(
    world: World, partitions: None, settings: Any
) -> None:
    """Such a write ends no transaction here, so an unchanged snapshot tells nothing of it."""
    settings.CACHECONTROL = {**settings.CACHECONTROL, "MAX_LAG": MAX_LAG}
    with cluster.clone() as other, cluster.connect(other) as remote:
        remote.execute(
            "CREATE TABLE shelf_far AS SELECT 9 AS id, 3 AS shelf_id, '' AS name, 5 AS price, 0 AS looks"
        )
        info = remote.info
        with defined(world, FAR.format(dbname=info.dbname, host=info.host, user=info.user), NEAR):
            triggers.synchronise(connection)
            runner.runner.run()
            before = door.ask(Subject.TABLE)
            remote.execute("UPDATE shelf_far SET price = 6")
            written = time.monotonic()
            while time.monotonic() < written + 2 * MAX_LAG:
                runner.runner.run(certify=False)
            assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) != before


def test_a_table_that_inherits_is_captured(world: World) -> None:
    with defined(world, "CREATE TABLE shelf_heir () INHERITS (shelf_item)", "DROP TABLE shelf_heir"):
        triggers.synchronise(connection)
        world.drain()
        for statement in (
            "INSERT INTO shelf_heir (id, shelf_id, name, price, looks) VALUES (9, 1, '', 5, 0)",
            "UPDATE shelf_heir SET price = 6",
            "UPDATE shelf_item SET price = 7",
            "ALTER TABLE shelf_heir NO INHERIT shelf_item",
        ):
            before = door.ask(Subject.TABLE)
            world.run(statement)
            world.drain()
            assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE) != before


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


def test_the_tables_of_the_cache_may_lie_in_a_schema_whose_name_needs_quotes(world: World) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DROP FUNCTION cachecontrol_capture_shelf_item CASCADE")
        cursor.execute('CREATE SCHEMA "Odd Schema"')
        for table in ("change", "epoch", "snapshot", "tracked"):
            cursor.execute(f'ALTER TABLE cachecontrol_{table} SET SCHEMA "Odd Schema"')
        cursor.execute('SET LOCAL search_path = "Odd Schema", public')
        assert "shelf_item" in triggers.synchronise(connection)
        assert "shelf_item" not in triggers.tables_without_triggers(connection)
        cursor.execute("UPDATE shelf_item SET price = 99 WHERE id = 1")
        cursor.execute("SELECT tags FROM cachecontrol_change ORDER BY id DESC LIMIT 1")
        assert "shelf_item#1" in cursor.fetchone()[0]
        transaction.set_rollback(True)
