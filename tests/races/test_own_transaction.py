"""A drain while the transaction that wrote is open, and fills within it.

See docs/races.md, "A drain inside the writer's transaction", "A fill inside a transaction that wrote" and "A fill from
an older snapshot".
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client

from cachecontrol.drain.runner import DrainRunner
from cachecontrol.exceptions import DrainRefused
from cachecontrol.postgres.sessions import NOTICE_SETTING
from cachecontrol.reasons import Outcome
from cachecontrol.redis import keys
from tests.patience import LONG
from tests.shelf.models import Item
from tests.shelf.reads import CHANGES, Subject
from tests.shelf.world import Door, World, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RAISE = "UPDATE shelf_item SET price = price + 1 WHERE id = 1"


class _Undone(Exception):
    pass


def test_a_commit_is_carried_although_drains_ran_within_its_transaction(world: World, door: Door) -> None:
    before = door.truth(Subject.LIST)
    with transaction.atomic():
        connection.cursor().execute(CHANGES[Subject.LIST])
        world.run("SELECT pg_current_xact_id()")
        world.drain()
        assert elsewhere(lambda: door.ask(Subject.LIST)) == before
    assert elsewhere(lambda: door.ask(Subject.LIST)) == door.truth(Subject.LIST) != before


def test_a_reader_within_the_open_transaction_drains_and_hides_nothing(world: World, door: Door) -> None:
    before = door.truth(Subject.LIST)
    with transaction.atomic():
        connection.cursor().execute(CHANGES[Subject.LIST])
        world.redis.hset("cc:{0}:clock", "time", 1)
        assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
        assert elsewhere(lambda: door.ask(Subject.LIST)) == before
    assert elsewhere(lambda: door.ask(Subject.LIST)) == door.truth(Subject.LIST)


def test_a_drain_refuses_to_run_inside_a_transaction(world: World) -> None:
    drain = DrainRunner()
    own = drain.drainer.primary.connection()
    own.autocommit = False
    own.execute("SELECT pg_current_xact_id()")
    try:
        with pytest.raises(DrainRefused):
            drain.run()
        assert own.closed
    finally:
        own.close()


@pytest.fixture
def functions(world: World) -> Iterator[None]:
    """SQL in the database that writes without looking like it."""
    world.run(f"CREATE FUNCTION raise_price() RETURNS void LANGUAGE sql AS $$ {RAISE} $$")
    world.run(f"CREATE PROCEDURE raise_it() LANGUAGE sql AS $$ {RAISE} $$")
    yield
    world.run("DROP FUNCTION raise_price; DROP PROCEDURE raise_it")


def _copy() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE stage (id int) ON COMMIT DROP")
        with cursor.copy("COPY stage FROM STDIN") as copy:
            copy.write_row([1])
        cursor.execute("SELECT raise_price() FROM stage")


def _raw() -> None:
    connection.ensure_connection()
    connection.connection.execute(RAISE)


def _run(sql: str) -> Callable[[], object]:
    return lambda: connection.cursor().execute(sql)


WRITES: dict[str, Callable[[], object]] = {
    "save": lambda: Item.objects.filter(pk=1).update(price=11),
    "function": _run("SELECT raise_price()"),
    "callproc": lambda: connection.cursor().callproc("raise_price"),
    "procedure": _run("CALL raise_it()"),
    "comment": _run(f"/* SELECT */ {RAISE}"),
    "explain": _run(f"EXPLAIN ANALYZE {RAISE}"),
    "prepared": _run(f"PREPARE quiet AS {RAISE}; EXECUTE quiet; DEALLOCATE quiet"),
    "several": _run(f"SELECT 1; {RAISE}"),
    "with": _run(f"WITH changed AS ({RAISE} RETURNING 1) SELECT * FROM changed"),
    "copy": _copy,
    "raw connection": _raw,
}


@pytest.mark.parametrize("write", WRITES)
def test_what_may_be_rolled_back_is_not_stored(world: World, door: Door, functions: None, write: str) -> None:
    before = door.truth(Subject.ROW)
    with pytest.raises(_Undone), transaction.atomic():
        WRITES[write]()
        assert door.ask(Subject.ROW) == "11"
        raise _Undone
    assert elsewhere(lambda: door.ask(Subject.ROW)) == before == door.ask(Subject.ROW)


@pytest.mark.parametrize("write", WRITES)
def test_what_was_read_before_a_write_of_the_same_fill_is_not_stored(
    world: World, door: Door, functions: None, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view that writes: what it read afterwards may be rolled back with the request."""
    _fill_that_writes(door, WRITES[write], monkeypatch)


def test_what_a_fill_read_of_a_write_that_nobody_told_it_of_is_not_stored(
    world: World, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pooler gave it a session that did not ask to be told; so the server is asked again at the end."""
    connection.cursor().execute(f"SET {NOTICE_SETTING} = off")
    door.ask(Subject.LIST)
    _fill_that_writes(door, _raw, monkeypatch)


def _fill_that_writes(door: Door, write: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    before, acts = door.truth(Subject.ROW), [write]
    compiler: Any = type(Item.objects.all().query.get_compiler("default"))
    execute = compiler.execute_sql

    def write_and_execute(self: Any, *args: Any, **kwargs: Any) -> Any:
        if acts and self.query.model is Item and not self.query.policy:
            acts.pop()()
        return execute(self, *args, **kwargs)

    with pytest.raises(_Undone), transaction.atomic():
        connection.cursor().execute("SELECT 1")
        with monkeypatch.context() as patched:
            patched.setattr(compiler, "execute_sql", write_and_execute)
            assert door.ask(Subject.ROW) == "11"
        raise _Undone
    assert elsewhere(lambda: door.ask(Subject.ROW)) == before


def test_what_a_fill_wrote_and_took_back_is_not_stored(world: World, subject: Subject) -> None:
    """At its end no transaction is open that could be asked."""
    Client().get(f"/undone/{subject}/")
    assert not [*world.redis.scan_iter(f"{keys.ENTRY}*")]


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_older_snapshot_neither_fills_nor_reads_the_cache(world: World, door: Door, level: str) -> None:
    with transaction.atomic():
        connection.cursor().execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
        seen = door.truth(Subject.ROW)
        world.change_and_drain(Subject.ROW)
        newer = elsewhere(lambda: door.ask(Subject.ROW))
        assert door.ask(Subject.ROW) == seen != newer
        assert world.last.outcome is Outcome.BYPASS
    world.drain()
    assert door.ask(Subject.ROW) == newer


def test_a_long_transaction_that_only_reads_may_fill(world: World, door: Door) -> None:
    with transaction.atomic():
        door.truth(Subject.LIST)
        world.change_and_drain(Subject.LIST)
        assert door.ask(Subject.LIST) == door.truth(Subject.LIST)
        world.drain()
        assert elsewhere(lambda: door.ask(Subject.LIST)) == door.truth(Subject.LIST)
        assert world.last.outcome is Outcome.HIT


def test_a_fill_while_a_statement_writes_is_moved_by_its_end(
    world: World, door: Door, subject: Subject
) -> None:
    """Autocommit: the statement has changed rows and has not ended.

    See docs/races.md, "A fill while a statement runs".
    """
    before = door.truth(subject)
    world.run("SELECT pg_advisory_lock(7)")
    slow = f"WITH changed AS ({CHANGES[subject]} RETURNING 1) SELECT pg_advisory_lock(7) FROM changed"
    with psycopg.connect(world.rival.info.dsn, autocommit=True) as writer:
        thread = threading.Thread(target=writer.execute, args=[slow])
        thread.start()
        while not world.run(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory' AND datname = current_database()"
        ).fetchone():
            assert thread.is_alive()
        world.drain()
        assert door.ask(subject) == before
        world.run("SELECT pg_current_xact_id()")
        world.drain()
        assert door.ask(subject) == before
        world.run("SELECT pg_advisory_unlock(7)")
        thread.join(LONG)
    world.drain()
    assert door.ask(subject) == door.truth(subject) != before
