"""Untrusted SQL is refused in every clause of a query, and behind every class of Django."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import pkgutil
from datetime import date
from typing import TYPE_CHECKING, Any

import django.contrib.postgres
import pytest
from django.contrib.postgres.aggregates import ArrayAgg
from django.contrib.postgres.expressions import ArraySubquery
from django.contrib.postgres.fields import ArrayField, DateRangeField
from django.contrib.postgres.fields.array import ArrayContains  # type: ignore[attr-defined]  # not in the stubs
from django.db import DatabaseError, connection, connections
from django.db.backends.postgresql.operations import DatabaseOperations
from django.db.models import (
    BooleanField,
    Case,
    CharField,
    Count,
    DateField,
    DateTimeField,
    Exists,
    ExpressionWrapper,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    JSONField,
    Manager,
    Max,
    Model,
    OrderBy,
    OuterRef,
    Q,
    QuerySet,
    RowRange,
    Subquery,
    TextField,
    TimeField,
    Transform,
    Value,
    When,
    Window,
)
from django.db.models.expressions import Col, CombinedExpression, RawSQL
from django.db.models.functions import (
    Abs,
    Cast,
    Coalesce,
    Collate,
    ExtractDay,
    ExtractYear,
    Lower,
    Now,
    Random,
    RowNumber,
    Upper,
)
from django.db.models.lookups import Exact, GreaterThan, IsNull
from django.db.models.sql.query import Query
from django.test.utils import isolate_apps, register_lookup

from cachecontrol.api import TrackedManager, depends_on
from cachecontrol.core import registry
from cachecontrol.dependencies import trusted_classes, trusted_sql
from cachecontrol.exceptions import Misconfigured
from cachecontrol.frontends.queries import TrackedQuery
from tests.library import fields, shelf
from tests.library.collected import refusal_of, tags_of
from tests.library.models import Author, Book, Loan, Review

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [shelf.committed, pytest.mark.usefixtures("library")]


@pytest.fixture(autouse=True)
def loan(library: None) -> None:
    """One loan, in a table that is not tracked."""
    Loan.objects.create(pk=1, book_id=2)


class Shout(Func):
    function = "UPPER"


class Whisper(Transform):
    lookup_name = "whisper"
    function = "LOWER"


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("uncovered", lambda: [*Book.objects.raw("SELECT * FROM library_book")]),
        ("uncovered", lambda: [*Book.objects.extra(where=["1 = 1"])]),
        ("uncovered", lambda: [*Book.objects.extra(select={"one": "1"})]),
        ("uncovered", lambda: [*Book.objects.extra(select={"_prefetch_related_val_x": "(SELECT 1)"})]),
        ("uncovered", lambda: [*Book.objects.extra(tables=["library_rate"])]),
        ("uncovered", lambda: [*Book.objects.annotate(one=RawSQL("1", ()))]),
        (
            "uncovered",
            lambda: [*Book.objects.filter(pk__in=Review.plain.extra(where=["1 = 1"]).values("book"))],
        ),
        ("uncovered", lambda: [*Book.objects.annotate(loud=Func("title", function="UPPER"))]),
        ("uncovered", lambda: [*Book.objects.annotate(loud=Upper("title", function="LOWER"))]),
        ("uncovered", lambda: [*Book.objects.annotate(loud=Shout("title"))]),
        (
            "uncovered",
            lambda: [*Book.objects.annotate(one=Subquery(Book.objects.values("id")[:1], template="(1)"))],
        ),
        ("uncovered", lambda: Book.objects.aggregate(one=Max(RawSQL("1", ())))),
        ("uncovered", lambda: [*Review.plain.all()]),
        ("volatile", lambda: [*Book.objects.annotate(now=Now())]),
        ("volatile", lambda: [*Book.objects.order_by("?")]),
        ("volatile", lambda: [*Book.objects.annotate(r=Random())]),
        ("volatile", lambda: [*Book.objects.filter(pages__gt=Random())]),
        ("volatile", lambda: Book.objects.aggregate(now=Max(Now()))),
        (
            "volatile",
            lambda: Book.objects.order_by("id")[:2].aggregate(
                n=Count("id", filter=Q(pages__lt=ExtractYear(Now())))
            ),
        ),
        ("volatile", lambda: [*Book.objects.annotate(day=Cast(Value("(Today!)"), DateField()))]),
        ("volatile", lambda: [*Book.objects.annotate(at=Cast(Value("tomorrow 12:00 CET"), DateTimeField()))]),
        ("volatile", lambda: [*Book.objects.filter(pages__lt=ExtractDay(Cast("title", DateField())), pk=99)]),
        ("untracked", lambda: [*Loan.objects.all()]),
        ("untracked", lambda: [*Book.objects.filter(loans__isnull=True)]),
        ("untracked", lambda: [*Book.objects.filter(Exists(Loan.objects.filter(book=OuterRef("pk"))))]),
        (
            "untracked",
            lambda: [*Book.objects.values("title").union(Review.plain.values("book__author__name"))],
        ),
        ("ignored", lambda: [*Book.objects.filter(stock__gt=1)]),
        ("ignored", lambda: [*Book.objects.order_by("stock")]),
        ("ignored", lambda: [*Book.objects.defer("stock").distinct("stock")]),
        ("ignored", lambda: [*Review.objects.distinct("book__stock")]),
        ("ignored", lambda: [*Book.objects.values("stock")]),
        ("ignored", lambda: [*Review.objects.annotate(left=F("book__stock"))]),
        ("ignored", lambda: Book.objects.aggregate(Max("stock"))),
    ],
)
def test_untrusted_sql_is_refused(reason: str, read: Callable[[], Any]) -> None:
    assert refusal_of(read) == reason


def test_a_transform_of_a_project_is_refused_until_it_declares_that_it_is_immutable() -> None:
    with register_lookup(CharField, Whisper):
        assert refusal_of(lambda: [*Book.objects.filter(title__whisper="book 1")]) == "uncovered"
        Whisper.is_immutable = True  # type: ignore[attr-defined]  # a mark that Django does not know
        assert refusal_of(lambda: [*Book.objects.filter(title__whisper="book 1")]) == ""


def test_text_without_a_relative_time_is_trusted() -> None:
    kinds: list[tuple[str, Any]] = [
        ("2026-02-03", DateField()),
        ("nowhere", CharField()),
        ("knows", CharField()),
    ]
    for text, kind in kinds:
        assert tags_of(Book.objects.filter(pk=1).annotate(text=Cast(Value(text), kind))) == {"book#1"}
    day = Cast(Cast(Value("2026-02-03"), DateField()), DateTimeField())
    assert tags_of(Book.objects.filter(pk=1).annotate(day=day)) == {"book#1"}


def test_a_join_along_an_ignored_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tracked = registry.find("library_book")
    assert tracked
    without = dataclasses.replace(
        tracked, ignored_fields=("stock", "editor"), ignored_columns=tracked.ignored_columns | {"editor_id"}
    )
    monkeypatch.setitem(registry._tables, "library_book", without)
    books = Book.objects.defer("stock", "editor")
    for read in (
        lambda: [*books.filter(editor__name="Bob")],
        lambda: [*books.order_by("editor__name")],
        lambda: [*Author.objects.filter(edited__title="Book 1")],
        lambda: [*Author.objects.annotate(n=Count("edited"))],
    ):
        assert refusal_of(read) == "ignored"
    assert refusal_of(lambda: [*books.filter(author__name="Bob")]) == ""


def test_rows_locked_for_update_are_refused() -> None:
    from django.db import transaction

    def read() -> None:
        with transaction.atomic():
            [*Book.objects.select_for_update()]

    assert refusal_of(read) in ("for_update", "transaction")


UNWATCHED = "(SELECT max(book_id) FROM library_loan)"
"""SQL that reads a table that is not tracked."""


def loaned() -> Subquery:
    return Subquery(Loan.objects.order_by("-pk").values("book_id")[:1])


class Secret(RawSQL):
    """SQL of a project that can be recognised by its class only."""

    def __init__(self) -> None:
        super().__init__("current_setting('shop.key', true)", ())


class OwnCol(Col):
    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return UNWATCHED, []


DECIDES: dict[str, Callable[[], Any]] = {
    "a table that is not tracked": loaned,
    "raw SQL": lambda: RawSQL(UNWATCHED, ()),
    "a function of a project's own": lambda: Shout("text"),
    "chance": Random,
    "the time": Now,
    "an ignored column": lambda: F("book__stock"),
    "an expression over an untracked table": lambda: Abs(loaned(), output_field=IntegerField()) + 1,
}
"""Untrusted SQL by which an inner query is ordered."""
REASONS = {
    "a table that is not tracked": "untracked",
    "raw SQL": "uncovered",
    "a function of a project's own": "uncovered",
    "chance": "volatile",
    "the time": "volatile",
    "an ignored column": "ignored",
    "an expression over an untracked table": "untracked",
}
INNER: dict[str, Callable[[Any, Any], Any]] = {
    "ordered": lambda reviews, by: reviews.order_by(by),
    "ordered downwards": lambda reviews, by: reviews.order_by(OrderBy(by, descending=True, nulls_last=True)),
    "ordered by an alias": lambda reviews, by: reviews.alias(by=by).order_by("by"),
    "distinct": lambda reviews, by: reviews.order_by(by).distinct(),
    "numbered": lambda reviews, by: reviews.annotate(n=Window(RowNumber(), order_by=[by])).filter(n=1),
    "partitioned": lambda reviews, by: reviews.annotate(n=Window(RowNumber(), partition_by=by)).filter(n=1),
    "filtered": lambda reviews, by: reviews.filter(IsNull(by, False)),
    "grouped": lambda reviews, by: reviews.values("book").annotate(n=Max(by)).order_by("n"),
    "aggregated": lambda reviews, by: reviews.annotate(n=ArrayAgg("stars", order_by=[by])).filter(n__len=1),
    "an inner query of its own": lambda reviews, by: reviews.filter(
        pk__in=Review.plain.order_by(by).values("pk")[:1]
    ),
}
USES: dict[str, Callable[[Any], Any]] = {
    "annotated": lambda reviews: Book.objects.filter(pk=1).annotate(x=Subquery(reviews.values("text")[:1])),
    "in": lambda reviews: Book.objects.filter(pk__in=reviews.values("book")[:1]),
    "counted": lambda reviews: Book.objects.filter(pk=1).annotate(
        n=Count("pk", filter=Q(pk__in=reviews.values("book")[:1]))
    ),
    "ordered": lambda reviews: Book.objects.filter(pk=1).order_by(Subquery(reviews.values("stars")[:1])),
}


@pytest.mark.parametrize("manager", ["plain", "objects"])
@pytest.mark.parametrize("use", USES)
def test_an_inner_query_is_refused_for_untrusted_sql_that_decides(manager: str, use: str) -> None:
    reviews = getattr(Review, manager).all()

    def refusal(shape: str, by: Any) -> str:
        return refusal_of(lambda: asked(USES[use](INNER[shape](reviews, by))))

    found = {(shape, name): refusal(shape, by()) for shape in INNER for name, by in DECIDES.items()}
    assert found == {(shape, name): reason for shape in INNER for name, reason in REASONS.items()}
    assert {shape: refusal(shape, F("stars")) for shape in INNER} == dict.fromkeys(INNER, "")


def test_the_random_order_of_a_plain_inner_query_is_refused() -> None:
    popular = Review.plain.order_by("?").values("book")[:1]
    assert refusal_of(lambda: [*Book.objects.filter(pk__in=popular)]) == "volatile"


def given(expression: Any, **attributes: Any) -> Any:
    """Return an expression with attributes that override those of its class."""
    vars(expression).update(attributes)
    return expression


def own_method(*_: Any, **__: Any) -> Any:
    return UNWATCHED, []


HIDDEN: dict[str, Callable[[Any], Any]] = {
    "function": lambda q: q.annotate(x=given(Upper("title"), function=f"{UNWATCHED}::text || upper")),
    "template": lambda q: q.annotate(x=given(Upper("title"), template=UNWATCHED)),
    "arg_joiner": lambda q: q.annotate(x=given(Coalesce("pages", 1), arg_joiner=f", {UNWATCHED}, ")),
    "arg_joiner in extra": lambda q: q.annotate(x=given(Coalesce("pages", 1), extra={"arg_joiner": ", "})),
    "a word of the template in extra": lambda q: q.annotate(x=Max("pages", function="MIN")),
    "as_sql": lambda q: q.annotate(x=given(Upper("title"), as_sql=own_method)),
    "as_postgresql": lambda q: q.annotate(x=given(Upper("title"), as_postgresql=own_method)),
    "template of an aggregate": lambda q: q.annotate(x=given(Max("pages"), template=UNWATCHED)),
    "filter_template of an aggregate": lambda q: q.annotate(
        x=given(
            Max("pages", filter=Q(pages=1)),
            filter_template=f"%s FILTER (WHERE %%(filter)s OR {UNWATCHED} = 1)",
        )
    ),
    "template of an ordering": lambda q: q.order_by(
        given(F("pages").asc(), template=f"%(expression)s + {UNWATCHED} %(ordering)s")
    ),
    "template of a window": lambda q: q.annotate(x=given(Window(RowNumber()), template=UNWATCHED)),
    "arg_joiner of a partition": lambda q: q.annotate(x=partitioned(arg_joiner=f", {UNWATCHED}, ")),
    "frame": lambda q: q.annotate(
        x=Window(
            Max("pages"),
            order_by="pages",
            frame=given(RowRange(-1, 0), template=f"ROWS {UNWATCHED} PRECEDING"),
        )
    ),
    "template of a case": lambda q: q.annotate(
        x=Case(
            When(pk=1, then="pages"), default=0, template=f"CASE %(cases)s ELSE %(default)s + {UNWATCHED} END"
        )
    ),
    "case_joiner": lambda q: q.annotate(x=given(Case(When(pk=1, then="pages")), case_joiner=" ")),
    "template of a when": lambda q: q.annotate(
        x=Case(
            given(When(pk=1, then="pages"), template=f"WHEN %(condition)s OR {UNWATCHED} = 2 THEN %(result)s")
        )
    ),
    "template of exists": lambda q: q.filter(
        Exists(Review.objects.all(), template=f"EXISTS(%(subquery)s) AND {UNWATCHED} = 2")
    ),
    "template on a subquery": lambda q: q.annotate(
        x=given(Subquery(Review.objects.values("stars")[:1]), template=UNWATCHED)
    ),
    "connector": lambda q: q.annotate(
        x=CombinedExpression(F("pages"), f"+ {UNWATCHED} +", F("pages"), IntegerField())
    ),
    "connector of conditions": lambda q: q.filter(
        given(Q(pk=1) | Q(pk=2), connector=f"OR {UNWATCHED} = 2 OR")
    ),
    "collation": lambda q: q.annotate(
        x=given(Collate("title", "C"), collation=f'"C" || {UNWATCHED} || \'\' COLLATE "C"')
    ),
    "lookup": lambda q: q.filter(given(GreaterThan(F("pages"), 1), lookup_name="lt")),
    "operator": lambda q: q.filter(given(ArrayContains(array(), ["a"]), postgres_operator="<@")),
    "a filter that Django compiles itself": lambda q: q.annotate(n=Count("pk", filter=Thick("pages"))),
    "a column of a project's own": lambda q: q.annotate(x=OwnCol("library_book", Book._meta.pk)),
    "a subclass of raw SQL": lambda q: q.annotate(x=Secret()),
    "a condition": lambda q: q.filter(Thick("pages")),
    "a transform in an ordering": lambda q: q.order_by(Shout("title")),
    "an array of functions": lambda q: q.filter(ArrayContains(array(), [Shout("title")])),
    "a filtered relation": lambda q: q.annotate(
        r=FilteredRelation("reviews", condition=Q(reviews__stars__gt=RawSQL(UNWATCHED, ())))
    ).filter(r__isnull=False),
}
"""SQL of a project behind classes of Django."""


def array() -> Value:
    return Value(["a"], output_field=ArrayField(CharField(max_length=9)))


def partitioned(**attributes: Any) -> Window:
    window = Window(RowNumber(), partition_by=["pages", "title"])
    given(window.partition_by, **attributes)
    return window


class Thick(Func):
    """A condition of a project."""

    template = "%(expressions)s > 1"
    output_field = BooleanField()


def test_sql_of_a_project_is_refused_behind_a_class_of_django() -> None:
    books = Book.objects.defer("stock")
    found = {name: refusal_of(lambda: asked(shape(books))) for name, shape in HIDDEN.items()}  # noqa: B023  # read at once
    assert found == dict.fromkeys(HIDDEN, "uncovered")


def asked(queryset: Any) -> None:
    """Read a queryset, which PostgreSQL may refuse."""
    with contextlib.suppress(DatabaseError):
        list(queryset)


class Dressed(fields.CharField):
    """Text that the database changes when it is selected, according to a setting of the session."""

    def select_format(self, compiler: Any, sql: str, params: Any) -> Any:
        return f"{sql} || current_setting('shop.key', true)", params


class Held(fields.CharField):
    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        return f"%s || {UNWATCHED}"


class Typed(fields.CharField):
    def db_type(self, connection: Any) -> str:
        return f"text) || ({UNWATCHED}"


class Stamp(fields.CharField):
    """Text in Python, a time in the database."""

    def db_type(self, connection: Any) -> str:
        return "timestamp"


class Kept(fields.CharField):
    """A type of a project that declares that its SQL is immutable."""

    is_immutable = True

    def db_type(self, connection: Any) -> str:
        return "name"


FIELDS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "selected": ("uncovered", lambda q: q.annotate(x=ExpressionWrapper(F("title"), Dressed()))),
    "formatted by one instance": (
        "uncovered",
        lambda q: q.annotate(x=ExpressionWrapper(F("title"), given(CharField(), select_format=own_method))),
    ),
    "placeholder": ("uncovered", lambda q: q.annotate(x=Value("a", Held()))),
    "type of a cast": ("uncovered", lambda q: q.annotate(x=Cast("title", Typed()))),
    "length of a cast": (
        "uncovered",
        lambda q: q.annotate(
            x=Cast("title", CharField(max_length="9) || (current_setting('shop.key', true)"))  # type: ignore[arg-type]  # a length that is none
        ),
    ),
    "type that nobody knows": ("uncovered", lambda q: q.annotate(x=Cast("pk", Regclass()))),
    "type that is said to be immutable": ("", lambda q: q.annotate(x=Cast("title", Kept()))),
    "text cast to a moment": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(x=Cast("title", Stamp(max_length=9))),
    ),
    "texts cast to moments": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(x=Cast(array_of_text(), ArrayField(DateField()))),
    ),
    "text that says that it is a moment": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(
            x=Cast(ExpressionWrapper(F("title"), DateTimeField()), DateTimeField())
        ),
    ),
    "relative time that says that it is text": (
        "volatile",
        lambda q: q.annotate(
            x=ExpressionWrapper(Cast(Value("2026-01-01"), DateTimeField()), TextField())
        ).filter(x__gt="now"),
    ),
    "relative time of an inner query": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(x=Cast(Subquery(q.values("title")[:1]), DateField())),
    ),
    "array of moments": (
        "volatile",
        lambda q: q.annotate(x=Value(["today"], ArrayField(Stamp(max_length=9)))),
    ),
    "range of moments": (
        "volatile",
        lambda q: q.annotate(p=Value((date(2026, 1, 1), None), DateRangeField())).filter(p="[today,)"),
    ),
    "relative time in a list of a lookup": (
        "volatile",
        lambda q: q.annotate(p=Cast(Value("2026-01-01"), Stamp(max_length=9))).filter(
            p__in=["2026-01-01", "now"]
        ),
    ),
    "relative time in a case of an inner query": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(
            x=Cast(Subquery(q.annotate(t=Case(When(pk=1, then="title"))).values("t")[:1]), DateField())
        ),
    ),
    "relative time of a window": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(x=Cast(Window(Max("title")), DateField())),
    ),
    "relative time in JSON": ("volatile", lambda q: q.annotate(x=Value({"at": ["today"]}, JSONField()))),
    "relative time as a key of JSON": ("volatile", lambda q: q.annotate(x=Value({"now": 1}, JSONField()))),
    "relative time in a lookup": (
        "volatile",
        lambda q: q.annotate(p=Cast(Value("2026-01-01"), Stamp(max_length=9))).filter(p__lt="tomorrow"),
    ),
    "text that an unknown type compares": ("", lambda q: q.filter(title="today")),
    "text that a case converts to a time": (
        "volatile",
        lambda q: q.filter(pk=99).annotate(x=Case(When(pk=1, then="title"), output_field=TimeField())),
    ),
    "relative time that a text decides": (
        "",
        lambda q: q.annotate(
            x=Case(When(title="a", then=Cast(Value("2026-01-01"), DateField())), output_field=DateField())
        ),
    ),
    "text within a range": (
        "volatile",
        lambda q: (
            q.filter(pk=99)
            .annotate(p=Value((date(2026, 1, 1), None), DateRangeField()))
            .filter(p__contains=F("title"))
        ),
    ),
}


class Regclass(fields.IntegerField):
    """A number that the database writes as the name of a table."""

    def db_type(self, connection: Any) -> str:
        return "regclass"


def array_of_text() -> Any:
    return ArraySubquery(Book.objects.filter(pk=OuterRef("pk")).values("title"))


def test_a_field_is_trusted_if_django_writes_its_sql() -> None:
    books = Book.objects.defer("stock")
    found = {name: refusal_of(lambda: asked(shape(books))) for name, (_, shape) in FIELDS.items()}  # noqa: B023  # read at once
    assert found == {name: reason for name, (reason, _) in FIELDS.items()}


@pytest.mark.parametrize(
    "column", ['"id"::text || (SELECT max(book_id) FROM library_loan) || "title"', "title"]
)
def test_a_column_with_quotes_in_its_name_is_refused(column: str) -> None:
    """Django does not quote names that begin and end with a quote."""
    with isolate_apps("tests.library"):
        meta = type("Meta", (), {"app_label": "library", "db_table": "library_book", "managed": False})
        fields = {"said": TextField(db_column=column), "objects": TrackedManager(), "Meta": meta}
        legacy: Any = type("Legacy", (Model,), {"__module__": __name__, **fields})
        assert refusal_of(lambda: [*legacy.objects.all()]) == ("uncovered" if '"' in column else "")


def test_a_column_of_another_model_of_the_table_is_not_captured() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE library_author ADD remark text DEFAULT 'none'")
    try:
        with isolate_apps("tests.library"):
            meta = type("Meta", (), {"app_label": "library", "db_table": "library_author", "managed": False})
            fields = {"name": CharField(max_length=40), "remark": TextField(), "objects": TrackedManager()}
            legacy: Any = type("Legacy", (Model,), {"__module__": __name__, "Meta": meta, **fields})
            assert refusal_of(lambda: [*legacy.objects.filter(pk=1)]) == "untracked"
            assert refusal_of(lambda: [*legacy.objects.filter(remark="none").values("pk")]) == "untracked"
            assert refusal_of(lambda: [*legacy.objects.filter(pk=1).defer("remark")]) == ""
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE library_author DROP remark")


@pytest.fixture
def forgotten() -> Iterator[None]:
    """The set of trusted classes is computed again, before and after the test."""
    trusted_sql._trusted.cache_clear()
    yield
    trusted_sql._trusted.cache_clear()


def test_a_class_of_django_with_a_method_of_a_project_is_refused(
    forgotten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Upper, "as_postgresql", own_method, raising=False)
    assert refusal_of(lambda: asked(Book.objects.annotate(x=Upper("title")))) == "uncovered"
    assert refusal_of(lambda: asked(Book.objects.annotate(x=Lower("title")))) == ""


class OwnOperations(DatabaseOperations):
    """The operations of a project's database backend."""


def test_the_sql_of_another_database_backend_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "ops", OwnOperations(connection))
    assert refusal_of(lambda: [*Author.objects.filter(pk=1)]) == "uncovered"


class OwnQuery(Query):
    """A query class of a project, which may write any SQL."""


class OwnTrackedQuery(TrackedQuery):
    def get_compiler(self, *args: Any, **kwargs: Any) -> Any:
        return super().get_compiler(*args, **kwargs)


@pytest.mark.parametrize("kind", [OwnQuery, OwnTrackedQuery])
def test_a_query_class_of_a_project_is_refused(kind: type[Query]) -> None:
    inner: QuerySet[Any, Any] = QuerySet(Review, query=kind(Review)).values("book")
    assert refusal_of(lambda: [*Review.objects.values("book").union(inner)]) in ("uncovered", "untracked")
    assert refusal_of(lambda: [*Book.objects.filter(pk__in=inner)]) == "uncovered"
    shown = Subquery(inner.order_by("stars")[:1])
    assert refusal_of(lambda: [*Book.objects.filter(pk=1).annotate(x=shown)]) == "uncovered"


def test_a_lookup_whose_name_an_instance_overrides_is_refused() -> None:
    assert (
        refusal_of(lambda: [*Book.objects.filter(given(Exact(F("author"), 1), lookup_name="gt"))])
        == "uncovered"
    )


@pytest.mark.parametrize(
    "name", ["library_author.archive", "library_author#1", "library_author*", "library_author~"]
)
def test_an_untracked_table_is_refused_even_if_its_name_looks_like_a_tag(name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE TABLE "{name}" (id integer PRIMARY KEY)')
    try:
        with isolate_apps("tests.library"):
            meta = type("Meta", (), {"app_label": "library", "db_table": name, "managed": False})
            fields = {"id": IntegerField(primary_key=True), "objects": TrackedManager(), "plain": Manager()}
            kind: Any = type("Archived", (Model,), {"__module__": __name__, "Meta": meta, **fields})
            assert refusal_of(lambda: [*kind.objects.all()]) == "untracked"
            assert refusal_of(lambda: [*Author.objects.filter(pk__in=kind.plain.all())]) == "untracked"
            with pytest.raises(Misconfigured, match="not tracked"), depends_on(kind):
                pass
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'DROP TABLE "{name}"')


def classes_of_django() -> set[type]:
    """Return every class of Django that a query can contain."""
    packages = (django.db.models, django.contrib.postgres)
    modules = [
        importlib.import_module(module.name)
        for package in packages
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not {"migrations", "jinja2"} & {*module.name.split(".")}
    ]
    return {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "as_sql")
    }


UNTRUSTED = {
    *"BaseExpression Expression Func Aggregate Lookup BuiltinLookup Transform PatternLookup YearLookup".split(),
    *"PostgresOperatorLookup RelatedLookupMixin TupleLookupMixin TruncBase LagLeadFunction WindowFrame".split(),
    *"OrderableAggMixin StatAggregate TrigramBase TrigramWordBase".split(),  # of which others are made
    *"RawSQL ExtraWhere Now Random RandomUUID TransactionNow".split(),  # raw SQL, the time, chance
    *"ResolvedOuterRef DatabaseDefault IndexExpression ExclusionConstraintExpression RangeBoundary OpClass".split(),
    *"Query AggregateQuery DeleteQuery InsertQuery UpdateQuery".split(),  # queries, and what stands in no SELECT
    *"SQLCompiler SQLAggregateCompiler SQLDeleteCompiler SQLInsertCompiler SQLUpdateCompiler".split(),
}


def test_every_class_of_django_was_reviewed() -> None:
    """A class of a later Django is refused until it is in one of the two lists."""
    trusted = {
        f"{module}.{name}" for module, names in trusted_classes.KNOWN.items() for name in names.split()
    }
    found = {f"{kind.__module__}.{kind.__qualname__}" for kind in classes_of_django()}
    assert trusted <= found
    assert {name.rpartition(".")[2] for name in found - trusted} == UNTRUSTED
