"""Cached querysets: what the cache answers, with how many statements and commands, and what is refused."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, transaction
from django.db.models import (
    CharField,
    Count,
    Exists,
    F,
    Field,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
)
from django.db.models.functions import Cast, Now
from django.test.utils import CaptureQueriesContext
from psycopg.adapt import Dumper
from redis.connection import AbstractConnection

from cachecontrol.api import bypass
from cachecontrol.drain import catch_up
from cachecontrol.exceptions import FullSaveRefused, Misconfigured
from cachecontrol.stats import recording
from tests.library import shelf
from tests.library.models import Author, Book, Genre, Loan, Manual, Review

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]


@dataclass
class Cost:
    """The SQL and the number of Redis commands of one read, and how it ended."""

    value: Any = None
    sql: list[str] = field(default_factory=list)
    redis: int = 0
    reads: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


@pytest.fixture
def cost(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], Cost]:
    """Return a function that reads and counts."""

    def measure(read: Callable[[], Any]) -> Cost:
        spent = Cost()
        sent: Any = AbstractConnection.send_command
        reader = threading.current_thread()

        def count(line: AbstractConnection, *args: Any, **kwargs: Any) -> Any:
            spent.redis += threading.current_thread() is reader
            return sent(line, *args, **kwargs)

        with (
            monkeypatch.context() as patch,
            recording.trace() as trace,
            CaptureQueriesContext(connection) as queries,
        ):
            patch.setattr(AbstractConnection, "send_command", count)
            spent.value = read()
        spent.sql = [query["sql"] for query in queries]
        spent.reads = [f"{read.outcome} {read.reason}".strip() for read in trace.reads]
        spent.refusals = [refusal.reason for refusal in trace.refusals]
        return spent

    return measure


def titles(books: Any) -> list[str]:
    return [book.title for book in books]


SHAPES: dict[str, Callable[[Any], Any]] = {
    "list": lambda books: titles(books.order_by("id")),
    "get": lambda books: books.get(pk=1).title,
    "first": lambda books: books.order_by("id").first().title,
    "last": lambda books: books.order_by("id").last().title,
    "earliest": lambda books: books.earliest("price", "id").title,
    "slice": lambda books: titles(books.order_by("id")[1:3]),
    "one of a slice": lambda books: books.order_by("id")[2].title,
    "count": lambda books: books.filter(author=1).count(),
    "count of distinct": lambda books: books.values("author").distinct().count(),
    "count of a slice": lambda books: books.order_by("id")[:3].count(),
    "exists": lambda books: books.filter(pk=1).exists(),
    "exists not": lambda books: books.filter(pk=99).exists(),
    "contains": lambda books: books.contains(Book(pk=1)),
    "aggregate": lambda books: books.aggregate(Sum("pages"), Max("author__born")),
    "aggregate of an annotation": lambda books: books.annotate(n=Count("reviews")).aggregate(Max("n")),
    "aggregate over a subquery": lambda books: books.aggregate(
        n=Count("pk", filter=Exists(Review.objects.filter(book=OuterRef("pk"))))
    ),
    "values": lambda books: [*books.order_by("id").values("id", "author__name")],
    "values_list": lambda books: [*books.order_by("id").values_list("title", flat=True)],
    "named values_list": lambda books: [*books.order_by("id").values_list("id", "title", named=True)],
    "annotate": lambda books: [
        (book.id, book.n) for book in books.annotate(n=Count("reviews")).order_by("id")
    ],
    "group by": lambda books: [*books.order_by("author").values("author").annotate(n=Count("id"))],
    "subquery": lambda books: [
        book.stars
        for book in books.annotate(
            stars=Subquery(Review.objects.filter(book=OuterRef("pk")).order_by("-stars").values("stars")[:1])
        ).order_by("id")
    ],
    "union": lambda books: sorted(
        titles(books.filter(author=1).defer("stock").union(Book.objects.filter(author=2).defer("stock")))
    ),
    "count of a union": lambda books: (
        books.filter(author=1).defer("stock").union(Book.objects.filter(author=2).defer("stock")).count()
    ),
    "union ordered by what it does not show": lambda books: [
        *books.filter(author=1).union(Book.objects.filter(author=2)).order_by("title").values_list("id")
    ],
    "iterator": lambda books: titles(books.order_by("id").iterator()),
    "iterator in chunks": lambda books: titles(books.order_by("id").iterator(chunk_size=2)),
    "in_bulk": lambda books: {pk: book.title for pk, book in books.in_bulk([1, 2]).items()},
    "select_related": lambda books: [
        (book.author.name, book.editor and book.editor.name)
        for book in books.select_related("author", "editor").order_by("id")
    ],
    "dates": lambda books: [*books.values_list("price", flat=True).distinct()],
    "none": lambda books: titles(books.none()),
}


@pytest.mark.parametrize("shape", [*SHAPES])
def test_the_second_read_asks_redis_once_and_the_database_nothing(
    shape: str, cost: Callable[..., Cost]
) -> None:
    read = SHAPES[shape]
    expected = read(Book.objects)
    Author.objects.cached().first()
    catch_up.catch_up()
    first = cost(lambda: read(Book.objects.cached()))
    second = cost(lambda: read(Book.objects.cached()))
    assert (first.value, second.value) == (expected, expected)
    assert second.sql == []
    if shape != "none":
        assert (first.reads, second.reads) == (["miss absent"], ["hit"])
        assert len(first.sql) == 2  # where the database stands, and the query
        assert (first.redis, second.redis) == (2, 1)  # read and fill, read


def test_a_prefetch_is_cached_if_its_queryset_is(cost: Callable[..., Cost]) -> None:
    def read() -> Any:
        reviews: Prefetch[Any] = Prefetch("reviews", Review.objects.cached().order_by("stars"))
        genres: Prefetch[Any] = Prefetch("genres", Genre.objects.cached().order_by("slug"))
        books = Book.objects.cached().order_by("id").prefetch_related(reviews, genres)
        return [
            ([r.stars for r in book.reviews.all()], [g.slug for g in book.genres.all()]) for book in books
        ]

    first = cost(read)
    second = cost(read)
    assert first.value == second.value
    assert first.value[0] == ([2, 5], ["sf", "x" * 70])
    assert (second.reads, second.sql, second.redis) == (["hit"] * 3, [], 3)


def test_a_fill_sees_what_was_written_since(cost: Callable[..., Cost]) -> None:
    def read() -> list[str]:
        return titles(Book.objects.cached().filter(author=1).order_by("id"))

    cost(read)
    Book.objects.filter(pk=3).update(author=1)
    assert cost(read).value == ["Book 1", "Book 2", "Book 3", "Manual"]


def test_a_write_elsewhere_leaves_the_entry_fresh(cost: Callable[..., Cost]) -> None:
    def read() -> list[str]:
        return titles(Book.objects.cached().filter(author=1))

    cost(read)
    Book.objects.filter(author=2).update(title="Other")
    Author.objects.update(name="Other")
    assert cost(read).reads == ["hit"]


def test_a_value_that_ends_like_the_tag_of_a_whole_table_is_a_value() -> None:
    """More rows change than are tagged one by one, so that only ``table*`` moves."""
    Author.objects.bulk_create(Author(name="Old", code=f"{number}*") for number in range(201))
    Genre.objects.bulk_create(Genre(name="Old", slug=f"{number}*") for number in range(201))

    def read() -> tuple[str, str]:
        return Author.objects.cached().get(code="7*").name, Genre.objects.cached().get(slug="7*").name

    assert read() == ("Old", "Old")
    Author.objects.update(name="New")
    Genre.objects.update(name="New")
    assert read() == ("New", "New")


def test_a_change_of_an_ignored_column_leaves_the_entry_fresh_and_is_seen(cost: Callable[..., Cost]) -> None:
    cost(lambda: Book.objects.cached().get(pk=1))
    Book.objects.filter(pk=1).update(stock=7)
    spent = cost(lambda: Book.objects.cached().get(pk=1))
    assert spent.reads == ["hit"]
    assert "stock" not in vars(spent.value)
    assert spent.value.stock == 7


@pytest.mark.parametrize(
    ("read", "path"),
    [
        (lambda: Review.objects.cached().select_related("book").get(stars=5), "book"),
        (lambda: Review.objects.select_related("book").cached().get(stars=5), "book"),
        (lambda: Review.objects.select_related("book__sequel_to").cached().get(stars=4), "book.sequel_to"),
        (lambda: Book.objects.select_related("manual").cached().get(pk=6), "manual"),
        (lambda: Manual.objects.cached().get(), ""),
    ],
    ids=["joined after", "joined before", "joined twice", "reverse", "inherited"],
)
def test_ignored_columns_of_joined_models_and_parents_are_not_stored(
    cost: Callable[..., Cost], read: Callable[[], Any], path: str
) -> None:
    cost(read)
    Book.objects.update(stock=7)
    spent = cost(read)
    assert spent.reads == ["hit"]
    book = functools.reduce(getattr, path.split(".") if path else [], spent.value)
    assert "stock" not in vars(book)
    assert book.stock == 7


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("volatile", lambda books: [*books.annotate(now=Now())]),
        ("volatile", lambda books: [*books.order_by("?")]),
        ("uncovered", lambda books: [*books.extra(where=["1 = 1"])]),
        ("untracked", lambda books: [*books.filter(loans=None)]),
        ("ignored", lambda books: [*books.filter(stock=0)]),
        ("ignored", lambda books: books.aggregate(Sum("stock"))),
    ],
)
def test_an_unproven_query_is_computed_each_time_and_counted(
    reason: str, read: Callable[[Any], Any], cost: Callable[..., Cost]
) -> None:
    for _ in range(2):
        spent = cost(lambda: read(Book.objects.cached()))
        assert spent.reads == ["miss absent"]
        assert spent.refusals == [reason]
        assert any("library_book" in sql for sql in spent.sql)


def test_an_untracked_model_is_refused(cost: Callable[..., Cost]) -> None:
    assert cost(lambda: [*Loan.objects.cached()]).refusals == ["untracked"]


def test_raw_is_a_counted_bypass(cost: Callable[..., Cost]) -> None:
    spent = cost(lambda: [*Book.objects.cached().raw("SELECT * FROM library_book WHERE id = 1")])
    assert spent.reads == ["bypass raw"]
    assert titles(spent.value) == ["Book 1"]


def test_rows_locked_for_update_are_a_counted_bypass(cost: Callable[..., Cost]) -> None:
    Book.objects.cached().get(pk=1)
    with transaction.atomic():
        spent = cost(lambda: Book.objects.cached().select_for_update().get(pk=1))
    assert spent.reads == ["bypass for_update"]
    assert len(spent.sql) == 1


def test_an_aggregate_of_rows_to_be_locked_locks_none_and_is_cached(cost: Callable[..., Cost]) -> None:
    for outcome in ("miss absent", "hit"):
        spent = cost(lambda: Book.objects.cached().select_for_update().count())
        assert (spent.value, spent.reads) == (6, [outcome])


def test_a_parameter_of_an_unknown_type_is_a_counted_bypass(cost: Callable[..., Cost]) -> None:
    class Title:
        """A parameter that only psycopg knows how to write."""

    class TitleDumper(Dumper):
        def dump(self, value: Any) -> bytes:
            return b"Book 1"

    connection.ensure_connection()
    connection.connection.adapters.register_dumper(Title, TitleDumper)
    books = Book.objects.cached().annotate(asked=Value(Title(), output_field=Field()))
    spent = cost(lambda: titles(books.filter(title=Cast("asked", CharField()))))
    assert (spent.value, spent.reads) == (["Book 1"], ["bypass unknown_type"])
    assert cost(lambda: books.aggregate(Count("asked"))).reads == ["bypass unknown_type"]


def test_an_aggregation_of_nothing_reads_nothing(cost: Callable[..., Cost]) -> None:
    spent = cost(lambda: Book.objects.cached().aggregate())
    assert (spent.value, spent.sql, spent.reads) == ({}, [], [])


def test_a_query_without_possible_rows_reads_nothing(cost: Callable[..., Cost]) -> None:
    nothing = Book.objects.cached().filter(pk__in=[])
    spent = cost(lambda: ([*nothing], nothing.count(), nothing.exists(), nothing.aggregate(n=Sum("pages"))))
    assert (spent.value, spent.sql, spent.reads) == (([], 0, False, {"n": None}), [], [])


def test_a_transaction_that_wrote_is_a_counted_bypass_and_sees_its_own_write(
    cost: Callable[..., Cost],
) -> None:
    Book.objects.cached().get(pk=1)
    with transaction.atomic():
        Book.objects.filter(pk=1).update(title="Mine")
        spent = cost(lambda: Book.objects.cached().get(pk=1).title)
        transaction.set_rollback(True)
    assert (spent.value, spent.reads) == ("Mine", ["bypass transaction"])
    assert Book.objects.cached().get(pk=1).title == "Book 1"


def test_bypass_asks_the_database(cost: Callable[..., Cost]) -> None:
    Book.objects.cached().get(pk=1)

    def read() -> str:
        with bypass():
            return Book.objects.cached().get(pk=1).title

    assert cost(read).reads == ["bypass bypass_called"]


def test_uncached_asks_the_database(cost: Callable[..., Cost]) -> None:
    Book.objects.cached().get(pk=1)
    assert cost(lambda: Book.objects.cached().uncached().get(pk=1)).reads == []


@pytest.mark.parametrize(
    "write",
    [
        lambda books: books.filter(author=1).update(title="New"),
        lambda books: books.filter(author=1).delete(),
        lambda books: books.create(title="New", author_id=1),
        lambda books: books.bulk_create([Book(title="New", author_id=1)]),
        lambda books: books.get_or_create(title="New", defaults={"author_id": 1}),
        lambda books: books.update_or_create(title="Book 1", defaults={"pages": 3}),
        lambda books: books.bulk_update([Book(pk=1, title="New")], ["title"]),
    ],
)
def test_a_cached_queryset_writes_and_the_next_read_sees_it(write: Callable[[Any], Any]) -> None:
    def read(books: Any) -> Any:
        return [*books.filter(author=1).order_by("id").values("id", "title", "pages")]

    before = read(Book.objects.cached())
    write(Book.objects.cached())
    assert read(Book.objects.cached()) == read(Book.objects.all()) != before


def test_get_or_create_reads_from_the_database() -> None:
    """Its read decides about a write."""
    Book.objects.cached().filter(title="New").first()
    with bypass():
        Book.objects.create(title="New", author_id=1)
    _, created = Book.objects.cached().get_or_create(title="New", defaults={"author_id": 1})
    assert not created


def test_an_instance_of_a_cached_read_refuses_a_full_save() -> None:
    book = Book.objects.cached().get(pk=1)
    book.title = "New"
    with pytest.raises(FullSaveRefused, match=r"library\.Book 1"):
        book.save()
    book.save(update_fields=["title"])
    assert Book.objects.get(pk=1).title == "New"


def test_an_instance_that_was_joined_in_a_cached_read_refuses_too() -> None:
    book = Book.objects.cached().select_related("author__publisher").get(pk=1)
    with pytest.raises(FullSaveRefused):
        book.author.save()
    assert book.author.publisher
    with pytest.raises(FullSaveRefused):
        book.author.publisher.save()


def test_an_instance_that_the_caller_loaded_may_be_saved() -> None:
    author = Author.objects.get(pk=1)
    assert author.books.cached()[0].author is author
    author.save()


def test_a_copy_of_an_instance_may_be_saved() -> None:
    manual = Manual.objects.cached().get(pk=6)
    review = Review.objects.cached().get(pk=shelf.uid(1))
    review.pk, review._state.adding = shelf.uid(44), True
    review.save()
    assert Review.objects.filter(pk=shelf.uid(44)).exists()
    assert manual.topic == "tools"


def test_an_instance_of_an_uncached_read_may_be_saved() -> None:
    Book.objects.cached().uncached().get(pk=1).save()


def test_the_same_sql_with_other_parameters_is_another_entry(cost: Callable[..., Cost]) -> None:
    cost(lambda: Book.objects.cached().get(pk=1))
    spent = cost(lambda: Book.objects.cached().get(pk=2).title)
    assert (spent.value, spent.reads) == ("Book 2", ["miss absent"])


@pytest.mark.parametrize("loaded", [("title",), ("title", "pages")])
def test_the_same_sql_for_fewer_columns_is_another_entry(loaded: tuple[str, ...]) -> None:
    """With DISTINCT, Django also selects the columns of the order, so that the SQL is the same."""
    others = {("title",), ("title", "pages")} - {loaded}
    for columns in (loaded, *others, loaded):
        read = Book.objects.cached().only(*columns).order_by("pages").distinct()
        assert next((book.title, book.pages) for book in read) == ("Book 1", 100)


def test_aggregates_that_differ_only_in_what_they_count_are_other_entries() -> None:
    books = Book.objects.cached()
    assert books.aggregate(n=Count("id"))["n"] == 6
    assert books.aggregate(n=Count("editor"))["n"] == 3
    assert books.aggregate(n=Count("id", filter=Q(author=1)))["n"] == 3
    assert books.aggregate(n=Count("id", filter=Q(author=2)))["n"] == 2
    assert books.annotate(x=F("editor")).aggregate(n=Count("x"))["n"] == 3
    assert books.annotate(x=F("author")).aggregate(n=Count("x"))["n"] == 6
    assert books.values("author").distinct().count() == 3
    assert books.values("author", "editor").distinct().count() == 5


def test_another_policy_has_its_own_entry_and_cannot_be_declared_twice_differently(
    cost: Callable[..., Cost],
) -> None:
    cost(lambda: Book.objects.cached("library.one", ttl=60).get(pk=1))
    assert cost(lambda: Book.objects.cached("library.two").get(pk=1)).reads == ["miss absent"]
    with pytest.raises(Misconfigured, match="declared twice"):
        Book.objects.cached("library.one", ttl=61)


def test_another_database_is_a_counted_bypass(cost: Callable[..., Cost], settings: Any) -> None:
    settings.CACHECONTROL = {**settings.CACHECONTROL, "DATABASE": "elsewhere"}
    assert cost(lambda: Book.objects.using("default").cached().get(pk=1).title).reads == ["bypass database"]


def test_the_chain_stays_cached_through_relations(cost: Callable[..., Cost]) -> None:
    author = Author.objects.get(pk=1)
    cost(lambda: titles(author.books.cached()))
    assert cost(lambda: titles(author.books.cached())).reads == ["hit"]


def test_explain_is_not_cached(cost: Callable[..., Cost]) -> None:
    assert "library_book" in Book.objects.cached().explain()
