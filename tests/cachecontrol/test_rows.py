"""``fetch``: a row by its primary key, equal to what ``get`` returns."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext

from cachecontrol.api import bypass
from cachecontrol.drain import catch_up
from cachecontrol.exceptions import FullSaveRefused
from tests.library import shelf
from tests.library.models import Author, Book
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
