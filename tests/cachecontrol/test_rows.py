"""``fetch``: a row by its primary key, equal to what ``get`` returns."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models import F
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext

from cachecontrol.api import bypass, local_reads
from cachecontrol.drain import catch_up
from cachecontrol.exceptions import FullSaveRefused, StoreDown
from cachecontrol.local import puller
from cachecontrol.local.puller import pull_once
from cachecontrol.redis import keys, protocol, redis_client
from tests.library import shelf
from tests.library.collected import collection_of
from tests.library.models import Author, Book, Genre, Manual
from tests.shelf.world import elsewhere

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]


def test_hit_runs_no_sql_and_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = Author.objects.get(pk=1)
    Author.objects.fetch(1)
    monkeypatch.delattr(SQLCompiler, "as_sql")
    with CaptureQueriesContext(connection) as captured:
        author = Author.objects.fetch(1)
    assert not captured.captured_queries
    assert author == expected
    assert author.name == expected.name
    assert author._state.db == expected._state.db


def test_fetch_shares_its_entry_with_get() -> None:
    Author.objects.cached().get(pk=1)
    with CaptureQueriesContext(connection) as captured:
        Author.objects.fetch(1)
    assert not captured.captured_queries


def test_fetch_sees_update_delete_and_insert_by_sql() -> None:
    author = Author.objects.create(name="First")
    assert Author.objects.fetch(author.pk).name == "First"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {Author._meta.db_table} SET name = 'Second' WHERE id = %s", [author.pk])
    catch_up.catch_up()
    assert Author.objects.fetch(author.pk).name == "Second"
    Author.objects.filter(pk=author.pk).delete()
    for _ in range(2):
        with pytest.raises(Author.DoesNotExist):
            Author.objects.fetch(author.pk)
    Author.objects.create(pk=author.pk, name="Third")
    assert Author.objects.fetch(author.pk).name == "Third"


def test_restrictions_of_the_queryset_are_kept() -> None:
    name = Author.objects.fetch(1).name
    with pytest.raises(Author.DoesNotExist):
        Author.objects.exclude(name=name).fetch(1)


@pytest.mark.parametrize("pk", ["x", object()])
def test_impossible_key_raises_as_get_does(pk: Any) -> None:
    with pytest.raises((TypeError, ValueError)) as of_get:
        Author.objects.get(pk=pk)
    with pytest.raises(of_get.type) as of_fetch:
        Author.objects.fetch(pk)
    assert str(of_fetch.value) == str(of_get.value)


def test_fetched_instance_refuses_a_full_save() -> None:
    for _ in range(2):
        with pytest.raises(FullSaveRefused):
            Author.objects.fetch(1).save()


def test_transaction_that_wrote_and_bypass_read_the_database() -> None:
    Author.objects.fetch(1)
    with transaction.atomic():
        Author.objects.filter(pk=1).update(name="Mine")
        assert Author.objects.fetch(1).name == "Mine"
    with bypass(), CaptureQueriesContext(connection) as captured:
        Author.objects.fetch(1)
    assert len(captured.captured_queries) == 1


def test_models_of_any_kind_defer_what_get_defers() -> None:
    for pk in Book.objects.values_list("pk", flat=True):
        for _ in range(2):
            fetched, got = Book.objects.fetch(pk), Book.objects.cached().get(pk=pk)
            assert fetched.get_deferred_fields() == got.get_deferred_fields()
            assert {k: v for k, v in vars(fetched).items() if k != "_state"} == {
                k: v for k, v in vars(got).items() if k != "_state"
            }


def test_afetch_returns_the_row() -> None:
    async def read() -> Author:
        return await Author.objects.afetch(1)

    assert elsewhere(async_to_sync(read)) == Author.objects.get(pk=1)


class TestGet:
    """``cached().get(pk=…)`` finds a row as ``fetch`` does, and is ``get`` in everything else."""

    @pytest.mark.parametrize("name", ["pk", "id"])
    def test_a_hit_compiles_nothing(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        Author.objects.fetch(1)
        monkeypatch.delattr(SQLCompiler, "as_sql")
        assert Author.objects.cached().get(**{name: 1}).name == "Ann"

    def test_it_finds_the_row_that_the_queryset_restricts(self) -> None:
        for _ in range(2):
            assert Author.objects.cached().filter(name="Ann").get(pk=1).pk == 1
            with pytest.raises(Author.DoesNotExist):
                Author.objects.cached().filter(name="Bob").get(pk=1)
            with pytest.raises(Author.DoesNotExist):
                Author.objects.cached().exclude(pk=1).get(pk=1)
            assert Author.objects.cached().values("name").get(pk=1) == {"name": "Ann"}
            assert Author.objects.cached().values_list("name").get(pk=1) == ("Ann",)
            assert Author.objects.cached().annotate(age=F("born") + 1).get(pk=1).age == 91
            assert Author.objects.cached().only("name").get(pk=1).get_deferred_fields() == {
                "code",
                "born",
                "publisher_id",
            }
            assert "author" in Book.objects.cached().select_related("author").get(pk=1)._state.fields_cache
            book = Book.objects.cached().prefetch_related("genres").get(pk=1)
            assert book._prefetched_objects_cache  # type: ignore[attr-defined]

    def test_errors_are_those_of_get(self) -> None:
        for _ in range(2):
            with pytest.raises(Author.DoesNotExist, match="matching query does not exist"):
                Author.objects.cached().get(pk=99)
            with pytest.raises(Author.MultipleObjectsReturned):
                Author.objects.cached().get(pk__gte=1)
            with pytest.raises(TypeError, match="once a slice has been taken"):
                Author.objects.cached()[:2].get(pk=1)

    def test_a_related_manager_keeps_its_instance(self) -> None:
        author = Author.objects.get(pk=1)
        for _ in range(2):
            book = author.books.cached().get(pk=1)
            assert book.author is author
            with pytest.raises(Book.DoesNotExist):
                author.books.cached().get(pk=3)

    def test_the_async_twin_returns_the_same(self) -> None:
        async def read() -> Author:
            return await Author.objects.cached().aget(pk=1)

        assert elsewhere(async_to_sync(read)) == Author.objects.get(pk=1)


class TestFetchMany:
    """``fetch_many``: rows by their primary keys, equal to what ``in_bulk`` returns."""

    def test_it_equals_in_bulk_cold_and_warm(self) -> None:
        expected = Author.objects.in_bulk([1, 2, 99])
        for _ in range(2):
            found = Author.objects.fetch_many([1, 2, 99])
            assert {pk: vars_of(author) for pk, author in found.items()} == {
                pk: vars_of(author) for pk, author in expected.items()
            }

    def test_the_order_is_that_of_the_keys_without_those_twice(self) -> None:
        assert [*Author.objects.fetch_many([2, 99, 1, 2])] == [2, 1]
        assert Author.objects.fetch_many([]) == {}

    def test_a_hit_is_one_round_trip_without_sql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        Author.objects.fetch_many([1, 2, 3, 99])
        monkeypatch.delattr(SQLCompiler, "as_sql")
        commands = counted(monkeypatch)
        with CaptureQueriesContext(connection) as captured:
            assert [*Author.objects.fetch_many([1, 2, 3, 99])] == [1, 2, 3]
        assert not captured.captured_queries
        assert commands == [4]

    def test_what_is_missing_is_read_by_one_query(self) -> None:
        Author.objects.fetch(1)
        with CaptureQueriesContext(connection) as captured:
            Author.objects.fetch_many([1, 2, 3, 99])
        of_authors = [query for query in captured.captured_queries if "library_author" in query["sql"]]
        assert len(of_authors) == 1
        assert "IN (2, 3, 99)" in of_authors[0]["sql"]

    def test_fetch_shares_its_entries(self) -> None:
        Author.objects.fetch_many([1, 99])
        with CaptureQueriesContext(connection) as captured:
            assert Author.objects.fetch(1).pk == 1
            with pytest.raises(Author.DoesNotExist):
                Author.objects.fetch(99)
        assert not captured.captured_queries

    def test_a_write_ends_the_entry_of_its_row_alone(self) -> None:
        Author.objects.fetch_many([1, 2, 99])
        with connection.cursor() as cursor:
            cursor.execute("UPDATE library_author SET name = 'New' WHERE id = 1")
        Author.objects.create(pk=99, name="Late")
        with CaptureQueriesContext(connection) as captured:
            found = Author.objects.fetch_many([1, 2, 99])
        assert (found[1].name, found[99].name) == ("New", "Late")
        assert [q["sql"] for q in captured.captured_queries if "IN (1, 99)" in q["sql"]]

    def test_more_rows_than_an_entry_lists_are_stored_each(self, settings: Any) -> None:
        settings.CACHECONTROL = {**settings.CACHECONTROL, "ROWS_PER_ENTRY": 2}
        Author.objects.fetch_many([1, 2, 3, 99])
        with CaptureQueriesContext(connection) as captured:
            assert [*Author.objects.fetch_many([1, 2, 3, 99])] == [1, 2, 3]
        assert not captured.captured_queries

    def test_a_filtered_queryset_keeps_its_filter(self) -> None:
        name = Author.objects.fetch(1).name
        assert 1 not in Author.objects.exclude(name=name).fetch_many([1, 2])

    def test_keys_of_other_types_are_read_as_in_bulk_reads_them(self) -> None:
        assert [*Author.objects.fetch_many(["1", "2"])] == [*Author.objects.in_bulk(["1", "2"])]
        assert [*Genre.objects.fetch_many(["sf", "none"])] == [*Genre.objects.in_bulk(["sf", "none"])]
        with pytest.raises(ValueError, match="x"):
            Author.objects.fetch_many(["x"])

    def test_a_model_with_a_parent_is_read_as_in_bulk_reads_it(self) -> None:
        assert Manual.objects.fetch_many([1, 2, 3]) == Manual.objects.in_bulk([1, 2, 3])

    def test_what_a_transaction_wrote_is_seen_in_it_and_not_stored(self) -> None:
        Author.objects.fetch_many([1, 2])
        with transaction.atomic():
            Author.objects.filter(pk=1).update(name="Undone")
            assert Author.objects.fetch_many([1, 2])[1].name == "Undone"
            transaction.set_rollback(True)
        assert Author.objects.fetch_many([1, 2])[1].name != "Undone"

    def test_the_work_around_it_depends_on_its_rows(self) -> None:
        for _ in range(2):
            collection = collection_of(lambda: Author.objects.fetch_many([1, 99]))
            assert {d.tag for d in collection.tags} >= {"library_author#1", "library_author#99"}
            assert collection.final_refusal() is None

    def test_a_bypass_asks_the_database(self) -> None:
        Author.objects.fetch_many([1])
        with bypass(), CaptureQueriesContext(connection) as captured:
            Author.objects.fetch_many([1])
        assert captured.captured_queries

    def test_without_redis_the_database_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def down(*_: Any) -> Any:
            raise StoreDown("staged")

        monkeypatch.setattr(protocol, "read_many", down)
        assert [*Author.objects.fetch_many([1, 99, 2])] == [1, 2]

    def test_damaged_entries_are_replaced(self, redis: Any) -> None:
        Author.objects.fetch_many([1, 2])
        for key in redis.scan_iter(f"{keys.ENTRY}*"):
            redis.hset(key, "body", b"damaged")
        assert [*Author.objects.fetch_many([1, 2])] == [1, 2]

    def test_instances_refuse_a_full_save(self) -> None:
        with pytest.raises(FullSaveRefused):
            Author.objects.fetch_many([1])[1].save()

    def test_processes_answer_from_their_memory_for_visitors(self, settings: Any, monkeypatch: Any) -> None:
        settings.CACHECONTROL = {**settings.CACHECONTROL, "LOCAL_BYTES": 1_000_000}
        monkeypatch.setattr(puller, "keep_up", lambda: None)
        with local_reads():
            for _ in range(4):
                pull_once()
                Author.objects.fetch_many([1, 2])
            commands = counted(monkeypatch)
            assert [*Author.objects.fetch_many([1, 2])] == [1, 2]
        assert commands == []

    def test_the_async_twin_returns_the_same(self) -> None:
        async def read() -> dict[int, Author]:
            return await Author.objects.afetch_many([1, 2])

        assert [*elsewhere(async_to_sync(read))] == [1, 2]


def vars_of(instance: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(instance).items() if name != "_state"}


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of commands of each round trip to Redis from now on."""
    sent: list[int] = []
    connection_class = type(redis_client.thread_connection)
    one, many = connection_class.send, connection_class.send_many

    def send(self: Any, *command: Any) -> Any:
        sent.append(1)
        return one(self, *command)

    def send_many(self: Any, commands: Any) -> Any:
        sent.append(len(commands))
        return many(self, commands)

    monkeypatch.setattr(connection_class, "send", send)
    monkeypatch.setattr(connection_class, "send_many", send_many)
    return sent
