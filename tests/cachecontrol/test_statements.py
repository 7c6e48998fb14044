"""Statements: SQL during a fill is reported, or it refuses the fill: SQL of Django, of psycopg and of other threads."""

from __future__ import annotations

import contextvars
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection, transaction
from psycopg import sql

from cachecontrol.api import depends_on, independent
from cachecontrol.core.dependency import Dependency
from cachecontrol.dependencies import declarations, statements
from cachecontrol.dependencies.collection import Collection, collecting
from cachecontrol.exceptions import Misconfigured
from tests.library import shelf
from tests.library.collected import collection_of, refusal_of
from tests.library.models import Author, Book, Loan

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]
SELECT = "SELECT title FROM library_book"


def run(statement: Any = SELECT) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def in_thread(function: Callable[[], Any]) -> None:
    def work() -> None:
        try:
            function()
        finally:
            connection.close()

    thread = threading.Thread(target=work, name="another")
    thread.start()
    thread.join()


@pytest.mark.parametrize("statement", [SELECT, sql.SQL(SELECT)], ids=["text", "composed"])
def test_raw_sql_refuses_and_is_named(statement: Any) -> None:
    assert collection_of(lambda: run(statement)).refusal == ("uncovered", SELECT)


def test_raw_sql_with_declared_tables_depends_on_them() -> None:
    def read() -> None:
        with depends_on(Book, Author):
            run()

    collection = collection_of(read)
    assert collection.final_refusal() is None
    assert set(collection.tags) == {Dependency("library_book"), Dependency("library_author")}


def test_declared_tables_count_for_a_fill_within_the_block() -> None:
    with depends_on(Book):
        collection = collection_of(run)
    assert collection.final_refusal() is None
    assert set(collection.tags) == {Dependency("library_book")}


def test_a_table_that_is_not_tracked_cannot_be_declared() -> None:
    with pytest.raises(Misconfigured, match="not tracked: library_loan"), depends_on(Book, Loan):
        pass


def test_what_the_caller_reports_is_not_checked() -> None:
    def read() -> None:
        with declarations.reported():
            run()

    assert collection_of(read).refusal is None


def test_savepoints_read_nothing() -> None:
    def read() -> None:
        with transaction.atomic(), transaction.atomic():
            pass

    assert refusal_of(read) == ""
    with transaction.atomic():
        assert refusal_of(lambda: run(f"SAVEPOINT mine; {SELECT}")) == "uncovered"


def test_another_connection_to_the_database_refuses() -> None:
    connection.ensure_connection()

    def read() -> None:
        with depends_on(Book):
            raw, connection.connection = (
                connection.connection,
                connection.get_new_connection(connection.get_connection_params()),
            )
            try:
                raw.execute(SELECT)
            finally:
                connection.connection.close()
                connection.connection = raw

    assert collection_of(read).refusal == ("database", "default")


def test_a_round_trip_without_a_statement_refuses() -> None:
    connection.ensure_connection()

    def read() -> None:
        connection.connection.wait(psycopg.generators.execute(connection.connection.pgconn))

    def send_and_read() -> None:
        connection.connection.pgconn.send_query_params(SELECT.encode(), None)
        read()

    assert refusal_of(send_and_read) == "uncovered"


def test_a_write_during_a_fill_refuses() -> None:
    def write() -> None:
        with declarations.reported():
            Book.objects.filter(pk=1).update(title="new")

    assert collection_of(write).refusal == ("transaction", "default")
    statements.refuse_after_write("default")  # outside of a fill it has no effect


def test_a_thread_that_may_read_for_a_fill_refuses_it() -> None:
    for read in (run, lambda: [*Book.objects.all()]):
        collection = collection_of(partial(in_thread, read))
        assert collection.refusal
        assert collection.refusal.reason == "thread"


def test_a_thread_that_works_for_itself_refuses_none() -> None:
    def read() -> None:
        with independent():
            run()

    def serve() -> None:
        declarations.mark_independent()
        run()

    assert collection_of(lambda: in_thread(read)).refusal is None
    assert collection_of(lambda: in_thread(serve)).refusal is None


def test_a_thread_with_a_fill_of_its_own_refuses_no_other() -> None:
    def fill() -> None:
        with collecting(Collection("default")), declarations.reported():
            run()

    assert collection_of(lambda: in_thread(fill)).refusal is None


def test_a_thread_with_the_context_of_a_fill_refuses_it() -> None:
    def read() -> None:
        context = contextvars.copy_context()
        in_thread(lambda: context.run(run))

    assert collection_of(read).refusal == ("thread", "another")
