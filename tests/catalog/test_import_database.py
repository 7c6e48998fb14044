"""A row that only the database refuses is left out. An error that no row causes stops the import with one message."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection

from catalog.models import Brand, Product
from tests.catalog import factories
from tests.catalog.test_import import dsn
from tests.patience import LONG
from tests.shelf.cluster import _wait

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

GOOD = {"sku": "G-1", "name": "Good", "category": ["Shoes", "Boots"], "price": "12.50"}


@pytest.fixture
def run_import(tmp_path: Path) -> Callable[..., str]:
    """Import rows and return the output of the command."""

    def run_import(*rows: dict[str, Any]) -> str:
        file = tmp_path / "goods.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        output = StringIO()
        call_command("import_catalog", str(file), stdout=output, stderr=output)
        return output.getvalue()

    return run_import


def many_words(count: int, *, prefix: str) -> str:
    return " ".join(f"{prefix}{number:x}q" for number in range(count))


@pytest.mark.django_db
def test_a_row_with_an_attribute_of_more_than_a_megabyte_is_left_out(run_import: Callable[..., str]) -> None:
    output = run_import(
        GOOD, GOOD | {"sku": "B", "attributes": {"Care": "wash " * 300_000}}, GOOD | {"sku": "G-2"}
    )
    assert "2 imported, 1 left out" in output
    assert "Line 2, attributes.Care “wash wash" in output
    assert "This is 1499999 characters long; 20000 are allowed." in output


@pytest.mark.django_db
def test_a_row_with_more_words_than_a_search_vector_can_hold_is_left_out(
    run_import: Callable[..., str],
) -> None:
    attributes = {f"Note {n}": many_words(1500, prefix=f"word{n:02}x") for n in range(60)}
    attributes["Note 7"] += " and here the longest of them ends"
    output = run_import(GOOD, GOOD | {"sku": "B", "attributes": attributes}, GOOD | {"sku": "G-2"})
    assert "2 imported, 1 left out" in output
    assert "Line 2, attributes.Note 7 “word07x0q word07x1q" in output
    assert "The product has more text than can be searched" in output
    assert set(Product.objects.values_list("sku", flat=True)) == {"G-1", "G-2"}


def refuse_in_database(code: str) -> None:
    """Let the database raise an error with this SQLSTATE for the product `B`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '{code}'; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON catalog_product FOR EACH ROW WHEN (NEW.sku = 'B')"
            " EXECUTE FUNCTION refuse()"
        )


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["0A000", "22P02", "54000", "P0001", "XX000"])
def test_a_row_for_which_the_database_raises_an_error_is_left_out(
    run_import: Callable[..., str], code: str
) -> None:
    refuse_in_database(code)
    rows = [GOOD | {"sku": f"G-{number}", "brand": f"Brand {number}"} for number in range(6)]
    output = run_import(*rows[:3], GOOD | {"sku": "B", "brand": "Bad"}, *rows[3:])
    assert "6 imported, 1 left out" in output
    assert "Line 4, " in output
    assert Product.objects.count() == Brand.objects.count() == 6


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["40001", "42501", "53100", "57014"])
def test_an_error_that_no_row_causes_stops_the_import_with_one_message(
    run_import: Callable[..., str], code: str
) -> None:
    refuse_in_database(code)
    with pytest.raises(CommandError, match=r"The database stopped the import: not this one\. Run it again"):
        run_import(GOOD, GOOD | {"sku": "B"})


@pytest.mark.django_db
@pytest.mark.parametrize("code", ["57P01", "42P01"])
def test_errors_that_manage_py_explains_are_passed_on(run_import: Callable[..., str], code: str) -> None:
    refuse_in_database(code)
    with pytest.raises(Exception, match="not this one") as error:
        run_import(GOOD | {"sku": "B"})
    assert isinstance(error.value.__cause__, psycopg.Error)
    assert error.value.__cause__.sqlstate == code


def waits_for(table: str) -> bool:
    """Tell whether a session of this database waits for another transaction in a statement on the table."""
    with psycopg.connect(dsn()) as observer:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'transactionid' AND query LIKE %s"
        row = observer.execute(query, [f"%{table}%"]).fetchone()
        return bool(row and row[0])


@contextmanager
def rival_of_a_deadlock() -> Iterator[None]:
    """Lock the second product; when another session waits for it, lock the first one, and win the deadlock."""
    with psycopg.connect(dsn()) as rival:
        rival.execute("SET deadlock_timeout = '1h'")
        rival.execute("UPDATE catalog_product SET price = 7 WHERE sku = 'G-2'")

        def act() -> None:
            _wait(lambda: waits_for("catalog_product"))
            rival.execute("UPDATE catalog_product SET price = 7 WHERE sku = 'G-1'")
            rival.commit()

        thread = threading.Thread(target=act)
        thread.start()
        yield
        thread.join(LONG)
        assert not thread.is_alive()


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_loses_a_deadlock_is_written_again(run_import: Callable[..., str]) -> None:
    for number in (1, 2):
        factories.product(f"Old {number}", sku=f"G-{number}")
    with rival_of_a_deadlock():
        output = run_import(GOOD, GOOD | {"sku": "G-2"})
    assert "2 changed" in output
    assert set(Product.objects.values_list("name", "price")) == {("Good", 12.5)}
    with connection.cursor() as cursor:
        cursor.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert cursor.fetchone()[0]


@pytest.mark.django_db(transaction=True)
def test_brands_of_a_batch_whose_commit_failed_are_created_again(run_import: Callable[..., str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not this one'; END $$"
        )
        cursor.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON catalog_product DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW WHEN (NEW.sku = 'B') EXECUTE FUNCTION refuse()"
        )
    try:
        output = run_import(GOOD | {"brand": "Fernweh"}, GOOD | {"sku": "B", "brand": "Fernweh"})
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION refuse CASCADE")
    assert "1 imported, 1 left out" in output
    assert Product.objects.get().brand.name == "Fernweh"


@pytest.mark.django_db(transaction=True)
def test_a_connection_lost_in_a_batch_raises_operational_error(run_import: Callable[..., str]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$"
        )
        cursor.execute(
            "CREATE TRIGGER end_session BEFORE INSERT ON catalog_product FOR EACH ROW EXECUTE FUNCTION end_session()"
        )
    try:
        with pytest.raises(OperationalError, match="connection"):
            run_import(GOOD)
    finally:
        connection.close()
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION end_session CASCADE")
