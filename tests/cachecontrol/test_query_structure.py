"""Queries with a known structure are not compiled: their SQL is what compiling them gives."""

from __future__ import annotations

import contextlib
import decimal
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import EmptyResultSet
from django.db.models import Exists, F, OuterRef, Q, Value
from django.db.models.functions import Lower
from django.db.models.lookups import Exact
from django.db.models.sql.compiler import SQLCompiler

from cachecontrol.frontends.query_structure import structure_of
from tests.cachecontrol.test_queries_after_writes import ENDS, ERRORS, STEPS, answer
from tests.library import shelf
from tests.library.compiled import compared
from tests.library.models import Author, Book

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]

KNOWN: dict[str, Callable[[Any], Any]] = {
    "all": lambda q: q,
    "none": lambda q: q.filter(author__publisher=None),
    "row": lambda q: q.filter(pk=1),
    "another row": lambda q: q.filter(pk=2),
    "rows": lambda q: q.filter(pk__in=[1, 2]),
    "more rows": lambda q: q.filter(pk__in=[1, 2, 3]),
    "rows, one twice": lambda q: q.filter(pk__in=[1, 1, 2]),
    "no author": lambda q: q.filter(author=None),
    "an author": lambda q: q.filter(author__isnull=False),
    "visible": lambda q: q.filter(visible=True),
    "hidden": lambda q: q.filter(visible=False),
    "cheap": lambda q: q.filter(price__lt=decimal.Decimal("5.00")),
    "cheap or equal": lambda q: q.filter(price__lte=decimal.Decimal("5.00")),
    "long": lambda q: q.filter(pages__gte=100),
    "longer": lambda q: q.filter(pages__gt=100),
    "title": lambda q: q.filter(title="Book 1"),
    "another title": lambda q: q.filter(title="100%"),
    "uid": lambda q: q.filter(uid=shelf.uid(1)),
    "country": lambda q: q.filter(author__publisher__country="se"),
    "not country": lambda q: q.exclude(author__publisher__country="se"),
    "or": lambda q: q.filter(Q(pk=1) | Q(title="Book 2")),
    "not": lambda q: q.filter(~Q(pk=1)),
    "joined": lambda q: q.select_related("author"),
    "joined further": lambda q: q.select_related("author__publisher"),
    "ordered": lambda q: q.order_by("title", "-pk"),
    "ordered by another table": lambda q: q.order_by("author__name", "pk"),
    "reversed": lambda q: q.order_by("title").reverse(),
    "distinct": lambda q: q.distinct(),
    "only": lambda q: q.only("title"),
    "deferred": lambda q: q.defer("title"),
    "values": lambda q: q.values("title", "author__name"),
    "other values": lambda q: q.values("author__name", "title"),
    "a list": lambda q: q.values_list("pk", "title"),
    "titles": lambda q: q.values_list("title", flat=True),
    "limited": lambda q: q.order_by("pk")[:2],
    "limited more": lambda q: q.order_by("pk")[:3],
    "from the second": lambda q: q.order_by("pk")[1:],
    "a page": lambda q: q.order_by("pk")[1:3],
    "reviews": lambda q: q.filter(reviews__stars=5),
    "tagged": lambda q: q.filter(genres="sf"),
}
UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "annotated": lambda q: q.annotate(half=F("pages") / 2),
    "an expression": lambda q: q.filter(pages=F("author__born")),
    "a value": lambda q: q.filter(pages=Value(100)),
    "a function": lambda q: q.filter(title=Lower("title")),
    "ordered by an expression": lambda q: q.order_by(Lower("title")),
    "another lookup": lambda q: q.filter(title__contains="1"),
    "a text for a number": lambda q: q.filter(title=_Text("Book 1")),
    "a number out of range": lambda q: q.filter(pages=2**31),
    "an empty list": lambda q: q.filter(pk__in=[]),
    "a subquery": lambda q: q.filter(author__in=Author.objects.filter(pk=1)),
    "a union": lambda q: q.union(q),
    "extra": lambda q: q.extra(where=["true"]),
    "for update": lambda q: q.select_for_update(),
    "nothing": lambda q: q.none(),
    "an own lookup": lambda q: q.filter(_Loud(F("title"), "Book 1")),
}


class _Text(str):
    __slots__ = ()


class _Loud(Exact):
    """A lookup of a project's own."""

    def process_rhs(self, compiler: Any, connection: Any) -> Any:
        sql, params = super().process_rhs(compiler, connection)
        return f"upper({sql})", params


@pytest.mark.parametrize("end", ["list", "count", "first", "last"])
def test_the_sql_that_is_known_is_what_the_compiler_writes(end: str) -> None:
    with compared() as known:
        for step, _ in itertools.product(KNOWN.values(), range(3)):
            assert answer(Book.objects.cached(), [step], ENDS[end]) == answer(
                Book.objects.defer("stock"), [step], ENDS[end]
            )
    assert len({*known}) > len(KNOWN) / 2


@pytest.mark.parametrize("name", UNKNOWN)
def test_other_queries_have_no_structure(name: str) -> None:
    queryset = UNKNOWN[name](Book.objects.all())
    assert structure_of(queryset.query, "default") is None


def test_a_subquery_that_refers_to_a_column_leaves_other_queries_with_it_known() -> None:
    str(Book.objects.filter(Exists(Author.objects.filter(pk=OuterRef("pk")))).query)
    assert structure_of(Book.objects.filter(pk=1).query, "default")


def test_a_model_may_have_no_ordering(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Book._meta, "ordering", None)
    assert structure_of(Book.objects.all().query, "default")


def test_queries_with_other_sql_have_other_structures() -> None:
    sql_of: dict[Any, set[str]] = {}
    for first, second in itertools.product({**KNOWN, **STEPS[Book]}.values(), repeat=2):
        with contextlib.suppress(*ERRORS, EmptyResultSet):
            query = second(first(Book.objects.all())).query
            if structure := structure_of(query, "default"):
                query.clear_limits()
                sql_of.setdefault(structure.parts, set()).add(query.get_compiler("default").as_sql()[0])
    assert len(sql_of) > 400
    assert not [texts for texts in sql_of.values() if len(texts) > 1]


def test_a_fill_runs_a_query_of_a_known_structure_without_compiling_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def titles(author: int) -> list[str]:
        return [
            book.title for book in Book.objects.cached().filter(author=author, visible=True).order_by("pk")
        ]

    titles(1)
    titles(2)
    monkeypatch.delattr(SQLCompiler, "as_sql")
    assert titles(3) == ["Book 5"]
    Book.objects.filter(pk=5).update(title="New")
    assert titles(3) == ["New"]
