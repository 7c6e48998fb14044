"""Two releases run side by side, on a database that one of them migrates.

See docs/races.md, "Two releases side by side".
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db import connection

from cachecontrol.core import registry
from cachecontrol.postgres import captured, triggers
from cachecontrol.reasons import Outcome
from cachecontrol.redis import protocol
from tests.shelf import cluster
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.staging import staged
from tests.shelf.world import DOORS, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cachecontrol.core.registry import TrackedTable
    from tests.shelf.world import Door, World


@pytest.fixture
def deploy(settings: Any) -> Callable[[str], None]:
    def run(release: str) -> None:
        settings.CACHECONTROL = {**settings.CACHECONTROL, "RELEASE": release}

    return run


def test_an_entry_of_another_release_is_a_miss(
    world: World, door: Door, deploy: Callable[[str], None]
) -> None:
    for release in ("one", "two"):
        deploy(release)
        for expected in (Outcome.MISS, Outcome.HIT):
            door.ask(Subject.ROW)
            assert world.last.outcome is expected
    deploy("one")
    door.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT


def test_a_write_of_one_release_ends_the_entries_of_both(
    world: World, door: Door, deploy: Callable[[str], None]
) -> None:
    for release in ("one", "two"):
        deploy(release)
        door.ask(Subject.ROW)
    connection.cursor().execute(CHANGES[Subject.ROW])
    for release in ("one", "two"):
        deploy(release)
        assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
        assert world.last.reason == "moved"


@contextmanager
def running(release: TrackedTable) -> Iterator[None]:
    """Be a process of that release, for as long as the block lasts."""
    captured._captured.clear()
    with mock.patch.dict(registry._tables, {"shelf_item": release}):
        yield
    captured._captured.clear()


def migrate(release: TrackedTable) -> None:
    """Let that release bring the triggers in line with itself."""
    with running(release):
        elsewhere(lambda: triggers.synchronise(connection))


@pytest.fixture
def newer(world: World, deploy: Callable[[str], None]) -> Iterator[TrackedTable]:
    deploy("any")
    now = registry.find("shelf_item")
    assert now is not None
    yield now
    migrate(now)


@pytest.fixture
def older(newer: TrackedTable) -> TrackedTable:
    """The release before, which watched neither the price nor any slice."""
    return dataclasses.replace(newer, columns=tuple({*newer.columns} - {"price"}), slices=())


def test_a_release_that_needs_more_than_the_triggers_capture_serves_and_does_not_store(
    world: World, door: Door, older: TrackedTable, newer: TrackedTable
) -> None:
    migrate(older)
    for price in (21, 22):
        world.run(f"UPDATE shelf_item SET price = {price} WHERE id = 1")
        assert door.ask(Subject.ROW) == str(price)
        assert world.last.outcome is Outcome.MISS
    migrate(newer)
    for expected in (Outcome.MISS, Outcome.HIT):
        assert door.ask(Subject.ROW) == "22"
        assert world.last.outcome is expected


def test_an_older_release_is_served_by_triggers_that_capture_more(
    world: World, door: Door, older: TrackedTable
) -> None:
    with running(older):
        for expected in (Outcome.MISS, Outcome.HIT):
            door.ask(Subject.TABLE)
            assert world.last.outcome is expected
        world.change_and_drain(Subject.TABLE)
        assert door.ask(Subject.TABLE) == door.truth(Subject.TABLE)


def test_what_was_read_before_the_triggers_followed_the_code_is_not_believed_after(
    world: World, door: Door, older: TrackedTable, newer: TrackedTable
) -> None:
    """The older release needed no more: a price changed while nothing captured it, and its fill spans the migration."""
    migrate(older)

    def deploy() -> None:
        world.run("UPDATE shelf_item SET price = 77 WHERE id = 1")
        migrate(newer)
        world.drain()

    with running(older), staged(protocol, "fill", before=deploy):
        assert door.ask(Subject.ROW) == "10"
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW) == "77"


def test_who_wrote_before_the_triggers_followed_the_code_ends_before_they_do(
    world: World, newer: TrackedTable
) -> None:
    """Its change names no slice, and readers of the new code rely on one."""
    door = DOORS["query"]
    migrate(dataclasses.replace(newer, slices=()))
    world.run("BEGIN; UPDATE shelf_item SET price = 77 WHERE id = 1")
    deploys = threading.Thread(target=migrate, args=[newer], daemon=True)
    deploys.start()
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'shelf_item'::regclass AND NOT granted"
    cluster._wait(lambda: not deploys.is_alive() or world.run(waiting).fetchone()[0])
    world.drain()
    assert door.ask(Subject.LIST) == "[10, 20]"
    world.run("COMMIT")
    deploys.join(20)
    world.drain()
    assert door.ask(Subject.LIST) == door.truth(Subject.LIST) == "[77, 20]"


def test_a_release_that_knows_rows_by_another_key_serves_and_does_not_store(
    world: World, newer: TrackedTable
) -> None:
    migrate(dataclasses.replace(newer, pk="name"))
    world.drain()
    for price in ("10", "11"):
        assert DOORS["query"].ask(Subject.ROW) == price
        assert world.last.outcome is Outcome.MISS
        world.change_and_drain(Subject.ROW)


def test_an_entry_of_code_that_knows_other_columns_is_a_miss(
    world: World, door: Door, older: TrackedTable, newer: TrackedTable
) -> None:
    """Although nobody named the releases."""
    for release in (older, newer):
        with running(release):
            registry.schema.cache_clear()
            for expected in (Outcome.MISS, Outcome.HIT):
                door.ask(Subject.TABLE)
                assert world.last.outcome is expected
    registry.schema.cache_clear()


MIGRATIONS = {
    "a new column": (
        "ALTER TABLE shelf_item ADD spare integer DEFAULT 7",
        "ALTER TABLE shelf_item DROP spare",
    ),
    "another type": (
        "ALTER TABLE shelf_item ALTER price TYPE bigint USING price * 2",
        "ALTER TABLE shelf_item ALTER price TYPE integer",
    ),
}


@pytest.fixture(params=MIGRATIONS)
def migration(world: World, request: pytest.FixtureRequest) -> Iterator[str]:
    forth, back = MIGRATIONS[request.param]
    yield forth
    connection.close()
    world.run(back)


def test_an_entry_of_another_schema_is_a_miss(
    world: World, door: Door, deploy: Callable[[str], None], migration: str
) -> None:
    deploy("any")
    door.ask(Subject.ROW)
    world.run(migration)
    connection.close()
    world.drain()
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert world.last.reason == "moved"


def test_a_fill_that_spans_a_migration_is_not_stored(
    world: World, door: Door, deploy: Callable[[str], None], migration: str
) -> None:
    deploy("any")

    def migrate() -> None:
        connection.close()
        world.run(migration)
        world.drain()

    with staged(protocol, "fill", before=migrate):
        door.ask(Subject.ROW)
    assert door.ask(Subject.ROW) == door.truth(Subject.ROW)
    assert world.last.outcome is Outcome.MISS
