"""After any write, which may move rows into a query or out of it, a cached query answers as the database does."""

from __future__ import annotations

import contextlib
import functools
import os
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import FieldError, MultipleObjectsReturned, ObjectDoesNotExist
from django.db import Error, IntegrityError, connection, models, transaction
from django.db.models import (
    Avg,
    Case,
    Count,
    Exists,
    F,
    FilteredRelation,
    Max,
    OuterRef,
    Prefetch,
    Q,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, RowNumber, Upper
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from cachecontrol.reasons import Outcome
from cachecontrol.stats import recording
from tests.library import shelf
from tests.library.compiled import compared
from tests.library.models import Author, Book, Genre, Manual, Profile, Publisher, Review, Sale

if TYPE_CHECKING:
    from collections.abc import Callable

PAST = "x" * 70

STEPS: dict[type[models.Model], dict[str, Callable[[Any], Any]]] = {
    Book: {
        "row": lambda q: q.filter(pk=1),
        "rows": lambda q: q.filter(pk__in=[1, 2, 99]),
        "row of a parent": lambda q: q.filter(id=3),
        "author": lambda q: q.filter(author=1),
        "authors": lambda q: q.filter(author__in=[1, 2]),
        "author, as an instance": lambda q: q.filter(author=Author(pk=2)),
        "author by name": lambda q: q.filter(author__name="Ann"),
        "author by code": lambda q: q.filter(author__code="b" * 80),
        "author's publisher": lambda q: q.filter(author__publisher=1),
        "author's publisher is none": lambda q: q.filter(author__publisher=None),
        "author's country": lambda q: q.filter(author__publisher__country="se"),
        "not author's country": lambda q: q.exclude(author__publisher__country="se"),
        "no editor": lambda q: q.filter(editor=None),
        "an editor": lambda q: q.filter(editor__isnull=False),
        "editor by name": lambda q: q.filter(editor__name="Bob"),
        "not editor by name": lambda q: q.exclude(editor__name="Bob"),
        "genre": lambda q: q.filter(genre="sf"),
        "genres": lambda q: q.filter(genre__in=["sf", PAST]),
        "no genre": lambda q: q.filter(genre=None),
        "no genre's name": lambda q: q.filter(genre__name=None),
        "genre by name": lambda q: q.filter(genre__name="Past"),
        "tagged": lambda q: q.filter(genres="sf"),
        "tagged by name": lambda q: q.filter(genres__name="Future"),
        "not tagged": lambda q: q.exclude(genres=PAST),
        "untagged": lambda q: q.filter(genres=None),
        "visible": lambda q: q.filter(visible=True),
        "uid": lambda q: q.filter(uid=shelf.uid(3)),
        "sequel of": lambda q: q.filter(sequel_to=1),
        "sequel of title": lambda q: q.filter(sequel_to__title="Book 1"),
        "has sequels by": lambda q: q.filter(sequels__author=1),
        "cheap": lambda q: q.filter(price__lt=5),
        "or": lambda q: q.filter(Q(author=1) | Q(genre="sf")),
        "or of one column": lambda q: q.filter(Q(author=1) | Q(author=2)),
        "or of row and slice": lambda q: q.filter(Q(pk=5) | Q(author=1, visible=True)),
        "or across joins": lambda q: q.filter(Q(author=2) | Q(editor__name="Bob")),
        "or of none": lambda q: q.filter(Q(editor=None) | Q(editor=1)),
        "or of none across joins": lambda q: q.filter(
            Q(sequel_to__author=None) | Q(sequel_to__author=1, author=1)
        ),
        "xor": lambda q: q.filter(Q(author=1) ^ Q(genre="sf")),
        "not": lambda q: q.filter(~Q(author=1)),
        "not not": lambda q: q.filter(~~Q(author=1)),
        "not both": lambda q: q.exclude(author=1, genre="sf"),
        "column of another table": lambda q: q.filter(pages__gt=F("author__born")),
        "same author and editor's publisher": lambda q: q.filter(author__publisher=F("editor__publisher")),
        "well reviewed": lambda q: q.filter(reviews__stars__gte=3),
        "unreviewed": lambda q: q.filter(reviews__isnull=True),
        "never badly reviewed": lambda q: q.exclude(reviews__stars__lte=2),
        "exists": lambda q: q.filter(Exists(Review.objects.filter(book=OuterRef("pk")))),
        "not exists": lambda q: q.filter(~Exists(Review.objects.filter(book=OuterRef("pk"), stars__gt=3))),
        "exists in a plain queryset": lambda q: q.filter(Exists(Review.plain.filter(book=OuterRef("pk")))),
        "exists by a joined name": lambda q: q.select_related("author").filter(
            Exists(Review.objects.filter(text=OuterRef("author__name")))
        ),
        "exists by a joined name, plain": lambda q: q.select_related("author").filter(
            Exists(Review.plain.filter(text=OuterRef("author__name")))
        ),
        "in a subquery": lambda q: q.filter(author__in=Author.objects.filter(publisher__country="se")),
        "in rows of a subquery": lambda q: q.filter(pk__in=Review.objects.filter(stars=5).values("book")),
        "in a plain subquery": lambda q: q.filter(pk__in=Review.plain.filter(stars=5).values("book")),
        "in a union": lambda q: q.filter(
            pk__in=Review.objects.filter(stars=5)
            .values("book")
            .union(Review.objects.filter(stars=3).values("book"))
        ),
        "in a limited subquery": lambda q: q.filter(
            pk__in=Review.objects.order_by("-stars", "id").values("book")[:2]
        ),
        "equal to a subquery": lambda q: q.filter(author=Author.objects.order_by("name").values("pk")[:1]),
        "author's score": lambda q: q.filter(author__profile__score__gt=1),
        "author without a profile": lambda q: q.filter(author__profile__isnull=True),
        "manual": lambda q: q.filter(manual__topic="tools"),
        "no manual": lambda q: q.filter(manual__isnull=True),
        "case": lambda q: q.annotate(
            kind=Case(When(author__name="Ann", then=Value("hers")), default=Value("other"))
        ).filter(kind="hers"),
        "coalesced": lambda q: q.annotate(by=Coalesce("editor__name", "author__name")).filter(by="Bob"),
        "with author": lambda q: q.select_related("author"),
        "with publisher": lambda q: q.select_related("author__publisher"),
        "with editor and genre": lambda q: q.select_related("editor", "genre"),
        "with profile": lambda q: q.select_related("author__profile"),
        "with sequel's author": lambda q: q.select_related("sequel_to__author"),
        "with manual": lambda q: q.select_related("manual"),
        "reviews counted": lambda q: q.annotate(n=Count("reviews")),
        "reviews counted and asked for": lambda q: q.annotate(n=Count("reviews")).filter(n__gte=1),
        "best review": lambda q: q.annotate(best=Max("reviews__stars")),
        "good reviews counted": lambda q: q.annotate(good=Count("reviews", filter=Q(reviews__stars__gte=3))),
        "author's name": lambda q: q.annotate(by=F("author__name")),
        "author's name in capitals": lambda q: q.alias(by=Upper("author__name")).filter(by="ANN"),
        "best text": lambda q: q.annotate(
            text=Subquery(Review.objects.filter(book=OuterRef("pk")).order_by("-stars").values("text")[:1])
        ),
        "first of each author": lambda q: q.annotate(
            r=Window(RowNumber(), partition_by="author", order_by="id")
        ).filter(r=1),
        "good reviews by a filtered relation": lambda q: q.annotate(
            good=FilteredRelation("reviews", condition=Q(reviews__stars__gte=4))
        ).filter(good__isnull=False),
        "bad ones by a filtered relation": lambda q: q.annotate(
            bad=FilteredRelation("reviews", condition=Q(reviews__stars__lt=4))
        ).annotate(worst=Max("bad__stars")),
        "by author": lambda q: q.order_by("author__name", "id"),
        "by editor's publisher": lambda q: q.order_by("editor__publisher__name", "id"),
        "by price": lambda q: q.order_by("-price", "id"),
        "by reviews": lambda q: q.order_by("reviews__stars", "id"),
        "two": lambda q: (q if q.ordered else q.order_by("id"))[:2],
        "the second": lambda q: (q if q.ordered else q.order_by("id"))[1:2],
        "distinct": lambda q: q.distinct(),
        "distinct by author": lambda q: q.order_by("author__name", "id").distinct("author__name"),
        "titles": lambda q: q.only("title", "author"),
        "titles by price": lambda q: q.only("title").order_by("price", "id"),
        "titles and names": lambda q: q.select_related("author").only("title", "author__name"),
        "with the code of its author": lambda q: q.select_related("author").only("pages", "author__code"),
        "names of editors": lambda q: q.select_related("editor").only("title", "editor__name"),
        "scores of authors": lambda q: q.select_related("author__profile").only(
            "title", "author__name", "author__profile__score"
        ),
    },
    Author: {
        "row": lambda q: q.filter(pk=2),
        "code": lambda q: q.filter(code="b" * 80),
        "publisher": lambda q: q.filter(publisher=1),
        "no publisher": lambda q: q.filter(publisher=None),
        "country": lambda q: q.filter(publisher__country__in=["se", "no"]),
        "wrote in": lambda q: q.filter(books__genre="sf"),
        "never wrote in": lambda q: q.exclude(books__genre="sf"),
        "wrote and edited": lambda q: q.filter(books__isnull=False, edited__isnull=False),
        "wrote what is tagged": lambda q: q.filter(books__genres="sf"),
        "reviewed": lambda q: q.filter(books__reviews__stars=5),
        "two joins to books": lambda q: q.filter(books__genre="sf").filter(books__visible=True),
        "with profile": lambda q: q.select_related("profile"),
        "with publisher": lambda q: q.select_related("publisher"),
        "books counted": lambda q: q.annotate(n=Count("books")),
        "pages": lambda q: q.annotate(pages=Sum("books__pages", filter=Q(books__visible=True))),
        "by pages": lambda q: q.annotate(pages=Sum("books__pages")).order_by("-pages", "id"),
        "by publisher": lambda q: q.order_by("publisher__name", "id"),
        "first": lambda q: (q if q.ordered else q.order_by("id"))[:1],
        "distinct": lambda q: q.distinct(),
        "names": lambda q: q.only("name"),
        "codes by birth": lambda q: q.only("code").order_by("-born", "id"),
        "high score": lambda q: q.filter(profile__score__gte=2),
        "lone": lambda q: q.filter(~Exists(Book.objects.filter(author=OuterRef("pk"), visible=True))),
    },
    Manual: {
        "row": lambda q: q.filter(pk=6),
        "parent's row": lambda q: q.filter(id=6),
        "topic": lambda q: q.filter(topic="tools"),
        "topics": lambda q: q.only("topic", "pages"),
        "author": lambda q: q.filter(author=1),
        "visible": lambda q: q.filter(visible=True),
        "with author": lambda q: q.select_related("author__publisher"),
        "reviewed": lambda q: q.filter(reviews__stars__gte=1),
        "by title": lambda q: q.order_by("title", "id"),
    },
    Review: {
        "row": lambda q: q.filter(pk=shelf.uid(1)),
        "rows": lambda q: q.filter(pk__in=[shelf.uid(1), shelf.uid(3)]),
        "book": lambda q: q.filter(book=1),
        "book's author": lambda q: q.filter(book__author=1),
        "book's author's name": lambda q: q.filter(book__author__name=F("text")),
        "with book": lambda q: q.select_related("book__author"),
        "texts": lambda q: q.only("text").order_by("stars", "id"),
        "by stars": lambda q: q.order_by("stars", "id"),
        "of manuals": lambda q: q.filter(book__manual__topic="tools"),
    },
    Sale: {"with rate": lambda q: q.select_related("rate", "book"), "row": lambda q: q.filter(pk=1)},
}

ENDS: dict[str, Callable[[Any], Any]] = {
    "list": lambda q: q,
    "iterator": lambda q: q.iterator() if not q._prefetch_related_lookups else q,
    "pks": lambda q: q.values_list("pk", flat=True),
    "count": lambda q: q.count(),
    "exists": lambda q: q.exists(),
    "first": lambda q: q.first(),
    "last": lambda q: q.last(),
    "get": lambda q: q.get(),
    "counted": lambda q: q.aggregate(Count("pk"), top=Max("pk") if q.model is not Review else Max("stars")),
    "in_bulk": lambda q: q.in_bulk(),
    "contains": lambda q: q.contains(q.model.objects.order_by("pk").first()),
}
OWN_ENDS: dict[type[models.Model], dict[str, Callable[[Any], Any]]] = {
    Book: {
        "prices by key": lambda q: q.values_list("pk", "price"),
        "prices": lambda q: q.values_list("price", flat=True),
        "different prices": lambda q: q.order_by().values_list("price", flat=True).distinct(),
        "author's keys and names": lambda q: q.values_list("id", "author__pk", "author__name"),
        "highest price of each author": lambda q: q.order_by().values("author").annotate(m=Max("price")),
        "author's names": lambda q: q.values_list("id", "author__name", "genre__name"),
        "tags": lambda q: q.values_list("id", "genres__name"),
        "by author": lambda q: q.order_by().values("author__name").annotate(n=Count("pk"), m=Sum("pages")),
        "sums": lambda q: q.aggregate(Sum("pages"), Max("author__born"), Avg("reviews__stars")),
        "conditional sum": lambda q: q.aggregate(s=Sum("pages", filter=Q(author__publisher__country="se"))),
        "sum over a subquery": lambda q: q.annotate(
            r=Subquery(Review.objects.filter(book=OuterRef("pk")).order_by("-stars").values("stars")[:1])
        ).aggregate(s=Sum("r")),
        "count of existing": lambda q: q.aggregate(
            s=Count("pk", filter=Exists(Review.objects.filter(book=OuterRef("pk"))))
        ),
        "union": lambda q: q.order_by().union(q.model.objects.defer("stock").filter(genre="sf")),
        "union of values": lambda q: q.order_by().values("title").union(Book.objects.values("author__name")),
        "union with a plain queryset": lambda q: (
            q.order_by().values_list("title").union(Author.objects.values_list("name"))
        ),
        "counted union": lambda q: q.order_by().union(Book.objects.defer("stock").filter(author=2)).count(),
        "ordered union": lambda q: (
            q.order_by().union(Book.objects.defer("stock").filter(author=2)).order_by("title", "id")[:3]
        ),
        "intersection": lambda q: q.order_by().intersection(
            Book.objects.defer("stock").filter(author__name="Ann")
        ),
        "difference": lambda q: q.order_by().difference(Book.objects.defer("stock").filter(reviews__stars=5)),
        "prefetched": lambda q: q.prefetch_related(Prefetch("reviews", Review.objects.cached())),
        "prefetched tags": lambda q: q.prefetch_related(Prefetch("genres", Genre.objects.cached())),
        "combined": lambda q: q | Book.objects.filter(author__name="Bob"),
        "both": lambda q: q & Book.objects.filter(genre__name="Future"),
    },
    Author: {
        "books' genres": lambda q: q.values_list("name", "books__genre__name"),
        "books counted": lambda q: q.aggregate(Count("books"), Count("books__genres", distinct=True)),
        "prefetched": lambda q: q.prefetch_related(
            Prefetch("books", Book.objects.cached().select_related("genre"))
        ),
    },
}


def save(model: type[models.Model], field: str, values: list[Any]) -> Callable[[int, int], Any]:
    """Return a write that sets one column of one row."""

    def write(which: int, what: int) -> None:
        rows = [*model._default_manager.order_by("pk")]
        if rows:
            row = rows[which % len(rows)]
            setattr(row, field, values[what % len(values)])
            row.save()

    return write


def delete(model: type[models.Model]) -> Callable[[int, int], Any]:
    """Return a write that deletes one row and the rows that refer to it."""

    def write(which: int, what: int) -> None:
        rows = [*model._default_manager.order_by("pk")]
        if rows:
            rows[which % len(rows)].delete()

    return write


def execute(statement: str) -> Callable[[int, int], Any]:
    """Return a write in SQL."""

    def write(which: int, what: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"which": which % 6 + 1, "what": what})

    return write


def some_book(which: int) -> Book | None:
    books = [*Book.objects.order_by("pk")]
    return books[which % len(books)] if books else None


def add_review(which: int, what: int) -> None:
    if book := some_book(which):
        Review.objects.create(id=uuid.uuid4(), book=book, stars=what % 6, text=["Ann", "Bob", "no"][what % 3])


def set_tags(which: int, what: int) -> None:
    if book := some_book(which):
        wanted = [["sf"], [PAST], ["sf", PAST], []][what % 4]
        book.genres.set(Genre.objects.filter(pk__in=wanted))


def add_books(which: int, what: int) -> None:
    author = Author.objects.order_by("pk").first()
    genre = Genre.objects.order_by("pk").first()
    if author:
        Book.objects.bulk_create(
            [
                Book(title="New", uid=shelf.uid(3), author=author, genre=genre),
                Book(title="Newer", author=author),
            ]
        )


def promote(which: int, what: int) -> None:
    if (book := some_book(which)) and not Manual.objects.filter(pk=book.pk).exists():
        Manual(book_ptr=book, topic="tools").save_base(raw=True)


def bulk_update(which: int, what: int) -> None:
    books = [*Book.objects.order_by("pk")[:3]]
    for book in books:
        book.genre_id, book.pages = None, 90 + what
    Book.objects.bulk_update(books, ["genre", "pages"])


def half_rolled_back(which: int, what: int) -> None:
    with transaction.atomic():
        Author.objects.filter(pk=1).update(name="Kept")
        save_author(which, what)
        try:
            with transaction.atomic():
                Author.objects.filter(pk=2).update(name="Undone")
                raise ObjectDoesNotExist
        except ObjectDoesNotExist:
            pass


save_author = save(Author, "name", ["Ann", "Bob", "Dee"])
WRITES: dict[str, Callable[[int, int], Any]] = {
    "rename an author": save_author,
    "move an author": save(Author, "publisher_id", [1, 2, None]),
    "rebirth": save(Author, "born", [80, 100, 140]),
    "recode an author": execute("UPDATE library_author SET code = left(md5(id::text || %(what)s), 2) WHERE id = %(which)s"),
    "move a publisher": save(Publisher, "country", ["se", "de", "no"]),
    "score": save(Profile, "score", [0, 2, 5]),
    "drop a profile": delete(Profile),
    "rename a genre": save(Genre, "name", ["Future", "Past", "Other"]),
    "rename a book": save(Book, "title", ["Book 1", "Book 2", "Zed"]),
    "give a book away": save(Book, "author_id", [1, 2, 3]),
    "edit a book": save(Book, "editor_id", [1, 2, None]),
    "shelve a book": save(Book, "genre_id", ["sf", PAST, None]),
    "hide a book": save(Book, "visible", [True, False]),
    "price a book": save(Book, "price", [1, 7, 30]),
    "number a book": save(Book, "uid", [shelf.uid(3), shelf.uid(9)]),
    "follow a book": save(Book, "sequel_to_id", [1, 2, None]),
    "rate a review": save(Review, "stars", [1, 3, 5]),
    "write a review": save(Review, "text", ["Ann", "Bob"]),
    "move a review": save(Review, "book_id", [1, 2, 3]),
    "retitle a manual": save(Manual, "topic", ["tools", "cars"]),
    "give a manual away": save(Manual, "author_id", [1, 2]),
    "delete a book": delete(Book),
    "delete a review": delete(Review),
    "delete an author": delete(Author),
    "delete a genre": delete(Genre),
    "delete a publisher": delete(Publisher),
    "review": add_review,
    "tag": set_tags,
    "add books": add_books,
    "promote a book": promote,
    "bulk update": bulk_update,
    "half rolled back": half_rolled_back,
    "update books": lambda which, what: Book.objects.filter(author=which % 3 + 1).update(pages=F("pages") + 1, visible=what % 2),
    "update across": lambda which, what: Book.objects.filter(author__name="Ann").update(genre=None),
    "SQL update": execute("UPDATE library_book SET author_id = author_id, price = price + 1 WHERE id = %(which)s"),
    "SQL rate": execute("UPDATE library_rate SET name = name || '!'"),
    "SQL truncate": execute("TRUNCATE library_review"),
    "SQL swap": execute("UPDATE library_review SET book_id = b.id FROM library_book AS b WHERE b.id = %(which)s"),
}  # fmt: skip


def plain(value: Any, *, depth: int = 0) -> Any:  # noqa: PLR0911  # a case each
    """Return a result as values that can be compared: of instances, the loaded columns, and what was joined or prefetched."""
    below = functools.partial(plain, depth=depth + 1)
    match value:
        case models.Model():
            loaded = {
                name: v for name, v in vars(value).items() if not name.startswith("_") and name != "stock"
            }
            if depth > 4:  # a prefetched row knows the row it was fetched for
                return type(value).__name__, loaded
            joined = {name: below(other) for name, other in sorted(value._state.fields_cache.items())}
            prefetched = getattr(value, "_prefetched_objects_cache", {})
            return type(value).__name__, loaded, joined, {name: below([*q]) for name, q in prefetched.items()}
        case dict():
            return {key: below(each) for key, each in value.items()}
        case list() | tuple():
            return [below(each) for each in value]
        case models.QuerySet() if value.ordered:
            return plain([*value])
        case _ if hasattr(value, "__iter__") and not isinstance(value, str):
            return sorted(plain([*value]), key=repr)
    return value


ERRORS = (
    ObjectDoesNotExist,
    MultipleObjectsReturned,
    FieldError,
    TypeError,
    ValueError,
    NotImplementedError,
    Error,
)


def answer(queryset: Any, steps: list[Any], end: Any) -> Any:
    """Return the result of the steps and the end, or the class of the error that they raise."""
    try:
        for step in steps:
            queryset = step(queryset)
        return plain(end(queryset))
    except ERRORS as error:
        return type(error).__name__


@st.composite
def queries(draw: Any) -> tuple[str, type[models.Model], list[Any], Any]:
    model = draw(st.sampled_from([Book, Book, Book, Author, Manual, Review, Sale]))
    names = draw(st.lists(st.sampled_from([*STEPS[model]]), max_size=3, unique=True))
    ends = {**ENDS, **OWN_ENDS.get(model, {})}
    end = draw(st.sampled_from([*ends]))
    return f"{model.__name__}: {', '.join(names)} → {end}", model, [STEPS[model][n] for n in names], ends[end]


acts = st.lists(
    st.tuples(st.sampled_from([*WRITES]), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6
)
outcomes: Counter[str] = Counter()


def check(asked: list[Any]) -> None:
    with recording.trace() as trace:
        for name, model, steps, end in asked:
            expected = answer(
                model.objects.defer("stock") if model in (Book, Manual) else model.objects.all(), steps, end
            )
            for turn in ("first", "second"):
                got = answer(model.objects.cached(), steps, end)
                assert got == expected, f"{name}, {turn} read"
    outcomes.update(read.outcome for read in trace.reads)


@shelf.committed
@pytest.mark.usefixtures("library")
def test_a_cached_query_answers_as_the_database_does_after_any_write() -> None:
    outcomes.clear()

    @settings(
        max_examples=int(os.environ.get("MEMBERSHIP_EXAMPLES", "15")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize="MEMBERSHIP_EXAMPLES" not in os.environ,
        database=None,
    )
    @given(st.lists(queries(), min_size=2, max_size=5), acts)
    def history(asked: list[Any], done: list[tuple[str, int, int]]) -> None:
        shelf.fill()
        check(asked)
        for name, which, what in done:
            note(f"{name} {which} {what}")
            with contextlib.suppress(IntegrityError):  # of a key to a row that was deleted
                WRITES[name](which, what)
            check(asked)

    with compared() as known:
        history()
    assert known
    assert outcomes[Outcome.HIT] > outcomes[Outcome.MISS] > 0


COLUMNS = {
    "library_book": {"title": "'x'", "price": "price + 1", "pages": "pages + 1", "visible": "NOT visible"},
    "library_author": {"name": "'x'", "born": "born + 1"},
    "library_publisher": {"name": "'x'", "country": "'no'"},
    "library_profile": {"score": "score + 1"},
    "library_review": {"text": "'x'", "stars": "stars + 1"},
    "library_genre": {"name": "'x'"},
    "library_manual": {"topic": "'x'"},
}
"""By table: columns, each with another value."""


@shelf.committed
@pytest.mark.usefixtures("library")
def test_a_column_that_no_statement_of_a_query_names_ends_no_entry() -> None:
    kept: Counter[str] = Counter()

    @settings(
        max_examples=int(os.environ.get("MEMBERSHIP_EXAMPLES", "15")),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize="MEMBERSHIP_EXAMPLES" not in os.environ,
        database=None,
    )
    # Django compiles no condition that every row meets, as combining with all rows gives one, and the walk visits it.
    @given(queries().filter(lambda asked: not asked[0].endswith("combined")))
    def history(asked: tuple[str, Any, list[Any], Any]) -> None:
        name, model, steps, end = asked
        shelf.fill()
        with CaptureQueriesContext(connection) as statements:
            answer(model.objects.cached(), steps, end)
        sql = " ".join(statement["sql"] for statement in statements)
        for table, columns in COLUMNS.items():
            for column in [column for column in columns if f'"{column}"' not in sql]:
                with connection.cursor() as cursor:
                    cursor.execute(f"UPDATE {table} SET {column} = {columns[column]}")
                with recording.trace() as trace:
                    answer(model.objects.cached(), steps, end)
                missed = [read for read in trace.reads if read.outcome is not Outcome.HIT]
                assert not missed, f"{name} after {table}.{column}: {missed}"
                kept[f"{table}.{column}"] += bool(trace.reads)

    history()
    assert {*kept} == {f"{table}.{column}" for table, columns in COLUMNS.items() for column in columns}
