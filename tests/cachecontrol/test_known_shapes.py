"""Known shapes: a query is walked once, and then known by the text of its statement, whatever its parameters name.

That a known query has the dependencies of a walked one, ``tests.library.collected`` checks for each query of the tests.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from django.db.models import DateField, Exists, OuterRef, Value
from django.db.models.functions import Cast

from cachecontrol.core import registry
from cachecontrol.dependencies import known_shapes
from cachecontrol.dependencies.query_walk import QueryWalk
from tests.library import shelf
from tests.library.collected import collection_of
from tests.library.models import Book, Review

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    known_shapes._known.clear()
    yield
    known_shapes._known.clear()


def walks_of(queryset: Any) -> int:
    """How many queries are walked while the rows are read."""
    with mock.patch.object(QueryWalk, "add_joins", autospec=True, side_effect=QueryWalk.add_joins) as joins:
        collection_of(lambda: [*queryset.all()])
    return joins.call_count


def refusal_of(queryset: Any) -> str:
    refusal = collection_of(lambda: [*queryset.all()]).final_refusal()
    return refusal.reason if refusal else ""


def tags_of(queryset: Any) -> set[str]:
    return {dependency.tag for dependency in collection_of(lambda: [*queryset.all()]).tags}


def test_a_query_is_walked_once_whatever_its_parameters() -> None:
    assert walks_of(Book.objects.filter(pk=1)) == 1
    assert walks_of(Book.objects.filter(pk=2)) == 0
    assert walks_of(Book.objects.filter(author=2)) == 1


def test_inner_queries_are_known_with_the_query_around_them() -> None:
    def reviewed(text: str) -> Any:
        return Book.objects.filter(Exists(Review.objects.filter(book=OuterRef("pk"), text=text)))

    assert walks_of(reviewed("fine")) == 2
    assert walks_of(reviewed("good")) == 0


def test_a_known_query_depends_on_what_its_own_parameters_name() -> None:
    assert "library_book#1" in tags_of(Book.objects.filter(pk=1))
    assert "library_book#2" in tags_of(Book.objects.filter(pk=2))
    assert "library_book#1" not in tags_of(Book.objects.filter(pk=2))


def test_a_union_is_walked_each_time() -> None:
    union = Book.objects.filter(pk=1).union(Book.objects.filter(pk=2))
    first = walks_of(union)
    assert first > 0
    assert walks_of(union) == first


def test_a_text_that_names_the_present_is_walked_although_the_query_is_known() -> None:
    def dated(text: str) -> Any:
        return Book.objects.annotate(day=Cast(Value(text), DateField()))

    assert refusal_of(dated("2026-11-26")) == ""
    assert walks_of(dated("2026-11-27")) == 0
    assert refusal_of(dated("today")) == "volatile"


def test_a_lookup_that_somebody_altered_names_no_row_although_the_query_is_known() -> None:
    """Its statement is that of a known query, and its parameter is not the value that the lookup shows."""
    assert "library_book" not in tags_of(Book.objects.filter(pk=1))
    altered = Book.objects.filter(pk=1)
    (lookup,) = altered.query.where.children
    vars(lookup)["process_rhs"] = lambda *_: ("%s", [2])
    assert [book.pk for book in altered.all()] == [2]
    assert walks_of(altered) == 0
    assert "library_book" in tags_of(altered)


def test_a_refused_query_is_not_known() -> None:
    refused = Book.objects.annotate(day=Cast(Value("now"), DateField()))
    assert refusal_of(refused) == refusal_of(refused) == "volatile"
    assert not known_shapes._known


def test_a_parameter_that_may_write_any_sql_is_walked() -> None:
    class Number(int):
        pass

    assert walks_of(Book.objects.filter(pk=1)) == 1
    (text,) = known_shapes._known
    assert known_shapes.find(text, (1,), [text]) is not None
    assert known_shapes.find(text, (Number(1),), [text]) is None
    assert known_shapes.find(text, ([1, Number(1)],), [text]) is None


def test_a_table_that_is_tracked_in_another_way_is_walked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert walks_of(Book.objects.filter(pk=1)) == 1
    table = registry.find("library_book")
    assert table is not None
    monkeypatch.setitem(registry._tables, "library_book", dataclasses.replace(table))
    assert walks_of(Book.objects.filter(pk=1)) == 1


def test_the_oldest_text_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_shapes, "MOST", 2)
    for queryset in (Book.objects.filter(pk=1), Book.objects.filter(author=1), Book.objects.filter(pages=1)):
        assert walks_of(queryset) == 1
    assert len(known_shapes._known) == 2
    assert walks_of(Book.objects.filter(pk=1)) == 1
