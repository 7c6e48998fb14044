"""Prepared querysets return what their function's queryset returns, with any values and after any write."""

from __future__ import annotations

import contextlib
import decimal
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.db.models import F, Prefetch, Q, QuerySet
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cachecontrol.api import bypass, prepare
from cachecontrol.exceptions import FullSaveRefused, Misconfigured
from cachecontrol.reasons import Outcome
from cachecontrol.stats import recording
from tests.cachecontrol.test_queries_after_writes import ERRORS, WRITES, plain
from tests.library import shelf
from tests.library.collected import collection_of
from tests.library.models import Author, Book, Genre, Loan, Manual, Review
from tests.shelf.world import elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]

BUILDS: dict[str, Callable[..., QuerySet[Any]]] = {
    "row": lambda pk: Book.objects.filter(pk=pk).cached(),
    "author": lambda author: Book.objects.filter(author=author).order_by("pk").cached(),
    "page": lambda author, page: Book.objects.filter(author=author).order_by("pk").cached()[(page - 1) * 2 : page * 2],
    "slice": lambda start, stop: Book.objects.order_by("pk").cached()[start:stop],
    "from": lambda start: Book.objects.order_by("pk").cached()[start:],
    "window": lambda start: Book.objects.order_by("pk").cached()[start : start + 2],
    "price": lambda price: Book.objects.filter(price__lt=price).order_by("pk").cached(),
    "pages": lambda pages: Book.objects.filter(pages__gt=pages + 1, visible=True).order_by("-pages", "pk").cached(),
    "title": lambda title: Book.objects.filter(title=title).cached(),
    "uid": lambda uid: Book.objects.filter(uid=uid).cached(),
    "joined": lambda code: Book.objects.filter(author__publisher__country=code).order_by("pk").select_related("author").cached(),
    "not joined": lambda country: Book.objects.exclude(author__publisher__country=country).order_by("pk").cached(),
    "either": lambda author, genre: Book.objects.filter(Q(author=author) | Q(genre=genre)).order_by("pk").cached(),
    "same twice": lambda author: Book.objects.filter(Q(author=author) | Q(editor=author)).order_by("pk").cached(),
    "constants": lambda author: Book.objects.filter(author=author, genre__in=["sf", "x" * 70]).order_by("pk").cached(),
    "columns": lambda author: Book.objects.filter(author=author).order_by("pk").only("title").cached(),
    "prefetched": lambda author: Book.objects.filter(author=author).order_by("pk").prefetch_related(
        Prefetch("reviews", queryset=Review.objects.order_by("pk").cached()), "genres"
    ).cached(),
    "manuals": lambda author: Manual.objects.filter(author=author).order_by("pk").cached(),
    "genre": lambda slug: Genre.objects.filter(slug=slug).cached(),
    "reviews": lambda stars: Book.objects.filter(reviews__stars__gte=stars).order_by("pk", "reviews__pk").cached(),
}  # fmt: skip
VALUES: list[Any] = [
    *(0, 1, 2, 3, 5, -1, 99, 2**31, 2**63, True, 1.0, "1", "x", "", "se", "sf", "Book 1", None),
    *(decimal.Decimal("5.00"), decimal.Decimal(100), shelf.uid(3), str(shelf.uid(3)), [1], b"x", object()),
]


def answer(read: Callable[..., Any], *values: Any) -> Any:
    try:
        return plain([*read(*values)])
    except (*ERRORS, ValidationError, ArithmeticError) as error:
        return type(error).__name__, str(error)


def uncached(name: str) -> Callable[..., Any]:
    """Return a function that builds the queryset without the cache."""
    return lambda *values: BUILDS[name](*values).uncached()  # type: ignore[attr-defined]


def arity(name: str) -> int:
    return BUILDS[name].__code__.co_argcount


@pytest.mark.parametrize("name", BUILDS)
def test_it_returns_what_the_queryset_returns_with_any_values(name: str) -> None:
    prepared = prepare(BUILDS[name])
    for values in itertools.product(VALUES, repeat=arity(name)):
        expected = answer(uncached(name), *values)
        for _ in range(2 if arity(name) == 1 else 1):
            assert answer(prepared, *values) == expected, values


@settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None
)
@given(
    st.lists(
        st.tuples(st.sampled_from([*WRITES]), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=4
    ),
    st.lists(
        st.tuples(st.sampled_from([*BUILDS]), st.sampled_from(VALUES[:5]), st.sampled_from([1, 2, 3, "sf"])),
        min_size=3,
        max_size=6,
    ),
)
def test_it_returns_what_the_queryset_returns_after_any_write(
    done: list[tuple[str, int, int]], asked: list[tuple[str, Any, Any]]
) -> None:
    prepared = {name: prepare(build) for name, build in BUILDS.items()}
    shelf.fill()
    for write, which, what in [(None, 0, 0), *done]:
        if write:
            with contextlib.suppress(IntegrityError):
                WRITES[write](which, what)
        for name, *values in asked:
            some = values[: arity(name)]
            expected = answer(uncached(name), *some)
            for _ in range(2):
                assert answer(prepared[name], *some) == expected, (name, some)


@prepare
def listing(author: int, page: int = 1, *, pages: int = 0) -> QuerySet[Book]:
    """The books of an author."""
    books = Book.objects.filter(author_id=author, pages__gte=pages).select_related("author").order_by("title")
    return books.cached("library.listing")[(page - 1) * 2 : page * 2]


def titles(books: list[Book]) -> list[str]:
    return [book.title for book in books]


def test_it_is_called_as_the_function_is() -> None:
    assert (
        titles(listing(1))
        == titles(listing(1, 1))
        == titles(listing(author=1, page=1))
        == ["Book 1", "Book 2"]
    )
    assert titles(listing(1, pages=110)) == ["Book 2"]
    assert (vars(listing)["__name__"], listing.__doc__) == ("listing", "The books of an author.")
    with pytest.raises(TypeError, match="missing a required argument: 'author'"):
        listing()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="too many positional arguments"):
        listing(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'shelf'"):
        listing(1, shelf=2)  # type: ignore[call-arg]


def test_a_hit_runs_no_sql_compiles_nothing_and_builds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    books = listing(1)
    monkeypatch.delattr(SQLCompiler, "as_sql")
    monkeypatch.setattr(listing, "_build", None)
    with CaptureQueriesContext(connection) as captured:
        assert titles(listing(1)) == titles(books)
    assert not captured.captured_queries


def test_it_shares_its_entries_with_the_queryset() -> None:
    with recording.trace() as trace:
        for read in (listing.__wrapped__, listing, listing, listing.__wrapped__):  # type: ignore[attr-defined]
            assert titles([*read(2)]) == ["Book 3", "Book 4"]
    assert [read.outcome for read in trace.reads] == [Outcome.MISS, Outcome.HIT, Outcome.HIT, Outcome.HIT]


def test_other_values_find_other_entries() -> None:
    assert titles(listing(1)) != titles(listing(2))
    assert titles(listing(1, 1)) != titles(listing(1, 2))
    assert titles(listing(1)) == ["Book 1", "Book 2"]


def test_a_write_by_sql_is_seen() -> None:
    assert titles(listing(3)) == ["Book 5"]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_book SET title = 'New' WHERE id = 5")
    assert titles(listing(3)) == ["New"]


def test_a_transaction_that_wrote_and_a_bypass_ask_the_database() -> None:
    listing(3)
    with transaction.atomic():
        Book.objects.filter(pk=5).update(title="Mine")
        assert titles(listing(3)) == ["Mine"]
        transaction.set_rollback(True)
    assert titles(listing(3)) == ["Book 5"]
    with bypass(), CaptureQueriesContext(connection) as captured:
        listing(3)
    assert len(captured.captured_queries) == 1


def test_instances_defer_ignored_columns_and_refuse_a_full_save() -> None:
    for _ in range(2):
        (book,) = listing(3)
        assert book.get_deferred_fields() == {"stock"}
        with pytest.raises(FullSaveRefused):
            book.save()
        with pytest.raises(FullSaveRefused):
            book.author.save()


def test_the_work_around_it_depends_on_its_rows() -> None:
    expected = collection_of(lambda: [*listing.__wrapped__(3).uncached()])  # type: ignore[attr-defined]
    for _ in range(2):
        collection = collection_of(lambda: listing(3))
        assert {d.tag for d in collection.tags} >= {d.tag for d in expected.tags}
        assert collection.final_refusal() is None


def test_the_async_twin_returns_the_same() -> None:
    async def read() -> list[Book]:
        return await listing.acall(1, page=1)

    assert elsewhere(async_to_sync(read)) == listing(1)


def test_rows_of_a_table_that_is_not_tracked_are_not_stored() -> None:
    @prepare
    def loans(book: int) -> QuerySet[Loan]:
        return Loan.objects.filter(book=book).cached()

    for number in range(3):
        assert len(loans(1)) == number
        Loan.objects.create(book_id=1)


counter = itertools.count()
REFUSED: dict[str, tuple[Callable[..., Any], str]] = {
    "not cached": (lambda pk: Book.objects.filter(pk=pk), r"cached\(\) is missing"),
    "no queryset": (lambda pk: [pk], r"cached\(\) is missing"),
    "values": (lambda pk: Book.objects.filter(pk=pk).cached().values("title"), "instances"),
    "a related manager": (lambda pk: Author(pk=1).books.filter(pk=pk).cached(), "instances"),
    "annotation": (lambda pk: Book.objects.filter(pk=pk).annotate(n=F("pages")).cached(), r"\(annotations\)"),
    "another lookup": (lambda text: Book.objects.filter(title__contains=text).cached(), r"\(where\)"),
    "a list": (lambda pks: Book.objects.filter(pk__in=pks).cached(), r"\(where\)"),
    "a truth value": (lambda visible: Book.objects.filter(visible=visible).cached(), r"\(where\)"),
    "sliced twice": (lambda a: Book.objects.order_by("pk").cached()[a:][:2], "sliced more than once"),
    "int of a value": (lambda page: Book.objects.order_by("pk").cached()[int(page) * 2 :], r"int\(\)"),
    "int in a filter": (lambda pk: Book.objects.filter(pk=int(pk)).cached(), "other values"),
    "a value of its own": (
        lambda pk: Book.objects.filter(pk=pk, pages=next(counter)).cached(),
        "other values",
    ),
    "another queryset": (
        lambda pk: (
            Book.objects.filter(pk=pk) if isinstance(pk, int) else Book.objects.exclude(pk=pk)
        ).cached(),
        "another queryset",
    ),
    "a star": (lambda *pks: Book.objects.filter(pk=pks[0]).cached(), "need names"),
}
LOOKS: dict[str, Callable[[Any], Any]] = {
    "truth": bool,
    "comparison": lambda pk: pk > 1,
    "equality": lambda pk: pk == 1,
    "text": lambda pk: f"{pk}",
    "item": lambda pk: pk[0],
    "iteration": lambda pk: [*pk],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_prepared_is_refused_with_the_reason(name: str) -> None:
    build, reason = REFUSED[name]
    with pytest.raises(Misconfigured, match=reason) as refused:
        prepare(build)(1)
    assert f"{__name__}.<lambda> cannot be prepared: " in str(refused.value)


@pytest.mark.parametrize("name", LOOKS)
def test_a_function_that_looks_at_its_arguments_is_refused(name: str) -> None:
    def build(shelf: int) -> QuerySet[Book]:
        LOOKS[name](shelf)
        return Book.objects.filter(pk=shelf).cached()

    with pytest.raises(TypeError, match="the argument shelf is looked at"):
        prepare(build)(1)


def test_a_function_that_changes_its_mind_is_refused_at_the_next_miss() -> None:
    visible = True

    @prepare
    def books(author: int) -> QuerySet[Book]:
        return Book.objects.filter(author=author, visible=visible).cached()

    assert titles(books(1)) == ["Book 1", "Manual"]
    visible = False
    with pytest.raises(Misconfigured, match="another queryset"):
        books(2)
