"""Untrusted SQL in every place of every expression of Django: the query is refused, or its cached answer is right."""

from __future__ import annotations

import os
from collections import Counter
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection, reset_queries
from django.db.models import (
    Case,
    Exists,
    F,
    FilteredRelation,
    Func,
    IntegerField,
    Max,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
    functions,
)
from django.db.models.expressions import NegatedExpression, RawSQL
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import IsNull, Lookup
from django.test.utils import CaptureQueriesContext

from cachecontrol.dependencies import trusted_classes
from cachecontrol.reasons import Outcome
from cachecontrol.stats import recording
from tests.cachecontrol.test_queries_after_writes import plain
from tests.library import shelf
from tests.library.expressions import SHAPES, Hiding, nested, places
from tests.library.models import Author, Book, Loan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "6"))
"""How often each place of each expression is tried with untrusted SQL."""
PARTS = 6
"""The number of tests that share the expressions, so that several workers can run them, each with small tables."""
UNWATCHED = "(SELECT COALESCE(max(id), 0)::integer FROM library_loan)"


class Own(Func):
    """A function of a project, which may read anything."""

    template = UNWATCHED
    output_field = IntegerField()


POISONS: dict[str, Callable[[], Any]] = {
    "untracked": lambda: Cast(
        Coalesce(Subquery(Loan.objects.order_by("-pk").values("pk")[:1]), 0), IntegerField()
    ),
    "untracked, plain": lambda: Coalesce(
        Subquery(Book.plain.order_by(Subquery(Loan.objects.values("book")[:1])).values("pages")[:1]), 0
    ),
    "raw": lambda: RawSQL(UNWATCHED, (), IntegerField()),
    "own": Own,
    "own attribute": lambda: attributed(functions.Abs(F("pages"))),
    "time": lambda: Cast(functions.ExtractSecond(functions.Now()), IntegerField()),
    "chance": lambda: Cast(functions.Random() * 100, IntegerField()),
    "ignored": lambda: F("stock"),
}


def attributed(expression: Any) -> Any:
    """An expression that keeps its own SQL when Django copies it."""
    expression.template = f"%(function)s(%(expressions)s + {UNWATCHED})"
    return expression


ANYWHERE: dict[str, Callable[[Any, Callable[[], Any]], Any]] = {
    "annotated": lambda q, e: q.annotate(x=e()),
    "an alias that is selected": lambda q, e: q.alias(a=e()).annotate(x=F("a")),
    "values": lambda q, e: q.annotate(x=e()).values("pk", "x"),
    "values of an expression": lambda q, e: q.values("pk", x=e()),
    "ordered by an alias": lambda q, e: q.alias(a=e()).order_by(F("a").desc(nulls_last=True), "pk"),
    "inner, annotated": lambda q, e: q.annotate(x=Subquery(inner(e).values("pages")[:1])),
    "inner, shown": lambda q, e: q.annotate(x=Subquery(Book.plain.filter(pk=OuterRef("pk")).annotate(x=e()).values("x"))),
    "in": lambda q, e: q.filter(pk__in=Book.plain.alias(e=e()).order_by("e", "pk").values("pk")[:3]),
    "in, of a tracked one": lambda q, e: q.filter(pk__in=Book.objects.alias(e=e()).order_by("e", "pk").values("pk")[:3]),
    "union": lambda q, e: q.annotate(x=e()).values_list("pk", "x").union(
        Book.objects.filter(pk=1).annotate(x=e()).values_list("pk", "x"), all=True
    ),
    "in a union": lambda q, e: q.filter(
        pk__in=Book.objects.filter(pk=1).values("pk").union(Book.objects.alias(e=e()).order_by("e", "pk").values("pk")[:2])
    ),
    "counted": lambda q, e: q.annotate(x=e()).filter(x__isnull=False).count(),
    "aggregated over": lambda q, e: q.annotate(x=e()).order_by("x", "pk")[:3].aggregate(Max("pk")),
    "exists": lambda q, e: q.annotate(x=e()).filter(x__isnull=False).exists(),
    "prefetched": lambda q, e: prefetched(q.annotate(x=e())),
}  # fmt: skip
SCALARS: dict[str, Callable[[Any, Callable[[], Any]], Any]] = {
    "ordered by": lambda q, e: q.order_by(e(), "pk"),
    "distinct": lambda q, e: q.annotate(x=e()).values("author", "x").distinct(),
    "grouped by": lambda q, e: q.annotate(x=e()).values("x").annotate(n=Max("pk")).values_list("n"),
}
FILTERS: dict[str, Callable[[Any, Callable[[], Any]], Any]] = {
    "case": lambda q, e: q.order_by(Case(When(e_is(e()), then=Value(1)), default=Value(2)), "pk"),
    "filtered relation": lambda q, e: q.annotate(r=FilteredRelation("reviews", condition=Q(reviews__stars__gt=0))).filter(
        Q(r__isnull=False) | e_is(e())
    ),
    "filtered": lambda q, e: q.filter(e_is(e())),
    "excluded": lambda q, e: q.exclude(e_is(e())),
    "exists inside": lambda q, e: q.filter(Exists(Book.plain.filter(e_is(e()), author=OuterRef("author")))),
    "aggregated": lambda q, e: q.aggregate(n=Max("pk", filter=Q(e_is(e())))),
    "deep": lambda q, e: q.filter(
        Exists(Book.objects.filter(author=OuterRef("author"), pk__in=Book.plain.filter(e_is(e())).values("pk")))
    ),
}  # fmt: skip

ORDERED = ("ordered by", "ordered by an alias", "case")


def inner(e: Callable[[], Any]) -> Any:
    return Book.plain.filter(author=OuterRef("author")).alias(e=e()).order_by("e", "pk")


def prefetched(books: Any) -> list[Any]:
    authors = Author.objects.filter(pk=1).prefetch_related(Prefetch("books", books, to_attr="of_author"))
    found: list[Any] = [book for author in authors for book in author.of_author]
    return [(book.pk, book.x) for book in found]


def e_is(expression: Any) -> Any:
    """Return a condition with an expression."""
    return expression if getattr(expression, "conditional", False) else IsNull(expression, False)


def shown(expression: Any) -> Any:
    """Return an expression in the place of a value."""
    if isinstance(expression, Q | Lookup | Exists | NegatedExpression):
        return Case(When(Q(expression), then=Value(1)), default=Value(0))
    return expression


class Scenario:
    """One expression in one place of a query, with or without untrusted SQL in it."""

    def __init__(self, kind: Any, at: int, turn: int) -> None:
        self.gives, self.build = SHAPES[kind]
        self.rng = Random(f"{kind.__module__}.{kind.__qualname__} {at} {turn}")
        self.kind, self.at = kind, at
        uses = ANYWHERE if self.gives in ("aggregate", "window") else ANYWHERE | SCALARS | FILTERS
        self.use = self.rng.choice([*uses])
        self.ask = uses[self.use]
        self.poison = self.rng.choice([*POISONS])
        self.depth, self.seed = self.rng.choice((0, 0, 1, 2)), self.rng.random()

    def __str__(self) -> str:
        return f"{self.poison} in place {self.at} of {self.kind.__name__}, {self.depth} deep, {self.use}"

    def expression(self, *, poisoned: bool) -> Any:
        hidden = POISONS[self.poison] if poisoned else None
        deeper = hidden and nested(Random(self.seed), hidden, self.depth)
        made = self.build(Hiding(hidden, self.at, deeper))
        return made if self.use in FILTERS else shown(made)

    def read(self, books: Any, *, poisoned: bool = False) -> Any:
        found = self.ask(books, lambda: self.expression(poisoned=poisoned))
        rows = plain([*found] if isinstance(found, QuerySet) else found)
        return sorted(rows, key=repr) if isinstance(rows, list) and self.use not in ORDERED else rows

    def cached(self, *, poisoned: bool = False) -> tuple[Any, recording.Trace, str]:
        """Read from the cache: the answer, how it came, and the SQL that was executed."""
        with recording.trace() as trace, CaptureQueriesContext(connection) as queries:
            answer = self.read(Book.objects.cached("fuzz"), poisoned=poisoned)
        return answer, trace, " ".join(query["sql"] for query in queries)

    def truth(self, *, poisoned: bool = False) -> Any:
        return self.read(Book.objects.defer("stock"), poisoned=poisoned)


MARKS = ("library_loan", "RANDOM()", "STATEMENT_TIMESTAMP()", '"stock"')
"""The text of each untrusted SQL that the query contains, unless Django left it out."""


@pytest.fixture
def digest(library: None) -> Iterator[None]:
    """The function of the extension pgcrypto by which Django computes digests. Not every server has it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION digest(text, text) RETURNS bytea IMMUTABLE RETURN sha256(convert_to($1 || $2, 'UTF8'))"
        )
        yield
        cursor.execute("DROP FUNCTION digest(text, text)")


def change_what_is_hidden() -> None:
    """Write to a table that is not tracked."""
    Loan.objects.create(book_id=Loan.objects.count() % 5 + 1)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE library_book SET stock = stock + id")


@shelf.committed
@pytest.mark.parametrize("part", range(PARTS))
def test_untrusted_sql_in_an_expression_is_refused_or_the_answer_is_right(digest: None, part: int) -> None:
    refused: Counter[Any] = Counter()
    kinds = [*SHAPES][part::PARTS]
    for turn, kind in product(range(ROUNDS), kinds):
        for at in range(len(places(SHAPES[kind][1]))):
            check(Scenario(kind, at, turn), refused)
    assert {*kinds} == {*refused}, "what is never refused shows nothing"


def check(scenario: Scenario, refused: Counter[Any]) -> None:
    """The same query without untrusted SQL is a hit. With it the query is refused, unless Django left it out."""
    reset_queries()
    scenario.cached()
    answer, trace, _ = scenario.cached()
    assert [read.outcome for read in trace.reads] == [Outcome.HIT], f"{scenario}: {trace.refusals}"
    assert answer == scenario.truth(), str(scenario)
    _, trace, sql = scenario.cached(poisoned=True)
    if trace.refusals:
        refused[scenario.kind] += 1
        return
    assert not any(mark in sql for mark in MARKS), f"{scenario}: {sql}"
    change_what_is_hidden()
    assert scenario.cached(poisoned=True)[0] == scenario.truth(poisoned=True), str(scenario)


def test_every_trusted_class_is_tried_with_untrusted_sql() -> None:
    trusted = {
        f"{module}.{name}" for module, names in trusted_classes.KNOWN.items() for name in names.split()
    }
    hidden = {f"{kind.__module__}.{kind.__qualname__}" for kind in SHAPES}
    assert hidden <= trusted
    assert {name.rpartition(".")[2] for name in trusted - hidden} == ELSEWHERE


ELSEWHERE = {
    *"BaseTable Join FilteredRelation WhereNode NothingNode Ref PositionRef".split(),  # parts of every query
    *"ColPairs Tuple TupleExact TupleGreaterThan TupleGreaterThanOrEqual TupleIn TupleIsNull".split(),
    *"TupleLessThan TupleLessThanOrEqual".split(),  # of keys of several columns, which are not tracked
    *"HasKeyOrArrayIndex KeysTransform ValuesTransform KeyTransform".split(),  # of hstore, an extension
}
"""Classes without a place that a test can fill."""
