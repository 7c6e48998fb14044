"""The cache asks the reader's connection where the database stands. If that fails, the reader does not notice.

See docs/races.md, "The position cannot be asked for".
"""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.conf import settings
from django.db import InternalError, ProgrammingError, connection, transaction
from django.test import override_settings

from cachecontrol.drain import after_commit, catch_up
from cachecontrol.postgres import captured, read_point, sessions
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from cachecontrol.stats import recording
from tests.shelf import reads
from tests.shelf.models import Item
from tests.shelf.reads import Subject
from tests.shelf.world import DOORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.shelf.world import Door, World

query = DOORS["query"]
READER = f"reader_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
"""A role that may read the shelf, and nothing of the cache."""


@contextmanager
def _without_rights(world: World) -> Iterator[None]:
    world.run(f"CREATE ROLE {READER}; GRANT SELECT ON shelf_shelf, shelf_item TO {READER}")
    connection.cursor().execute(f"SET ROLE {READER}")
    try:
        yield
    finally:
        connection.close()
        world.run(f"DROP OWNED BY {READER}; DROP ROLE {READER}")


@contextmanager
def _without_tables(world: World) -> Iterator[None]:
    world.run("ALTER TABLE cachecontrol_epoch RENAME TO cachecontrol_gone")
    try:
        yield
    finally:
        world.run("ALTER TABLE cachecontrol_gone RENAME TO cachecontrol_epoch")
        catch_up.breaker.answered()
        assert after_commit.drain_own_write()  # what could not be drained meanwhile


@contextmanager
def _without_an_epoch(world: World) -> Iterator[None]:
    (epoch_row,) = world.run(
        "DELETE FROM cachecontrol_epoch RETURNING to_json(cachecontrol_epoch)"
    ).fetchall()
    try:
        yield
    finally:
        world.rival.execute(
            "INSERT INTO cachecontrol_epoch SELECT (json_populate_record(NULL::cachecontrol_epoch, %s)).*",
            [psycopg.types.json.Json(epoch_row[0])],
        )


@contextmanager
def _locked(world: World) -> Iterator[None]:
    with psycopg.connect(world.rival.info.dsn) as other:
        other.execute("LOCK TABLE cachecontrol_tracked IN ACCESS EXCLUSIVE MODE")
        yield


@contextmanager
def _after_a_statement_timeout(world: World) -> Iterator[None]:
    connection.cursor().execute("SET statement_timeout = '10 ms'")
    with _locked(world):
        yield
    connection.close()


@contextmanager
def _after_waiting(world: World) -> Iterator[None]:
    connection.cursor().execute("SELECT 1; SELECT 2")  # the session may have changed, so that a read asks
    short = {**settings.CACHECONTROL, "WAIT": 0.05}
    with override_settings(CACHECONTROL=short), _locked(world):
        yield
    read_point.breaker.answered()


OBSTACLES = {
    "no rights": _without_rights,
    "no tables": _without_tables,
    "no epoch": _without_an_epoch,
    "statement timeout": _after_a_statement_timeout,
    "locked": _after_waiting,
}


@pytest.fixture(params=OBSTACLES)
def obstacle(request: pytest.FixtureRequest) -> Callable[[World], Any]:
    return OBSTACLES[request.param]


@pytest.mark.parametrize("within", [True, False], ids=["in a transaction", "outside"])
def test_what_the_cache_cannot_ask_is_a_bypass(
    world: World, door: Door, obstacle: Callable[[World], Any], within: bool
) -> None:
    Item.objects.get(pk=1)
    with ExitStack() as stack:
        stack.enter_context(obstacle(world))
        stack.enter_context(transaction.atomic() if within else nullcontext())
        if within:
            Item.objects.get(pk=1)
        for subject in (Subject.ROW, Subject.TABLE):
            assert door.ask(subject) == door.truth(subject)
            assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "position_unknown")
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]
    for outcome in (Outcome.MISS, Outcome.HIT):
        door.ask(Subject.ROW)
        assert world.last.outcome is outcome


def test_without_autocommit_no_failed_transaction_is_left_behind(world: World) -> None:
    Item.objects.get(pk=1)
    with _without_tables(world):
        transaction.set_autocommit(False)
        try:
            assert query.ask(Subject.ROW) == "10"
            assert world.last.reason == "position_unknown"
            reads.write(Subject.ROW)
            transaction.commit()
        finally:
            transaction.set_autocommit(True)
    assert query.truth(Subject.ROW) == "11"


@pytest.mark.parametrize("reads_before", [True, False], ids=["after a statement", "first"])
def test_the_rest_of_a_transaction_waits_for_locks_as_it_did(world: World, reads_before: bool) -> None:
    """The limit for the cache's own statement would refuse a later write that waits for another's row lock."""
    with connection.cursor() as cursor, transaction.atomic():
        if reads_before:
            query.truth(Subject.ROW)
        query.ask(Subject.ROW)
        assert world.last.outcome is Outcome.MISS
        cursor.execute("SHOW lock_timeout")
        assert cursor.fetchone() == ("0",)


def test_a_transaction_keeps_what_it_wrote_before(world: World) -> None:
    Item.objects.get(pk=1)
    with _without_tables(world), transaction.atomic():
        reads.write(Subject.ROW)
        assert query.ask(Subject.ROW) == "11"
        reads.write(Subject.ROW)
    assert query.truth(Subject.ROW) == "12"


def test_asking_leaves_no_doubt_about_the_session(world: World) -> None:
    """Its statement within a transaction has semicolons."""
    with transaction.atomic():
        query.truth(Subject.ROW)
        query.ask(Subject.ROW)
        query.ask(Subject.ROW)
        assert world.last.outcome is Outcome.HIT
    query.ask(Subject.ROW)
    assert world.last.outcome is Outcome.HIT
    assert not sessions.may_have_changed(connection)


@pytest.mark.parametrize("within", [True, False], ids=["in a transaction", "outside"])
def test_what_is_captured_cannot_be_asked_either(
    world: World, within: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second question of a fill fails."""
    monkeypatch.setattr(captured, "_captured", {})
    monkeypatch.setattr(captured, "CAPTURED_SQL", "SELECT 1 / 0")
    with recording.trace() as trace, transaction.atomic() if within else nullcontext():
        if within:
            query.truth(Subject.ROW)
        assert query.ask(Subject.ROW) == query.truth(Subject.ROW) == "10"
    assert {refusal.reason for refusal in trace.refusals} == {"position_unknown"}


def test_a_connection_that_cannot_tell_its_settings_does_without_the_cache(
    world: World, monkeypatch: Any
) -> None:
    query.ask(Subject.ROW)
    connection.close()
    monkeypatch.setattr(after_commit, "START_SQL", "SELECT 1 / 0")
    assert query.truth(Subject.ROW) == "10"
    world.change_and_drain(Subject.ROW)
    query.ask(Subject.ROW)
    assert query.ask(Subject.ROW) == "11"
    assert (world.last.outcome, world.last.reason) == (Outcome.BYPASS, "session")
    connection.close()
    monkeypatch.undo()


def test_in_a_transaction_that_failed_the_error_is_the_readers_own(world: World) -> None:
    with pytest.raises((InternalError, transaction.TransactionManagementError)), transaction.atomic():
        with pytest.raises(ProgrammingError):
            connection.cursor().execute("SELECT no_such_column")
        query.ask(Subject.ROW)
